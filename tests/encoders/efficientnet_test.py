"""keras-cv's network behind the row contract."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import efficientnet


@pytest.mark.parametrize('options, conv, feature_dim', [
    (dict(variant='b3'), 961_172_240, 1536),
    (dict(variant='b3', num_frames=8), 2_871_608_464, 1536),
    (dict(size=256, in_channels=1, normalization='none'), 492_620_288, 1280),
])
def test_cost_and_features(options, conv, feature_dim):
  encoder = efficientnet.EfficientNet(**options)
  # 0.963 and 0.988 GFLOPs are in print for B3, with its classifier and batch
  # normalization; AdaMML's table 6 is close to 2.87 per segment.
  assert encoder.row_macs().conv == conv
  assert encoder.feature_dim == feature_dim


def test_rows():
  tf.keras.utils.set_random_seed(1)
  encoder = efficientnet.EfficientNet(num_frames=2, size=32)
  rows = tf.constant(
      np.random.default_rng(0).integers(0, 256, (2, 2, 32, 32, 3)), tf.uint8)
  features = encoder(rows)
  assert features.shape == (2, 1280) and features.dtype == tf.float32
  alone = tf.concat([encoder(rows[:1]), encoder(rows[1:])], axis=0)
  np.testing.assert_allclose(features, alone, rtol=1e-4, atol=1e-5)

  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(encoder(rows, training=True) ** 2)
  gradients = tape.gradient(loss, encoder.trainable_variables)
  assert all(g is not None for g in gradients)
  # Nothing random in training: dropout would be in no checkpoint.
  assert not any(isinstance(layer, tf.keras.layers.Dropout)
                 for part in encoder.parts for layer in part.layers)


def test_unknown_variant():
  with pytest.raises(ValueError, match="variant='b9'"):
    efficientnet.EfficientNet(variant='b9')
