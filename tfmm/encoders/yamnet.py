"""YAMNet: MobileNetV1 over log-mel patches.

The network of tensorflow/models, research/audioset/yamnet: Howard et al. 2017 at full
width, with ReLU and batch normalization that has a centre but no scale. It is a network
of TensorFlow, so it pads as TensorFlow's 'SAME' does, unlike `tfmm.layers.convolution`.
HMS hears with it: one patch of 0.96 s per step, 1024 features.
"""

import numpy as np
import tensorflow as tf

from tfmm.encoders import encoder
from tfmm.layers import convolution

# Stride and filters of the release's layer1, a full convolution, and of layer2 to
# layer14, depthwise-separable ones.
LAYERS = (
    (2, 32), (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512),
    (1, 512), (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024))


class Convolution(tf.keras.layers.Conv2D):
  """Square convolution without bias, padded as TensorFlow pads; He-normal weights."""

  def __init__(self, in_channels, filters, kernel_size, stride=1, name=None):
    super().__init__(
        filters, kernel_size, strides=stride, padding='same', use_bias=False, name=name,
        kernel_initializer='he_normal')
    with tf.name_scope(self.name):
      self.build(tf.TensorShape([None, None, None, in_channels]))

  def scaled(self, images, scale, mirrored=False):
    """As `call`, with each filter multiplied: scale [filters]."""
    kernel = _scaled_kernel(self, self.kernel, scale, mirrored)
    return tf.nn.conv2d(
        tf.cast(images, self.compute_dtype), kernel, self.strides, 'SAME')


class DepthwiseConvolution(tf.keras.layers.DepthwiseConv2D):
  """One square filter per channel, otherwise as `Convolution`."""

  def __init__(self, channels, kernel_size, stride=1, name=None):
    super().__init__(
        kernel_size, strides=stride, padding='same', use_bias=False, name=name,
        # What Keras takes for the fan-out of [k, k, C, 1] is what an output sums.
        depthwise_initializer=tf.keras.initializers.VarianceScaling(2.0, 'fan_out'))
    with tf.name_scope(self.name):
      self.build(tf.TensorShape([None, None, None, channels]))

  def scaled(self, images, scale, mirrored=False):
    """As `call`, with each filter multiplied: scale [channels]."""
    # [k, k, C, 1]
    kernel = _scaled_kernel(
        self, self.depthwise_kernel, scale[:, tf.newaxis], mirrored)
    return tf.nn.depthwise_conv2d(
        tf.cast(images, self.compute_dtype), kernel, [1, *self.strides, 1], 'SAME')


def _scaled_kernel(layer, kernel, scale, mirrored):
  if mirrored:
    raise ValueError(
        'mirrored=True: these layers pad as TensorFlow does, so mirrored images would '
        'be padded elsewhere; give images as they are')
  return tf.cast(tf.cast(kernel, scale.dtype) * scale, layer.compute_dtype)


class BatchNorm(convolution.BatchNorm):
  """Batch normalization with a centre and no scale, epsilon 1e-4.

  Statistics are kept by 0.99, Keras's default, which the release leaves as it is.
  """

  def build(self, input_shape):
    self.scale, self.epsilon, self.momentum = False, 1e-4, 0.99
    super().build(input_shape)
    self.gamma = np.ones(input_shape[-1], np.float32)  # a constant


class ConvNorm(tf.keras.layers.Layer):
  """Convolution (full or depthwise), batch normalization and ReLU."""

  def __init__(self, conv, channels, synchronized=True, name=None):
    super().__init__(name=name)
    self.conv = conv
    with tf.name_scope(self.name):
      self.norm = BatchNorm(channels, synchronized, name='bn')

  def call(self, images, training=False):
    return tf.nn.relu(convolution.convolve_and_normalize(
        self.conv, self.norm, images, training))


class SeparableConvolution(tf.keras.layers.Layer):
  """Depthwise 3x3 (strided), then 1x1: -> [N, ceil(H/s), ceil(W/s), filters]."""

  def __init__(self, in_channels, filters, stride, synchronized=True, name=None):
    super().__init__(name=name)
    with tf.name_scope(self.name):
      self.depthwise = ConvNorm(
          DepthwiseConvolution(in_channels, 3, stride, name='depthwise_conv'),
          in_channels, synchronized, name='depthwise_conv')
      self.pointwise = ConvNorm(
          Convolution(in_channels, filters, 1, name='pointwise_conv'),
          filters, synchronized, name='pointwise_conv')

  def call(self, images, training=False):
    return self.pointwise(
        self.depthwise(images, training=training), training=training)


class YAMNet(encoder.FrameEncoder):
  """YAMNet features of log-mel patches: float32 [N, 96, 64, 1] -> [N, 1024].

  Rows are what the view `LogMel` delivers: moments along height, bands along width.
  `blocks[i]` is the release's layer{i + 1}: `blocks[0].conv` and `.norm` are its
  `layer1/conv` and `layer1/conv/bn`; `blocks[1].depthwise.conv` and `.pointwise.norm`
  are `layer2/depthwise_conv` and `layer2/pointwise_conv/bn`. Kernels have the shapes of
  the release. Its classifier of 521 sounds is not part of the encoder.

  Args:
    size: (moments, bands) of a patch.
    width_multiplier: scales the channels of all layers, and so the features.
    synchronized_batch_norm: batch statistics over all replicas.
  """

  def __init__(
      self, *, size=(96, 64), width_multiplier=1.0, synchronized_batch_norm=True,
      name=None):
    widths = [round(filters * width_multiplier) for _, filters in LAYERS]
    if widths[0] < 1:
      raise ValueError(
          f'width_multiplier={width_multiplier} leaves none of the {LAYERS[0][1]} '
          f'filters of the first layer: give at least {1 / LAYERS[0][1]}')
    super().__init__(
        num_frames=None, size=size, in_channels=1, normalization='none',
        row_dtype='float32', feature_dim=widths[-1], name=name)
    with tf.name_scope(self.name):
      self.blocks = []
      channels = 1
      for i, ((stride, _), filters) in enumerate(zip(LAYERS, widths)):
        layer = f'layer{i + 1}'
        if not i:
          self.blocks.append(ConvNorm(
              Convolution(channels, filters, 3, stride, name=f'{layer}/conv'), filters,
              synchronized_batch_norm, name=f'{layer}/conv'))
        else:
          self.blocks.append(SeparableConvolution(
              channels, filters, stride, synchronized_batch_norm, name=layer))
        channels = filters

  def feature_maps(self, images, num_frames, training):
    for block in self.blocks:
      images = block(images, training=training)
    return images, num_frames
