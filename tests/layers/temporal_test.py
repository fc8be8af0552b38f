import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import temporal


@pytest.mark.parametrize('num_frames', [1, 2, 3, 4, 5, 8])
def test_max_pool_is_kernel_3_stride_2_padding_1(num_frames):
  rng = np.random.default_rng(0)
  frames = rng.normal(size=(3, num_frames, 2, 5, 4)).astype('float32') - 5.0
  padded = np.full((3, num_frames + 2, 2, 5, 4), -np.inf, 'float32')
  padded[:, 1:-1] = frames
  expected = np.stack(
      [padded[:, i:i + 3].max(axis=1) for i in range(0, num_frames, 2)], axis=1)
  if num_frames == 1:
    expected = frames

  pooled = temporal.temporal_max_pool(
      frames.reshape(-1, *frames.shape[2:]), num_frames)

  assert temporal.pooled_frames(num_frames) == expected.shape[1]
  np.testing.assert_array_equal(pooled, expected.reshape(-1, *expected.shape[2:]))


def test_folding_keeps_order_and_works_without_rows():
  rows = tf.reshape(tf.range(24), [2, 3, 4])
  folded = temporal.fold_frames(rows)
  np.testing.assert_array_equal(folded, tf.range(24).numpy().reshape(6, 4))
  np.testing.assert_array_equal(temporal.unfold_frames(folded, 3), rows)

  @tf.function(input_signature=[tf.TensorSpec([None, 4, 5])])
  def pool(rows):
    return temporal.temporal_max_pool(temporal.fold_frames(rows), 4)

  assert pool(tf.zeros([0, 4, 5])).shape == (0, 5)
  assert pool(tf.zeros([3, 4, 5])).shape == (6, 5)
