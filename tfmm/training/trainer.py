"""One step of training, and validation, as orbit's hooks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import orbit
import tensorflow as tf

from tfmm.layers import randomness
from tfmm.losses import recognition as recognition_loss
from tfmm.metrics import compute
from tfmm.metrics import recognition as recognition_metrics
from tfmm.models import base
from tfmm.training import evaluation
from tfmm.training import optimizers as optimizers_lib
from tfmm.training import phases


class Trainer(orbit.AbstractTrainer):
  """Takes steps of the span that it was last given.

  Each phase has its own graph, traced once, which it shares with phases that are the
  same but for their name (AdaMML's warm-up and fine-tuning). Learning rates and the
  temperature are variables that the host sets, so no change of theirs traces again.
  Everything random in a step is folded from (run seed, global step, replica).

  Args:
    model: built, in the strategy's scope.
    plan_phases: every phase that may come.
    optimizers: {group: GroupOptimizer}.
    make_batches: (start step, input context or None) -> endless dataset of batches.
    strategy: that the variables were made under.
    global_step: int64 variable made in the same scope.
    seed: of the run.
    batch_size: videos per step over all replicas.
    jit_compile: compile each replica's step with XLA.
  """

  def __init__(self, *, model: base.GatedMultimodalModel,
               plan_phases: Sequence[phases.Phase],
               optimizers: Mapping[str, optimizers_lib.GroupOptimizer],
               make_batches: Callable[..., tf.data.Dataset],
               strategy: tf.distribute.Strategy, global_step: tf.Variable, seed: int,
               batch_size: int, jit_compile: bool = False):
    super().__init__(name='trainer')
    self._model = model
    self._optimizers = dict(optimizers)
    self._make_batches = make_batches
    self._strategy = strategy
    self._global_step = global_step
    self._seed = seed
    self._batch_size = batch_size
    self._jit_compile = jit_compile
    self._phases = {p.name: p for p in plan_phases}
    self._steps: dict[tuple, Callable] = {}
    self._span: phases.Span | None = None
    self._batches = None
    model.skip = 'mask'
    self._check_groups()

  def _check_groups(self):
    groups = self._model.variable_groups()
    for phase in self._phases.values():
      for group in (*phase.moves, *phase.frozen):
        if group not in groups:
          raise ValueError(
              f'phase {phase.name!r} names the variable group {group!r}; this model '
              f'has {tuple(groups)}. Choose phases that fit the model.')
      for group in phase.moves:
        if group not in self._optimizers:
          raise ValueError(
              f'phase {phase.name!r} moves {group!r}, which has no optimizer; '
              f'optimizers are given for {tuple(self._optimizers)}.')

  def set_span(self, span: phases.Span):
    """Puts a span's phase, rates and temperature in force. Host side."""
    self._span = span
    for group in span.phase.moves:
      self._optimizers[group].set_rate(span.epoch.rate)
    if span.epoch.temperature is not None:
      if self._model.temperature is None:
        raise ValueError(
            f'phase {span.phase.name!r} sets a temperature; this model has none.')
      self._model.temperature.assign(span.epoch.temperature)

  def reset_optimizers(self, groups: Iterable[str]):
    for group in groups:
      self._optimizers[group].reset()

  def train(self, num_steps: tf.Tensor) -> dict[str, float]:
    """Host side: that many steps of the present span; returns means over them."""
    if self._batches is None:
      self._batches = iter(self._distributed_batches(int(self._global_step.numpy())))
    step = self._step_function(self._span.phase)
    sums = [step(next(self._batches)) for _ in range(int(num_steps))]
    return self._summary({k: sum(float(s[k]) for s in sums) for k in sums[0]},
                         len(sums))

  def _summary(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
    """Sums over steps -> what is logged."""
    held = sums.pop('held')
    means = {k: v / (held if k.startswith('selection/') else steps)
             for k, v in sums.items()}
    if not math.isfinite(means['loss']):
      raise ValueError(
          f"the loss is {means['loss']} near step {int(self._global_step.numpy())} of "
          f'phase {self._span.phase.name!r}; lower the learning rate or set clip_norm, '
          'and start again: the last checkpoint is from before.')
    for group in self._span.phase.moves:
      means[f'learning_rate/{group}'] = self._optimizers[group].rate
    if self._model.temperature is not None:
      means['temperature'] = float(self._model.temperature.numpy())
    return means

  def _distributed_batches(self, start_step: int):
    if self._strategy.num_replicas_in_sync == 1 and not many_workers(self._strategy):
      return self._make_batches(start_step, None).map(evaluation.numbers_only)
    return self._strategy.distribute_datasets_from_function(
        lambda context: self._make_batches(start_step, context).map(
            evaluation.numbers_only))

  def _step_function(self, phase: phases.Phase) -> Callable:
    key = tuple((name, id(term)) for name, term in phase.losses.items())
    key = (phase.moves, phase.frozen, key)
    if key not in self._steps:
      self._steps[key] = self._make_step(phase)
    return self._steps[key]

  def _make_step(self, phase: phases.Phase) -> Callable:
    def replica_step(batch, step):
      return self._replica_step(phase, batch, step)
    if self._jit_compile:
      replica_step = tf.function(replica_step, jit_compile=True)

    @tf.function
    def train_step(batch):
      step = self._global_step.read_value()
      sums = self._strategy.run(replica_step, args=(batch, step))
      self._global_step.assign_add(1)
      return {k: self._strategy.reduce('SUM', v, axis=None) for k, v in sums.items()}

    return train_step

  def _replica_step(self, phase, batch, step):
    """Graph, replica context: moves the phase's groups once."""
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    seed = randomness.fold_seed(
        tf.constant([self._seed, 0], tf.int64), step, replica)
    moving = {g: self._optimizers[g].variables for g in phase.moves}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      for variables in moving.values():
        tape.watch(variables)
      result = self._model(batch, training=True, frozen=phase.frozen, seed=seed)
      # [B] -> []: the mean over the global batch, after the sum over replicas
      terms = {name: tf.reduce_sum(_per_video(name, term(batch, result)))
                     / self._batch_size for name, term in phase.losses.items()}
      loss = tf.add_n(list(terms.values()))
    gradients = tape.gradient(loss, moving)
    for group, variables in moving.items():
      _check_gradients(phase, group, gradients[group], variables)
    for group in moving:
      self._optimizers[group].apply(gradients[group])
    return self._sums(batch, result, loss, terms)

  def _sums(self, batch, result, loss, terms) -> dict[str, tf.Tensor]:
    held = tf.reduce_sum(tf.reduce_max(tf.cast(batch['present'], tf.float32), 2))
    correct = recognition_loss.is_correct(batch, result)
    ran = tf.reduce_sum(result.ran, [0, 1])  # [B, S, M] -> [M]
    return {
        'loss': loss, 'held': held,
        'top1': tf.reduce_sum(correct) / self._batch_size,
        **{f'loss/{name}': value for name, value in terms.items()},
        **{f'selection/{m}': ran[i] for i, m in enumerate(self._model.modalities)}}


class Validator(orbit.AbstractEvaluator):
  """Accuracy and selection rates of a split, one pass.

  Its graph is traced at the first validation and kept. Every worker runs the whole
  split, since batch statistics are averaged over workers when they are read.
  """

  def __init__(self, model: base.GatedMultimodalModel, dataset: tf.data.Dataset, *,
               seed: int, on_batch: Callable[[int], None] = lambda videos: None):
    super().__init__(name='validator')
    self._model = model
    self._dataset = dataset
    self._seed = seed
    self._on_batch = on_batch
    self._step = evaluation.inference_function(model)

  def evaluate(self, num_steps: tf.Tensor) -> dict[str, float]:
    """Host side. The number of steps is ignored: it is always the whole split."""
    del num_steps
    d = evaluation.decide(
        self._model, self._dataset, seed=self._seed, step=self._step,
        on_batch=self._on_batch)
    rates = compute.selection_rate(d.ran, d.present, self._model.modalities)
    return {'top1': recognition_metrics.top_k(d.logits, d.label, 1),
            **{f'selection/{m}': rate for m, rate in rates.items()}}


def many_workers(strategy: tf.distribute.Strategy) -> bool:
  """Whether several processes train together."""
  return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _per_video(name: str, values: tf.Tensor) -> tf.Tensor:
  if values.shape.rank != 1:
    raise ValueError(
        f'loss term {name!r} is of shape {values.shape}; it must be one number per '
        'video, [B].')
  return tf.cast(values, tf.float32)


def _check_gradients(phase, group, gradients, variables):
  """Raises while the first graph of a phase is traced, not silently never."""
  for gradient, variable in zip(gradients, variables):
    if gradient is None:
      raise ValueError(
          f'phase {phase.name!r} moves {group!r}, but no gradient reaches '
          f'{variable.name!r} from the losses {tuple(phase.losses)}; every variable '
          'of a group that moves must influence them.')
