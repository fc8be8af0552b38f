"""train(): the surface that a gin file binds."""

from __future__ import annotations

import contextlib
import io
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orbit
import tensorflow as tf

from tfmm import directory_lock
from tfmm.data import dataset as dataset_lib
from tfmm.models import base
from tfmm.training import checkpoints
from tfmm.training import dry_run as dry_run_lib
from tfmm.training import optimizers as optimizers_lib
from tfmm.training import phases as phases_lib
from tfmm.training import progress as progress_lib
from tfmm.training import strategy as strategy_lib
from tfmm.training import trainer as trainer_lib

# Parameters of `train`, and macros, that may differ when a run goes on: where things
# are and how often they are written, nothing that changes a number.
_MAY_DIFFER = ('data_dir', 'DATA_DIR', 'model_dir', 'MODEL_DIR', 'init_from',
               'INIT_FROM', 'starts', 'checkpoint_every', 'keep_checkpoints',
               'log_every', 'dry_run')

_DRY_RUN_VIDEOS = 2


def train(
    *, model: Callable[..., base.GatedMultimodalModel],
    dataset: dataset_lib.DatasetSpec | dataset_lib.FeatureSpec,
    phases: phases_lib.Plan,
    optimizers: Mapping[str, optimizers_lib.OptimizerSpec], data_dir: str,
    model_dir: str | None, batch_size: int, seed: int = 0,
    init_from: Sequence[str] = (), starts: Sequence[str] = (),
    validation_split: str = 'validation', validate_every: int = 1,
    checkpoint_every: int = 200, keep_checkpoints: int = 3, log_every: int = 10,
    execution: strategy_lib.Execution = strategy_lib.Execution(),
    dry_run: bool = False, recipe: Callable[[], str] | None = None
) -> dict[str, Any]:
  """Trains a model from the beginning of its recipe, or from where it stopped.

  The same call goes on after a kill at any time and ends with the same weights, on
  CPU bit for bit: data, random numbers, phase, rates and temperature are functions of
  the global step, and the step is in the checkpoint.

  Args:
    model: makes the model when called with `num_classes`.
    dataset: what is read of every video.
    phases: the plan; see `tfmm.training.phases`.
    optimizers: {variable group: spec}, for every group that the plan moves.
    data_dir: output of prepare_videos; of a `FeatureSpec`, the directory that holds
      those of extract_features.
    model_dir: the run's directory; made if missing. A dry run needs none.
    batch_size: videos per step, over all replicas.
    seed: of initial values, data order, augmentation, dropout and gates.
    init_from: runs (or checkpoints) to take encoders and classifiers from, each
      modality from one; see `checkpoints.initialize_from`. Only at step 0.
    starts: recipes of the runs that `init_from` should name, which `--stage=all`
      trains first; see `tfmm.training.stages`.
    validation_split: '' validates never; a split without videos is not validated.
    validate_every: epochs of a stage between validations; its last one always is.
      0 validates never.
    checkpoint_every: steps; ends of epochs are always saved.
    keep_checkpoints: how many of the last ones stay.
    log_every: steps per line of progress and per TensorBoard point.
    execution: devices, number format, XLA, determinism.
    dry_run: take one real step of each phase at batch 2, print parameters, GFLOPs and
      memory, and save nothing.
    recipe: called when all is built; returns the configuration in force as text, or
      raises ValueError if a part of it had no effect.

  Returns:
    The last means of training ('loss', 'top1', ...) and, if there was a validation,
    'validation/top1' and so on.

  Raises:
    ValueError, OSError: whatever the user can mend, in one line.
  """
  for name, value in (('checkpoint_every', checkpoint_every), ('log_every', log_every),
                      ('keep_checkpoints', keep_checkpoints)):
    if value < 1:
      raise ValueError(f'{name} is {value}; it must be 1 or more.')
  info = dataset.load_info(data_dir)
  strategy = strategy_lib.make_strategy(execution)
  with strategy_lib.numerics(execution, seed):
    def make_state(split: str, videos: int) -> State:
      return State(
          model=model, dataset=dataset, plan=phases, optimizers=optimizers, info=info,
          split=split, batch_size=videos, seed=seed, strategy=strategy,
          execution=execution)

    if dry_run:
      with dataset_lib.reading(info):
        return dry_run_lib.run(
            make_state=make_state, plan=phases, info=info, init_from=init_from,
            batch_size=max(_DRY_RUN_VIDEOS, strategy.num_replicas_in_sync),
            strategy=strategy, recipe=recipe)
    if not model_dir:
      raise ValueError('model_dir is not set; pass --model_dir=RUN.')
    validates = bool(
        validate_every and validation_split
        and info.splits.get(validation_split, {}).get('num_videos'))
    _check_best(phases, validates, validation_split, data_dir)
    spans = phases.spans(info.steps_per_epoch('train', batch_size))
    state = make_state('train', batch_size)
    config = recipe() if recipe else None
    chief = strategy_lib.is_chief(strategy)
    with contextlib.ExitStack() as stack:
      if chief:
        stack.enter_context(directory_lock.hold(model_dir, 'model_dir'))
      stack.enter_context(dataset_lib.reading(info))
      if config is not None:
        checkpoints.check_same_recipe(model_dir, config, ignored=_MAY_DIFFER)
      restored = checkpoints.restore_latest(state.checkpoint, model_dir)
      if not restored and init_from:
        with strategy.scope():
          checkpoints.initialize_from(state.model, init_from)
      if chief:
        _write_description(
            model_dir, config, info=info, state=state, seed=seed, spans=spans,
            batch_size=batch_size)
      run = _Loop(
          state=state, spans=spans, model_dir=model_dir, chief=chief,
          validation=_validation_batches(
              dataset, data_dir, validation_split, batch_size) if validates else None,
          validate_every=validate_every, checkpoint_every=checkpoint_every,
          keep_checkpoints=keep_checkpoints, log_every=log_every, seed=seed,
          batch_size=batch_size)
      if starts and not (init_from or restored):
        run.say('note: without --init_from everything starts from chance. The recipe '
                f'means runs of {", ".join(starts)}; --stage=all trains them first.')
      return run.run(restored)


