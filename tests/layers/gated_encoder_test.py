import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import gated_encoder


class Doubler(tf.keras.layers.Layer):
  """A backbone: [N, 3] -> [N, 2], first and last column doubled; refuses no rows."""

  feature_dim = 2
  row_spec = tf.TensorSpec([3])

  def call(self, rows, training=False):
    with tf.control_dependencies([tf.debugging.assert_positive(tf.shape(rows)[0])]):
      return 2 * tf.gather(rows, [0, 2], axis=1)


@pytest.mark.parametrize('skip', ['mask', 'gather'])
@pytest.mark.parametrize('gate', [[1, 0, .5, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
def test_open_rows_are_scaled_and_closed_rows_are_zero(skip, gate):
  encoder = gated_encoder.GatedEncoder(Doubler(), view='x', skip=skip)
  rows = np.arange(12, dtype=np.float32).reshape(4, 3)
  expected = 2 * rows[:, [0, 2]] * np.array(gate)[:, None]
  for call in (encoder, tf.function(encoder)):
    np.testing.assert_allclose(call(rows, tf.constant(gate, tf.float32)), expected)


def test_backbone_is_not_entered_without_open_rows():
  encoder = gated_encoder.GatedEncoder(Doubler(), view='x', skip='gather')
  result = tf.function(encoder)(tf.ones([4, 3]), tf.zeros([4]))
  np.testing.assert_array_equal(result, np.zeros([4, 2]))


def test_training_always_masks_so_that_the_gate_gets_a_gradient():
  encoder = gated_encoder.GatedEncoder(Doubler(), view='x', skip='gather')
  gate = tf.constant([1., 0.])
  rows = tf.constant([[1., 2., 3.], [4., 5., 6.]])
  with tf.GradientTape() as tape:
    tape.watch(gate)
    total = tf.reduce_sum(encoder(rows, gate, training=True))
  np.testing.assert_allclose(tape.gradient(total, gate), [2 * (1 + 3), 2 * (4 + 6)])


def test_unknown_skip_mode_is_refused():
  with pytest.raises(ValueError, match='lazy'):
    gated_encoder.GatedEncoder(Doubler(), view='x', skip='lazy')


def test_gated_dense_multiplies_by_the_gate_once():
  layer = gated_encoder.GatedDense(4, input_dim=3)
  features = tf.random.stateless_normal([2, 3], [1, 2])
  gate = tf.constant([.25, 1.])
  plain = features.numpy() @ layer.kernel.numpy() + layer.bias.numpy()
  with tf.GradientTape() as tape:
    tape.watch(gate)
    out = layer(features * gate[:, None], gate)
    total = tf.reduce_sum(out)
  np.testing.assert_allclose(out, plain * [[.25], [1.]], rtol=1e-5)
  np.testing.assert_allclose(tape.gradient(total, gate), plain.sum(1), rtol=1e-5)
