import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import mobilenet


def test_parameters_of_torchvision():
  encoder = mobilenet.MobileNetV2()
  weights = sum(v.shape.num_elements() for v in encoder.trainable_variables)
  assert weights == 3_504_872 - 1_281_000  # without the classifier
  assert encoder.feature_dim == 1280
  assert encoder.row_spec == tf.TensorSpec([224, 224, 3], tf.uint8)


@pytest.mark.parametrize('channels, multiplier, expected', [
    (32, 1.0, 32), (32, 0.35, 16), (24, 0.35, 8), (64, 0.35, 24), (160, 0.35, 56),
    (320, 0.35, 112), (96, 0.1, 16), (16, 0.1, 8), (1280, 1.4, 1792),
])
def test_channels_are_rounded_to_multiples_of_8(channels, multiplier, expected):
  assert mobilenet.scaled_channels(channels, multiplier) == expected


def test_last_channels_do_not_shrink():
  small = dict(size=32, width_multiplier=0.35)
  assert mobilenet.MobileNetV2(**small).feature_dim == 1280
  assert mobilenet.MobileNetV2(**small, last_channels=64).feature_dim == 64


@pytest.mark.parametrize('stride, filters, shortcut', [
    (1, 8, True), (2, 8, False), (1, 16, False)])
def test_shortcut_where_the_shape_stays(stride, filters, shortcut):
  block = mobilenet.InvertedResidual(8, filters, stride, 6)
  images = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype('float32')
  inner = block.project(block.depthwise(block.expand(images)))
  np.testing.assert_allclose(
      block(images), inner + images if shortcut else inner, rtol=1e-5, atol=1e-6)
  assert inner.shape == (2, 6 // stride, 6 // stride, filters)


def test_frames_are_pooled_before_64_and_160_channels():
  encoder = mobilenet.MobileNetV2(num_frames=4, size=32)
  seen = {}
  for i, block in enumerate(encoder.blocks):
    call = block.call
    def record(images, call=call, i=i, **mode):
      maps = call(images, **mode)
      seen[i] = maps.shape[0], maps.shape[-1]
      return maps
    block.call = record
  encoder(tf.zeros([3, 4, 32, 32, 3], tf.uint8))
  frames = {channels: rows // 3 for rows, channels in seen.values()}
  assert frames == {16: 4, 24: 4, 32: 4, 64: 2, 96: 2, 160: 1, 320: 1}


def test_width_must_be_positive():
  with pytest.raises(ValueError, match='width_multiplier=0'):
    mobilenet.MobileNetV2(width_multiplier=0)
