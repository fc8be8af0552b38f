"""The blocks against NumPy, the shape of the network against the paper."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import resnet


def convolve(images, layer, stride=1):
  """`layer`'s kernel [k, k, C, D] over [N, H, W, C], k // 2 zeros on every side."""
  kernel = layer.kernel.numpy().astype('float64')
  size = kernel.shape[0]
  pad = size // 2
  images = np.pad(images, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
  rows = range(0, images.shape[1] - size + 1, stride)
  columns = range(0, images.shape[2] - size + 1, stride)
  return np.stack([np.stack([
      np.einsum('nijc,ijcd->nd', images[:, r:r + size, c:c + size], kernel)
      for c in columns], axis=1) for r in rows], axis=1)


def normalize(images, layer):
  scale = layer.gamma.numpy() / np.sqrt(layer.moving_variance.numpy() + 1e-5)
  return (images - layer.moving_mean.numpy()) * scale + layer.beta.numpy()


def relu(images):
  return np.maximum(images, 0)


def with_random_norms(block, rng):
  """Gives all batch normalizations other values than 0 and 1."""
  for variable in block.variables:
    if variable.shape.rank == 1:
      variable.assign(rng.uniform(0.5, 1.5, variable.shape))
  return block


@pytest.mark.parametrize('stride, in_channels', [(1, 3), (2, 3), (1, 4)])
def test_basic_block(stride, in_channels):
  rng = np.random.default_rng(0)
  block = with_random_norms(resnet.BasicBlock(in_channels, 4, stride), rng)
  images = rng.normal(size=(2, 9, 8, in_channels))

  x = relu(normalize(convolve(images, block.conv1, stride), block.bn1))
  x = normalize(convolve(x, block.conv2), block.bn2)
  shortcut = images
  if block.downsample is not None:
    shortcut = normalize(
        convolve(images, block.downsample.conv, stride), block.downsample.norm)

  assert (block.downsample is None) == (in_channels == 4)
  np.testing.assert_allclose(
      block(images.astype('float32')), relu(x + shortcut), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('stride, in_channels', [(2, 3), (1, 8)])
def test_bottleneck_strides_on_the_3x3(stride, in_channels):
  rng = np.random.default_rng(0)
  block = with_random_norms(resnet.Bottleneck(in_channels, 2, stride), rng)
  images = rng.normal(size=(2, 9, 8, in_channels))

  x = relu(normalize(convolve(images, block.conv1), block.bn1))
  x = relu(normalize(convolve(x, block.conv2, stride), block.bn2))
  x = normalize(convolve(x, block.conv3), block.bn3)
  shortcut = images
  if block.downsample is not None:
    shortcut = normalize(
        convolve(images, block.downsample.conv, stride), block.downsample.norm)

  np.testing.assert_allclose(
      block(images.astype('float32')), relu(x + shortcut), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('depth, weights, feature_dim', [
    # The parameters of torchvision's networks without their classifiers.
    (18, 11_689_512 - 513_000, 512),
    (34, 21_797_672 - 513_000, 512),
    (50, 25_557_032 - 2_049_000, 2048),
    (101, 44_549_160 - 2_049_000, 2048),
])
def test_parameters_of_torchvision(depth, weights, feature_dim):
  encoder = resnet.ResNet(depth=depth)
  assert sum(v.shape.num_elements() for v in encoder.trainable_variables) == weights
  assert encoder.feature_dim == feature_dim
  assert encoder.row_spec == tf.TensorSpec([8, 224, 224, 3], tf.uint8)


def test_attributes_are_named_as_in_torchvision(tmp_path):
  encoder = resnet.ResNet(depth=50, num_frames=1, size=32, width=4)
  path = tf.train.Checkpoint(rgb=encoder).write(str(tmp_path / 'resnet'))
  names = [name for name, _ in tf.train.list_variables(path)]
  for name in ('conv1/kernel', 'bn1/gamma', 'layer1/0/conv1/kernel',
               'layer3/5/bn3/moving_variance', 'layer4/0/downsample/conv/kernel'):
    assert f'rgb/{name}/.ATTRIBUTES/VARIABLE_VALUE' in names


def test_frames_are_pooled_before_stages_2_3_and_4():
  encoder = resnet.ResNet(depth=18, num_frames=8, size=32, width=4)
  seen = []
  for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
    call = stage[0].call
    stage[0].call = (
        lambda images, training=False, call=call:
        (seen.append(images.shape[0]), call(images, training))[1])
  encoder(tf.zeros([3, 8, 32, 32, 3], tf.uint8))
  assert seen == [24, 12, 6, 3]


def test_cost_of_a_frame_at_depth_101():
  encoder = resnet.ResNet(depth=101, num_frames=1)
  macs = encoder.row_macs().conv
  # 7.80 G multiply-adds are in print with the classifier of 1000 classes, and 7.82 by
  # LiteEval.
  assert macs == 7_799_357_440
  assert f'{(macs + 2048 * 1000) / 1e9:.2f}' == '7.80'


def test_unknown_depth():
  with pytest.raises(ValueError, match='depth=42.*use 18, 34, 50, 101'):
    resnet.ResNet(depth=42)
