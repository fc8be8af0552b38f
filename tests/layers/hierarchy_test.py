"""One level; `tests/models/hms_test.py` has all of them, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import hierarchy


def tensors(*shapes, seed=0):
  rng = np.random.default_rng(seed)
  return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def make_level(**options):
  return hierarchy.Level(
      feature_dim=6, below_dim=3, projection_dim=4, units=5, **options)


@pytest.mark.parametrize('projection', hierarchy.PROJECTIONS)
@pytest.mark.parametrize('gate', [[1., 0., 1.], [0., 0., 0.]])
def test_gathered_equals_masked(projection, gate):
  level, gate = make_level(projection=projection), tf.constant(gate)
  below, features, h, c, rest_h, rest_c = tensors(
      [3, 3], [3, 6], *[[3, 5]] * 4)
  projected = level.project(features)
  masked = level.move([below], projected, (h, c), (rest_h, rest_c), gate)
  got, gathered = level.move_gathered(
      [below], features, (h, c), (rest_h, rest_c), gate)
  np.testing.assert_allclose(got, projected * gate[:, tf.newaxis], atol=1e-6)
  for one, other in zip(masked, gathered):
    np.testing.assert_allclose(one, other, atol=1e-6)
  closed = gate.numpy() == 0
  np.testing.assert_array_equal(masked[0].numpy()[closed], rest_h.numpy()[closed])
  moved, _ = level.cell(tf.concat([below, projected], -1), (h, c))
  np.testing.assert_allclose(masked[0].numpy()[~closed], moved.numpy()[~closed])


def test_the_gradient_of_a_gate_is_what_moving_changes():
  level, gate = make_level(), tf.constant([1., 0.])
  below, projected, h, c, rest_h, rest_c = tensors([2, 3], [2, 4], *[[2, 5]] * 4)
  with tf.GradientTape() as tape:
    tape.watch(gate)
    hidden, _ = level.move([below], projected, (h, c), (rest_h, rest_c), gate)
  moved, _ = level.cell(tf.concat([below, projected], -1), (h, c))
  np.testing.assert_allclose(
      tape.gradient(hidden, gate), tf.reduce_sum(moved - rest_h, 1), rtol=1e-5)


def test_mlp_is_normalized_and_positive():
  level = make_level(projection='mlp')
  features, = tensors([50, 6])
  raw = level.projection(features).numpy()
  expected = np.maximum(
      (raw - raw.mean(0)) / np.sqrt(raw.var(0) + 1e-5), 0.)
  np.testing.assert_allclose(
      level.project(features, training=True), expected, atol=1e-5)


def test_override():
  state, below = tensors([2, 5], [2, 3])
  np.testing.assert_array_equal(
      hierarchy.override(state, below),
      np.concatenate([below, state.numpy()[:, 3:]], 1))


def test_the_lowest_level_has_no_gate():
  level = hierarchy.Level(feature_dim=6, below_dim=0, projection_dim=4, units=5)
  assert level.gate is None


def test_unknown_projection():
  with pytest.raises(ValueError, match="projection is 'deep'"):
    make_level(projection='deep')


def test_multiply_adds_by_hand():
  level = make_level()
  assert level.move_macs([3]).total == 6 * 4 + 4 * 5 * (3 + 4 + 5)
  assert level.gate_macs([3]).total == 2 * (3 + 5 + 5)
