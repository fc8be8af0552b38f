"""YAMNet's cost and size as published, its numbers against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.data import dataset
from tfmm.encoders import yamnet

TINY = dict(size=(9, 12), width_multiplier=.125)


@pytest.fixture(name='full', scope='module')
def fixture_full():
  return yamnet.YAMNet()


def test_published_cost_and_size(full):
  macs = full.row_macs().conv
  assert f'{macs / 1e9:.5f} {(macs + 1024 * 521) / 1e9:.5f}' == '0.06863 0.06917'
  values = sum(v.shape.num_elements() for v in full.variables)
  assert values + 1025 * 521 == 3_751_369  # with the classifier of 521 sounds
  assert full.feature_dim == 1024
  assert full.row_spec == dataset.LogMel().spec()


def test_variables_are_named_as_in_the_release(full):
  names = {variable.name.split('/', 1)[1] for variable in full.variables}
  assert len(names) == len(full.variables)
  assert {'layer1/conv/kernel:0', 'layer1/conv/bn/beta:0',
          'layer2/depthwise_conv/depthwise_kernel:0',
          'layer7/depthwise_conv/bn/moving_mean:0',
          'layer14/pointwise_conv/kernel:0',
          'layer14/pointwise_conv/bn/moving_variance:0'} <= names
  assert not any('gamma' in name for name in names)


def convolve(images, kernel, stride):
  """[N, H, W, C] with [k, k, C, D]; 'SAME' pads the right side first."""
  size = kernel.shape[0]
  pads = []
  for length in images.shape[1:3]:
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    pads.append((total // 2, total - total // 2))
  images = np.pad(images, [(0, 0), *pads, (0, 0)])
  rows = range(0, images.shape[1] - size + 1, stride)
  columns = range(0, images.shape[2] - size + 1, stride)
  return np.stack([np.stack([
      np.einsum('nijc,ijcd->nd', images[:, r:r + size, c:c + size], kernel)
      for c in columns], 1) for r in rows], 1)


def activate(images, norm, training):
  if training:
    mean, variance = images.mean((0, 1, 2)), images.var((0, 1, 2))
  else:
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
  return np.maximum((images - mean) / np.sqrt(variance + 1e-4) + norm.beta.numpy(), 0)


def features(encoder, rows, training):
  maps = rows.astype(np.float64)
  first, *separable = encoder.blocks
  maps = activate(convolve(maps, first.conv.kernel.numpy(), 2), first.norm, training)
  assert len(separable) == 13
  for i, block in enumerate(separable, start=2):
    kernel = block.depthwise.conv.depthwise_kernel.numpy()
    # [k, k, C, 1] as a full kernel [k, k, C, C] with zeros off the diagonal
    maps = convolve(maps, kernel * np.eye(len(kernel[0, 0])), 1 + (i in (3, 5, 7, 13)))
    maps = activate(maps, block.depthwise.norm, training)
    maps = convolve(maps, block.pointwise.conv.kernel.numpy(), 1)
    maps = activate(maps, block.pointwise.norm, training)
  return maps.mean((1, 2))


@pytest.mark.parametrize('training, synchronized, limit', [
    (False, True, 1e-5),
    # Statistics of a batch amplify rounding from layer to layer.
    (True, True, 1e-3), (True, False, 1e-3)])
def test_features(training, synchronized, limit):
  tf.keras.utils.set_random_seed(0)
  encoder = yamnet.YAMNet(**TINY, synchronized_batch_norm=synchronized)
  rng = np.random.default_rng(0)
  for variable in encoder.variables:
    if variable.shape.rank == 1:
      low, high = (.1, .5) if 'variance' in variable.name else (-.3, .6)
      variable.assign(rng.uniform(low, high, variable.shape))
  rows = rng.normal(size=(12, 9, 12, 1)).astype(np.float32)
  expected = features(encoder, rows, training)
  got = encoder(rows, training=training)
  assert got.shape == (12, 128) and (expected > 0).any(0).mean() > .5
  assert np.abs(got - expected).max() < limit * expected.max()


def test_statistics_are_kept_by_99_hundredths():
  norm = yamnet.BatchNorm(2)
  norm(tf.constant([[[[1., 3.]]]] * 4), training=True)
  np.testing.assert_allclose(norm.moving_mean, [.01, .03], rtol=1e-5)
  np.testing.assert_allclose(norm.moving_variance, [.99, .99], rtol=1e-5)


def test_refusals():
  with pytest.raises(ValueError, match='width_multiplier=0.01 leaves none of the 32'):
    yamnet.YAMNet(width_multiplier=.01)
  conv = yamnet.Convolution(1, 1, 3, 2)
  with pytest.raises(ValueError, match='mirrored=True'):
    conv.scaled(tf.zeros([1, 4, 4, 1]), tf.ones([1]), mirrored=True)
