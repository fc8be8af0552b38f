"""ResNet over frames, with temporal max-pooling between its stages.

He et al. 2016 as torchvision builds it (stride on the 3x3 convolution of a
bottleneck), used by AdaMML (Panda et al. 2021, section 3.3 and 4.1) on 8 frames,
pooled to 4, 2 and 1 before the second, third and fourth stage. LiteEval (Wu et al.
2019) sees single frames with depth 101, 7.82 GFLOPs each.
"""

import tensorflow as tf

from tfmm.encoders import encoder
from tfmm.layers import convolution
from tfmm.layers import temporal

# Depth -> (blocks per stage, whether a block is a bottleneck).
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


class BasicBlock(tf.keras.layers.Layer):
  """Two 3x3 convolutions and a shortcut: [N, H, W, C] -> [N, H/s, W/s, filters]."""

  expansion = 1

  def __init__(self, in_channels, filters, stride, synchronized=True, name=None):
    super().__init__(name=name)
    with tf.name_scope(self.name):
      self.conv1 = convolution.Convolution(
          in_channels, filters, 3, stride, name='conv1')
      self.bn1 = convolution.BatchNorm(filters, synchronized, name='bn1')
      self.conv2 = convolution.Convolution(filters, filters, 3, name='conv2')
      self.bn2 = convolution.BatchNorm(filters, synchronized, name='bn2')
      self.downsample = _shortcut(in_channels, filters, stride, synchronized)

  def call(self, images, training=False):
    residual = images
    if self.downsample is not None:
      residual = self.downsample(images, training=training)
    images = tf.nn.relu(_normalized(self, 1, images, training))
    images = _normalized(self, 2, images, training)
    return tf.nn.relu(images + residual)


class Bottleneck(tf.keras.layers.Layer):
  """1x1, 3x3 (strided), 1x1 with a shortcut: -> [N, H/s, W/s, 4 * filters]."""

  expansion = 4

  def __init__(self, in_channels, filters, stride, synchronized=True, name=None):
    super().__init__(name=name)
    out_channels = filters * self.expansion
    with tf.name_scope(self.name):
      self.conv1 = convolution.Convolution(in_channels, filters, 1, name='conv1')
      self.bn1 = convolution.BatchNorm(filters, synchronized, name='bn1')
      self.conv2 = convolution.Convolution(filters, filters, 3, stride, name='conv2')
      self.bn2 = convolution.BatchNorm(filters, synchronized, name='bn2')
      self.conv3 = convolution.Convolution(filters, out_channels, 1, name='conv3')
      self.bn3 = convolution.BatchNorm(out_channels, synchronized, name='bn3')
      self.downsample = _shortcut(in_channels, out_channels, stride, synchronized)

  def call(self, images, training=False):
    residual = images
    if self.downsample is not None:
      residual = self.downsample(images, training=training)
    images = tf.nn.relu(_normalized(self, 1, images, training))
    images = tf.nn.relu(_normalized(self, 2, images, training))
    images = _normalized(self, 3, images, training)
    return tf.nn.relu(images + residual)


def _normalized(block, number, images, training):
  """`bn<number>` of `conv<number>` of the images."""
  return convolution.convolve_and_normalize(
      getattr(block, f'conv{number}'), getattr(block, f'bn{number}'), images, training)


def _shortcut(in_channels, out_channels, stride, synchronized):
  """The 1x1 convolution of a shortcut that changes shape, or None."""
  if stride == 1 and in_channels == out_channels:
    return None
  return convolution.ConvNorm(
      in_channels, out_channels, 1, stride, activation=False,
      synchronized=synchronized, name='downsample')


class ResNet(encoder.FrameEncoder):
  """ResNet features of rows [N, F, H, W, C], or [N, H, W, C] without frames.

  Attributes are named as in torchvision: `conv1`, `bn1`, `layer1[0].conv1`,
  `layer1[0].downsample` (`.conv`, `.norm`), ... `layer4`.

  Args:
    depth: 18, 34, 50 or 101.
    num_frames: F; None for rows without a frame axis (spectrograms).
    size: pixels, or (height, width).
    in_channels: C; 3 for RGB, 10 for five flow pairs, 15 for five RGB differences.
    width: filters of the first stage. Features have 8 * width values at depth 18
      and 34 (512 at the default), 32 * width at depth 50 and 101 (2048).
    normalization, row_dtype: see `encoder.FrameEncoder`.
    temporal_pool: halve the frames before stages 2, 3 and 4 (AdaMML); else every
      stage sees all frames.
    synchronized_batch_norm: batch statistics over all replicas.
  """

  def __init__(
      self, *, depth=50, num_frames=8, size=224, in_channels=3, width=64,
      normalization='imagenet', row_dtype=None, temporal_pool=True,
      synchronized_batch_norm=True, name=None):
    if depth not in DEPTHS:
      raise ValueError(
          f'depth={depth} is not a ResNet of this module: use '
          f'{", ".join(map(str, DEPTHS))}')
    blocks, bottleneck = DEPTHS[depth]
    block = Bottleneck if bottleneck else BasicBlock
    super().__init__(
        num_frames=num_frames, size=size, in_channels=in_channels,
        normalization=normalization, row_dtype=row_dtype,
        feature_dim=8 * width * block.expansion, name=name)
    self.temporal_pool = temporal_pool
    synchronized = synchronized_batch_norm
    with tf.name_scope(self.name):
      self.conv1 = convolution.Convolution(in_channels, width, 7, 2, name='conv1')
      self.bn1 = convolution.BatchNorm(width, synchronized, name='bn1')
      channels = width
      for stage, count in enumerate(blocks):
        layers = []
        for i in range(count):
          layers.append(block(
              channels, width * 2**stage, 2 if stage and not i else 1, synchronized,
              name=f'layer{stage + 1}_{i}'))
          channels = width * 2**stage * block.expansion
        setattr(self, f'layer{stage + 1}', layers)

  def feature_maps(self, images, num_frames, training):
    images = tf.nn.relu(_normalized(self, 1, images, training))
    images = convolution.max_pool(images)
    for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
      if self.temporal_pool and stage is not self.layer1:
        images = temporal.temporal_max_pool(images, num_frames)
        num_frames = temporal.pooled_frames(num_frames)
      for block in stage:
        images = block(images, training=training)
    return images, num_frames
