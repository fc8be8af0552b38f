"""The laws of the model contract, run on every model."""

import numpy as np
import tensorflow as tf

from tests import tiny_models
from tfmm.layers import gflops
from tfmm.models import base


class RowCounter(tf.keras.layers.Layer):
  """Stands in for a backbone and counts the rows that reach it (eager mode)."""

  def __init__(self, backbone):
    super().__init__(autocast=False)
    self.backbone = backbone
    self.row_spec = backbone.row_spec
    self.feature_dim = backbone.feature_dim
    self.rows = 0

  def call(self, rows, training=False):
    self.rows += int(rows.shape[0])
    return self.backbone(rows, training=training)


def some_closed(batch, seed=3):
  """The batch with a third of the (segment, modality) places absent."""
  present = np.random.default_rng(seed).random(batch['present'].shape) > 1 / 3
  present[0] = False  # a whole video with nothing to see or hear
  return {**batch, 'present': tf.constant(present, tf.float32)}


def settle(model, batch, phases):
  """`tiny_models.settle` of a model that may train in these phases only."""
  norms = [m for m in model.submodules if hasattr(m, 'moving_variance')]
  momentum = [norm.momentum for norm in norms]
  for norm in norms:
    norm.momentum = 0.
  for frozen in phases:
    model(batch, training=True, frozen=frozen, seed=tiny_models.SEED)
  for norm, value in zip(norms, momentum):
    norm.momentum = value


def check_result(model, batch, seed):
  result = model(batch, seed=seed)
  videos, segments, modalities = batch['present'].shape
  assert result.logits.shape == (videos, model.num_classes)
  assert result.gates.shape == result.ran.shape == (videos, segments, modalities)
  gates, ran = result.gates.numpy(), result.ran.numpy()
  assert ((gates >= 0) & (gates <= 1)).all()
  assert set(np.unique(ran)) <= {0., 1.}
  assert (ran >= (gates > 0)).all(), 'a gate is open whose encoder did not run'
  assert (ran <= batch['present'].numpy()).all(), 'something absent was computed'
  assert np.isfinite(result.logits.numpy()).all()


def check_mask_equals_gather(model, batch, seed, tolerance):
  model.skip = 'mask'
  masked = model(batch, seed=seed)
  model.skip = 'gather'
  gathered = model(batch, seed=seed)
  graph = tf.function(lambda b: model(b, seed=seed))(batch)
  model.skip = 'mask'
  for other in (gathered, graph):
    np.testing.assert_allclose(
        other.logits, masked.logits, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(other.ran, masked.ran)


def check_stream_equals_whole(model, batch):
  """Buying features segment by segment gives those of the whole video."""
  gate = batch['present'][:, :, 0]
  for modality in model.modalities:
    whole = model.encode(batch, modality, gate)
    for mode in ('mask', 'gather'):
      model.skip = mode
      at = model.stream(batch, modality)
      steps = tf.stack([at(t, gate[:, t]) for t in range(gate.shape[1])], 1)
      np.testing.assert_allclose(steps, whole, rtol=1e-4, atol=1e-4)
    model.skip = 'mask'


def check_rows_executed(model, batch, seed):
  counters = {}
  for modality, encoder in model.encoders.items():
    counters[modality] = encoder.backbone = RowCounter(encoder.backbone)
  model.skip = 'gather'
  ran = model(batch, seed=seed).ran.numpy()
  model.skip = 'mask'
  for i, modality in enumerate(model.modalities):
    assert counters[modality].rows == ran[:, :, i].sum()
    model.encoders[modality].backbone = counters[modality].backbone


def check_padding(model, batch, seed):
  def padded(x):
    return tf.concat([x, tf.ones_like(x)[:, :2]], 1)
  views = model.input_specs()
  longer = {**batch, **{v: padded(batch[v]) for v in views}}
  longer['present'] = tf.concat(
      [batch['present'], tf.zeros_like(batch['present'])[:, :2]], 1)
  segments = batch['present'].shape[1]
  short, long = model(batch, seed=seed), model(longer, seed=seed)
  np.testing.assert_allclose(long.logits, short.logits, rtol=1e-4, atol=1e-4)
  np.testing.assert_array_equal(long.ran[:, :segments], short.ran)
  assert not long.ran[:, segments:].numpy().any()


def check_gradients(model, batch, phases):
  groups = model.variable_groups()
  moved = [v.ref() for group in groups.values() for v in group]
  assert sorted(map(id, moved)) == sorted(set(map(id, moved)))
  assert {v.ref() for v in model.trainable_variables} == set(moved)
  assert set(groups) == {g for frozen in phases for g in groups if g not in frozen}
  for frozen in phases:
    moving = [v for g in groups if g not in frozen for v in groups[g]]
    with tf.GradientTape() as tape:
      result = model(batch, training=True, frozen=frozen, seed=tiny_models.SEED)
      loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(
          batch['label'], result.logits))
    for variable, gradient in zip(moving, tape.gradient(loss, moving)):
      assert gradient is not None, f'{variable.name} gets no gradient'
      assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all(), variable.name


