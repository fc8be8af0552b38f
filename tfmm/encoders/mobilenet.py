"""MobileNetV2 over frames or spectrograms.

Sandler et al. 2018 as torchvision builds it. AdaMML (Panda et al. 2021, section
4.1) hears with it (256x256 log-spectrograms, no frames) and looks at previews with
it: 4 frames of 160x160, pooled to 2 and 1 before the stages of 64 and 160 channels.
"""

import tensorflow as tf

from tfmm.encoders import encoder
from tfmm.layers import convolution
from tfmm.layers import temporal

# Expansion, channels, blocks and first stride of each stage (Sandler et al.,
# table 2), and whether frames are max-pooled before it.
STAGES = (
    (1, 16, 1, 1, False),
    (6, 24, 2, 2, False),
    (6, 32, 3, 2, False),
    (6, 64, 4, 2, True),
    (6, 96, 3, 1, False),
    (6, 160, 3, 2, True),
    (6, 320, 1, 1, False),
)


def scaled_channels(channels: int, width_multiplier: float) -> int:
  """Channels times the multiplier, rounded to a multiple of 8, at most 10 % lost."""
  wanted = channels * width_multiplier
  rounded = max(8, int(wanted + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * wanted else rounded


class InvertedResidual(tf.keras.layers.Layer):
  """Expand 1x1, depthwise 3x3, project 1x1: -> [N, H/s, W/s, filters]."""

  def __init__(
      self, in_channels, filters, stride, expansion, synchronized=True, name=None):
    super().__init__(name=name)
    self.has_shortcut = stride == 1 and in_channels == filters
    hidden = in_channels * expansion
    with tf.name_scope(self.name):
      self.expand = None
      if expansion != 1:
        self.expand = convolution.ConvNorm(
            in_channels, hidden, 1, synchronized=synchronized, name='expand')
      self.depthwise = convolution.ConvNorm(
          hidden, hidden, 3, stride, depthwise=True, synchronized=synchronized,
          name='depthwise')
      self.project = convolution.ConvNorm(
          hidden, filters, 1, activation=False, synchronized=synchronized,
          name='project')

  def call(self, images, training=False, mirrored=False):
    hidden = images
    for layer in (self.expand, self.depthwise, self.project):
      if layer is not None:
        hidden = layer(hidden, training=training, mirrored=mirrored)
    return images + hidden if self.has_shortcut else hidden


class MobileNetV2(encoder.FrameEncoder):
  """MobileNetV2 features of rows [N, F, H, W, C], or [N, H, W, C] without frames.

  `stem`, `blocks[i]` and `head` are torchvision's features[0], features[i + 1] and
  features[18].

  Args:
    num_frames: F; None for rows without a frame axis (spectrograms).
    size: pixels, or (height, width).
    in_channels: C.
    width_multiplier: scales the channels of all stages, in steps of 8.
    last_channels: D, the filters of the last 1x1 convolution; scaled only by
      multipliers above 1.
    normalization, row_dtype: see `encoder.FrameEncoder`.
    temporal_pool: halve the frames before the stages of 64 and 160 channels.
    synchronized_batch_norm: batch statistics over all replicas.
  """

  def __init__(
      self, *, num_frames=None, size=224, in_channels=3, width_multiplier=1.0,
      last_channels=1280, normalization='imagenet', row_dtype=None,
      temporal_pool=True, synchronized_batch_norm=True, name=None):
    if width_multiplier <= 0:
      raise ValueError(
          f'width_multiplier={width_multiplier}: give a number above 0, such as 0.35')
    feature_dim = scaled_channels(last_channels, max(1.0, width_multiplier))
    super().__init__(
        num_frames=num_frames, size=size, in_channels=in_channels,
        normalization=normalization, row_dtype=row_dtype, feature_dim=feature_dim,
        name=name)
    self.temporal_pool = temporal_pool
    synchronized = synchronized_batch_norm
    channels = scaled_channels(32, width_multiplier)
    with tf.name_scope(self.name):
      self.stem = convolution.ConvNorm(
          in_channels, channels, 3, 2, synchronized=synchronized, name='stem')
      self.blocks = []
      pooling_blocks = []
      for expansion, filters, count, stride, pool in STAGES:
        if pool:
          pooling_blocks.append(len(self.blocks))
        filters = scaled_channels(filters, width_multiplier)
        for i in range(count):
          self.blocks.append(InvertedResidual(
              channels, filters, 1 if i else stride, expansion, synchronized,
              name=f'block{len(self.blocks)}'))
          channels = filters
      self.head = convolution.ConvNorm(
          channels, feature_dim, 1, synchronized=synchronized, name='head')
    # Indices of the blocks that max-pool frames first.
    self._pooling_blocks = tuple(pooling_blocks)

  def feature_maps(self, images, num_frames, training):
    mode = {'training': training, 'mirrored': not training}
    if mode['mirrored']:
      images = convolution.mirror(images)
    images = self.stem(images, **mode)
    for i, block in enumerate(self.blocks):
      if self.temporal_pool and i in self._pooling_blocks:
        images = temporal.temporal_max_pool(images, num_frames)
        num_frames = temporal.pooled_frames(num_frames)
      images = block(images, **mode)
    return self.head(images, **mode), num_frames