class State:
  """Model, optimisers, step and trainer of a run, all made in the strategy's scope."""

  def __init__(self, *, model, dataset, plan, optimizers, info, split, batch_size, seed,
               strategy, execution):
    with strategy.scope():
      self.model = model(num_classes=info.num_classes)
      _check_modalities(self.model, dataset)
      self.global_step = tf.Variable(
          0, dtype=tf.int64, trainable=False, name='global_step',
          aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
      groups = self.model.variable_groups()
      self.optimizers = {
          g: optimizers[g].build(groups[g]) for g in plan.groups()
          if g in optimizers and g in groups}
    self.strategy = strategy
    self.checkpoint = tf.train.Checkpoint(
        model=self.model, step=self.global_step,
        optimizers={g: o.optimizer for g, o in self.optimizers.items()})
    self.trainer = trainer_lib.Trainer(
        model=self.model, plan_phases=plan.phases(), optimizers=self.optimizers,
        make_batches=lambda start, context: dataset.batches(
            info.data_dir, split, batch_size=batch_size, training=True, seed=seed,
            start_step=start, input_context=context),
        strategy=strategy, global_step=self.global_step, seed=seed,
        batch_size=batch_size, jit_compile=execution.jit_compile)
    unused = set(optimizers) - set(self.optimizers)
    if unused:
      raise ValueError(
          f'optimizers name {sorted(unused)[0]!r}, which no phase moves; the plan '
          f'moves {plan.groups()}.')


class _Loop:
  """Runs the spans that are left."""

  def __init__(self, *, state, spans, model_dir, chief, validation, validate_every,
               checkpoint_every, keep_checkpoints, log_every, seed, batch_size):
    self._state, self._spans, self._model_dir = state, spans, model_dir
    self._chief = chief
    self._validate_every = validate_every
    self._best = checkpoints.BestRecord(model_dir)
    self._validation: dict[str, float] = {}
    self._train: dict[str, float] = {}
    self._label = ''
    self._progress = progress_lib.Progress(
        total_steps=spans[-1].end, batch_size=batch_size,
        stream=None if chief else io.StringIO())
    evaluator = validation and trainer_lib.Validator(state.model, validation, seed=seed)
    self._manager = checkpoints.make_manager(
        state.checkpoint, model_dir, state.global_step, keep=keep_checkpoints,
        every_steps=checkpoint_every, chief=chief)
    train_events, validation_events = (
        os.path.join(model_dir, name) if chief else None
        for name in ('train', 'validation'))
    self._controller = orbit.Controller(
        global_step=state.global_step, trainer=state.trainer, evaluator=evaluator,
        strategy=state.strategy, steps_per_loop=log_every,
        train_actions=[self._report],
        summary_dir=train_events, eval_summary_dir=validation_events)
    # Given only now: the controller would restore once more, and from the scratch
    # directory on workers other than the chief.
    self._controller.checkpoint_manager = self._manager
    self._validates = evaluator is not None
    self._wait = _barrier(state.strategy)

  def run(self, restored: str | None) -> dict[str, Any]:
    if restored:
      self._progress.message(f'going on from {restored}')
    try:
      for i, span in enumerate(self._spans):
        self._run_span(span, last_of_stage=_is_last_of_stage(self._spans, i))
    finally:
      self._progress.close()
    return self._finish()

  def say(self, text: str):
    """A line to the user."""
    self._progress.message(text)

  @property
  def _step(self) -> int:
    return int(self._state.global_step.numpy())

  def _run_span(self, span: phases_lib.Span, last_of_stage: bool):
    number = span.epoch.number + 1
    validates = self._validates and span.phase.validates and (
        last_of_stage or number % self._validate_every == 0)
    if self._step > span.end:
      return
    if self._step < span.end:
      if self._step == span.start:
        self._enter(span)
      self._label = span.label
      self._state.trainer.set_span(span)
      self._progress.start(self._step)
      with _without_orbit_prints():
        self._controller.train(span.end)
    # A kill between the checkpoint and the note of its validation ends here too.
    if validates and self._best.validated_step < span.end:
      self._validate(span)

  def _enter(self, span: phases_lib.Span):
    """What happens once, before the first step of a span."""
    if span.epoch.starts_from_best:
      path = self._best.checkpoint(span.epoch.starts_from_best)
      with self._state.strategy.scope():
        checkpoints.restore_model(self._state.model, path)
      self._progress.message(
          f'{span.phase.name} starts from {path}, validation top-1 '
          f'{100 * self._best.top1(span.epoch.starts_from_best):.1f} %')
    if span.epoch.begins:
      self._state.trainer.reset_optimizers(span.phase.moves)

  def _validate(self, span: phases_lib.Span):
    with _without_orbit_prints():
      values = self._controller.evaluate()
    self._validation = {k: float(v) for k, v in values.items()}
    rates = ' '.join(f'{k.split("/")[1]} {100 * v:.0f} %' for k, v in values.items()
                     if k.startswith('selection/') and len(values) > 2)
    self._progress.message(
        f'{span.label} | step {span.end} | validation top-1 '
        f'{100 * values["top1"]:.1f} %{rates and " | ran: " + rates}')
    if self._chief:
      self._best.update(
          span.epoch.stage, span.end, self._validation['top1'],
          checkpoints.latest_checkpoint(self._model_dir))
    if trainer_lib.many_workers(self._state.strategy):
      self._wait()  # until the chief has written the record
      self._best = checkpoints.BestRecord(self._model_dir)

  def _report(self, outputs: Mapping[str, float]):
    self._train = {k: float(v) for k, v in outputs.items()}
    self._progress.report(self._label, self._step, self._train)

  def _finish(self) -> dict[str, Any]:
    path = os.path.join(self._model_dir, checkpoints.COMPLETED_FILE)
    if not self._train:  # a run that had finished before
      done = checkpoints.read_json(path)
      if done is not None:
        self._progress.message(
            f'{self._model_dir} is complete at step {self._step}; nothing to do')
        return done
    metrics = {'step': self._step, **self._train,
               **{f'validation/{k}': v for k, v in self._validation.items()}}
    if self._chief:
      checkpoints.write_json(path, metrics)
    return metrics


def _barrier(strategy: tf.distribute.Strategy) -> Callable[[], Any]:
  """A function that returns when every worker has called it."""
  return tf.function(lambda: strategy.reduce(
      'SUM', strategy.run(lambda: tf.constant(1.)), axis=None))


def _is_last_of_stage(spans: Sequence[phases_lib.Span], index: int) -> bool:
  """Whether no later span of the stage can be validated."""
  stage = spans[index].epoch.stage
  return not any(s.epoch.stage == stage and s.phase.validates
                 for s in spans[index + 1:])


def _check_best(plan: phases_lib.Plan, validates: bool, split: str, data_dir: str):
  if not validates and any(e.starts_from_best for e in plan.epochs):
    raise ValueError(
        f"start='best' chooses by validation, and {data_dir} has no videos in the "
        f'split {split!r} (or validate_every is 0); choose start=\'last\': '
        "--gin_param=\"phases.adamml_phases.start = 'last'\"")


def _check_modalities(model: base.GatedMultimodalModel,
                      dataset: dataset_lib.DatasetSpec | dataset_lib.FeatureSpec):
  if tuple(model.modalities) != tuple(dataset.modalities):
    raise ValueError(
        f'the model has the modalities {tuple(model.modalities)} and the dataset '
        f'{tuple(dataset.modalities)}; name the same, in this order.')
  given = dataset.view_specs()
  for view, spec in model.input_specs().items():
    if view not in given:
      raise ValueError(
          f'the model reads the view {view!r}; the dataset has {tuple(given)}.')
    if given[view].shape.as_list() != spec.shape.as_list() or (
        given[view].dtype != spec.dtype):
      raise ValueError(
          f'view {view!r} is {spec.dtype.name} {spec.shape[2:]} in the model and '
          f'{given[view].dtype.name} {given[view].shape[2:]} in the dataset; make '
          'sizes and frames agree.')


def _validation_batches(dataset, data_dir, split, batch_size) -> tf.data.Dataset:
  return dataset.batches(
      data_dir, split, batch_size=batch_size, training=False, drop_remainder=False)


def _write_description(model_dir, config, *, info, state, seed, spans, batch_size):
  """`operative_config.gin` and `run.json`, before the first checkpoint."""
  tf.io.gfile.makedirs(model_dir)
  if config is not None:
    checkpoints.write_text(os.path.join(model_dir, checkpoints.CONFIG_FILE), config)
  checkpoints.write_json(os.path.join(model_dir, checkpoints.RUN_FILE), {
      'labels': list(info.labels), 'multi_label': info.multi_label,
      'num_classes': info.num_classes, 'data_dir': info.data_dir,
      'data_options': dict(info.options),
      'modalities': list(state.model.modalities), 'seed': seed,
      'batch_size': batch_size, 'steps': spans[-1].end,
      'phases': list(dict.fromkeys(s.phase.name for s in spans)),
      'versions': {'python': platform.python_version(), 'tensorflow': tf.__version__}})


def _without_orbit_prints():
  """Orbit prints a line per loop, in addition to logging it; progress says it once."""
  return contextlib.redirect_stdout(io.StringIO())
