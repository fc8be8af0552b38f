import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import fusion


def test_weights_start_equal_and_always_add_up_to_one():
  layer = fusion.LogitFusion('weighted', num_modalities=3)
  np.testing.assert_allclose(layer.weights_per_modality(), [1 / 3] * 3, rtol=1e-6)
  layer.free_weights.assign([.9, .4])
  np.testing.assert_allclose(
      layer.weights_per_modality(), [.9, .4, -.3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('kind', fusion.FUSIONS)
def test_one_modality_passes_unchanged(kind):
  layer = fusion.LogitFusion(kind, num_modalities=1)
  logits = tf.random.stateless_normal([2, 3, 1, 4], [1, 2])
  np.testing.assert_allclose(layer(logits), logits[:, :, 0], rtol=1e-6)
  assert not layer.trainable_variables


def test_fuses_as_the_weighted_sum():
  layer = fusion.LogitFusion('weighted', num_modalities=2)
  layer.free_weights.assign([.25])
  logits = np.random.default_rng(0).normal(size=[2, 3, 2, 4]).astype(np.float32)
  np.testing.assert_allclose(
      layer(logits), .25 * logits[:, :, 0] + .75 * logits[:, :, 1], rtol=1e-4,
      atol=1e-6)
