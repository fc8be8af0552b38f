"""Numbers against NumPy, padded as PyTorch pads."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import convolution


def convolve(images, kernel, stride, padding):
  """[N, H, W, C] with [k, k, C, D], `padding` zeros on every side."""
  size = kernel.shape[0]
  images = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
  rows = range(0, images.shape[1] - size + 1, stride)
  columns = range(0, images.shape[2] - size + 1, stride)
  return np.stack([np.stack([
      np.einsum('nijc,ijcd->nd', images[:, r:r + size, c:c + size], kernel)
      for c in columns], axis=1) for r in rows], axis=1)


def images_of(*shape):
  return np.random.default_rng(1).normal(size=shape).astype('float32')


@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
@pytest.mark.parametrize('kernel, stride', [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_convolution(size, kernel, stride):
  layer = convolution.Convolution(3, 4, kernel, stride)
  images = images_of(2, *size, 3)
  np.testing.assert_allclose(
      layer(images), convolve(images, layer.kernel.numpy(), stride, kernel // 2),
      rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
@pytest.mark.parametrize('stride', [1, 2])
def test_depthwise_convolution(size, stride):
  layer = convolution.DepthwiseConvolution(3, 3, stride)
  images = images_of(2, *size, 3)
  # [k, k, C, 1] as a full kernel [k, k, C, C] with zeros off the diagonal
  kernel = layer.depthwise_kernel.numpy() * np.eye(3, dtype='float32')
  np.testing.assert_allclose(
      layer(images), convolve(images, kernel, stride, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
@pytest.mark.parametrize('depthwise', [False, True])
@pytest.mark.parametrize('kernel, stride', [(1, 1), (3, 1), (3, 2), (7, 2)])
def test_mirrored(size, depthwise, kernel, stride):
  """With mirrored images and filters the same comes out, mirrored."""
  layer = convolution.ConvNorm(4, 4, kernel, stride, depthwise=depthwise)
  layer.norm.moving_mean.assign([.1, -.2, .3, 0.])
  images = images_of(2, *size, 4)
  mirrored = layer(convolution.mirror(images), mirrored=True)
  np.testing.assert_allclose(
      convolution.mirror(mirrored), layer(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
def test_max_pool_of_negative_values(size):
  images = images_of(2, *size, 3) - 10.0
  padded = np.pad(
      images, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
  expected = np.stack([np.stack([
      padded[:, r:r + 3, c:c + 3].max(axis=(1, 2))
      for c in range(0, size[1], 2)], axis=1) for r in range(0, size[0], 2)], axis=1)
  np.testing.assert_array_equal(convolution.max_pool(images), expected)


def test_initial_weights_have_the_deviation_of_torchvision():
  full = convolution.Convolution(64, 256, 3).kernel.numpy()
  assert full.std() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
  depthwise = convolution.DepthwiseConvolution(4096, 3).depthwise_kernel.numpy()
  assert depthwise.std() == pytest.approx((2 / (4096 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize('synchronized', [False, True])
def test_batch_norm(synchronized):
  layer = convolution.BatchNorm(3, synchronized)
  layer.gamma.assign([1.0, 2.0, 3.0])
  layer.beta.assign([0.5, 0.0, -1.0])
  images = images_of(4, 5, 6, 3) * 3.0 + 1.0
  mean, variance = images.mean(axis=(0, 1, 2)), images.var(axis=(0, 1, 2))
  gamma, beta = layer.gamma.numpy(), layer.beta.numpy()

  trained = layer(images, training=True)

  np.testing.assert_allclose(
      trained, (images - mean) / np.sqrt(variance + 1e-5) * gamma + beta, atol=1e-4)
  np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-4)
  unbiased = variance * (1 if synchronized else 120 / 119)
  np.testing.assert_allclose(
      layer.moving_variance, 0.9 + 0.1 * unbiased, rtol=1e-4)
  mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
  np.testing.assert_allclose(
      layer(images, training=False),
      (images - mean) / np.sqrt(variance + 1e-5) * gamma + beta, atol=1e-4)


def test_conv_norm_clips_at_six():
  layer = convolution.ConvNorm(3, 3, 3, depthwise=True)
  values = layer(images_of(2, 8, 8, 3) * 100.0).numpy()
  assert values.min() == 0.0 and values.max() == 6.0
  linear = convolution.ConvNorm(3, 8, 1, activation=False)
  assert linear(images_of(2, 8, 8, 3)).numpy().min() < 0.0


def test_depthwise_must_keep_the_channels():
  with pytest.raises(ValueError, match='filters=4'):
    convolution.ConvNorm(3, 4, 3, depthwise=True)


def test_layers_are_built_when_constructed():
  layer = convolution.ConvNorm(3, 4, 3)
  assert len(layer.trainable_variables) == 3
  assert layer.conv.kernel.name.endswith('conv/kernel:0')


def test_half_precision():
  policy = tf.keras.mixed_precision.global_policy()
  tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    layer = convolution.ConvNorm(3, 4, 3)
    for training in (False, True):
      assert layer(images_of(2, 8, 8, 3), training=training).dtype == tf.bfloat16
  finally:
    tf.keras.mixed_precision.set_global_policy(policy)