def check_training_is_repeatable(model, batch, frozen):
  def train(seed):
    return model(batch, training=True, frozen=frozen, seed=seed)
  stored = model.get_weights()
  first = train(tiny_models.SEED)
  model.set_weights(stored)
  again = train(tiny_models.SEED)
  np.testing.assert_array_equal(first.logits, again.logits)
  np.testing.assert_array_equal(first.gates, again.gates)
  other = train(tiny_models.SEED + 1)
  assert not np.array_equal(first.logits, other.logits)


def check_frozen_groups(model, batch):
  """A frozen group keeps its batch statistics in a training call."""
  before = {v.ref(): v.numpy() for v in model.non_trainable_variables}
  model(batch, training=True, frozen=tuple(model.variable_groups()),
        seed=tiny_models.SEED)
  for variable in model.non_trainable_variables:
    np.testing.assert_array_equal(variable.numpy(), before[variable.ref()])


def check_save_and_load(make_model, model, batch, seed, folder):
  path = tf.train.Checkpoint(model=model).save(str(folder / 'ckpt'))
  other = make_model()
  said = model(batch, seed=seed).logits
  assert not np.allclose(other(batch, seed=seed).logits, said)
  tf.train.Checkpoint(model=other).restore(path).assert_existing_objects_matched()
  np.testing.assert_array_equal(other(batch, seed=seed).logits, said)


def check_cost(model, seed):
  """Reported multiply-adds equal those of the whole model's graph."""
  segments = 2
  specs = {k: tf.TensorSpec([1, segments, *s.shape[2:]], s.dtype)
           for k, s in model.input_specs().items()}
  specs['present'] = tf.TensorSpec([1, segments, len(model.modalities)])
  names = tuple(specs)
  model.skip = 'mask'
  whole = gflops.count_macs(
      lambda *tensors: model(dict(zip(names, tensors)), seed=seed).logits,
      *specs.values())
  cost = model.segment_cost()
  for convention in ('conv', 'papers'):
    parts = sum(
        getattr(c, convention) for c in (*cost.modality.values(), cost.overhead))
    assert getattr(whole, convention) == (
        segments * parts + getattr(cost.once, convention))
  complete = sum(c.total for c in (*cost.modality.values(), cost.overhead))
  fusing = segments * len(model.modalities) * model.num_classes
  assert 0 <= whole.total - segments * complete - cost.once.total <= fusing


def check_bad_inputs(model, batch):
  view = next(iter(model.input_specs()))
  for bad, word in (
      ({k: v for k, v in batch.items() if k != view}, view),
      ({**batch, view: tf.cast(batch[view], tf.int64)}, 'int64'),
      ({**batch, 'present': batch['present'][..., :0]}, 'present')):
    try:
      model(bad)
    except ValueError as error:
      assert word in str(error)
    else:
      raise AssertionError(f'accepted a batch with a bad {word}')


def check_model(make_model, folder, *, seed=None, phases=((),)):
  """Every law, on a model that `make_model()` builds.

  Args:
    make_model: without arguments.
    folder: for checkpoints.
    seed: int64 [2], for a model that draws something at test time too.
    phases: the frozen groups of each phase in which the model may train.
  """
  model = make_model()
  assert isinstance(model, base.GatedMultimodalModel)
  full = tiny_models.batch(model)
  check_mask_equals_gather(model, some_closed(full), seed, tolerance=1e-5)
  # Statistics of a batch this small divide by small numbers and magnify the noise
  # that another number of rows makes in float32.
  settle(model, full, phases)
  for batch in (full, some_closed(full)):
    check_result(model, batch, seed)
    check_mask_equals_gather(model, batch, seed, tolerance=1e-4)
    check_stream_equals_whole(model, batch)
    check_rows_executed(model, batch, seed)
    check_padding(model, batch, seed)
  check_gradients(model, full, phases)
  for frozen in phases:
    check_training_is_repeatable(model, full, frozen)
  check_frozen_groups(model, full)
  check_save_and_load(make_model, model, full, seed, folder)
  check_cost(model, seed)
  check_bad_inputs(model, full)
