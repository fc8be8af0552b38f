"""Models of a few hundred weights on the real code path, for tests."""

import functools

import numpy as np
import tensorflow as tf

from tfmm.encoders import mobilenet, resnet
from tfmm.layers import gated_encoder
from tfmm.models import adamml, fusion

NUM_CLASSES = 5
SEGMENTS = 3
SPECTROGRAM = (32, 32, 1)


def rgb_encoder():
  backbone = resnet.ResNet(depth=18, num_frames=2, size=32, width=4)
  return gated_encoder.GatedEncoder(backbone, view='rgb')


def spectrogram_backbone():
  return mobilenet.MobileNetV2(
      size=SPECTROGRAM[:2], in_channels=1, normalization='none', width_multiplier=.1,
      last_channels=16)


def audio_encoder():
  return gated_encoder.GatedEncoder(spectrogram_backbone(), view='spectrogram')


def preview_backbone():
  return mobilenet.MobileNetV2(
      num_frames=2, size=16, row_dtype='float32', width_multiplier=.1,
      last_channels=16)


def unimodal(modality='rgb', **options):
  encoder = {'rgb': rgb_encoder, 'audio': audio_encoder}[modality]()
  return fusion.LateFusion(
      encoders={modality: encoder}, num_classes=NUM_CLASSES, **options)


def late_fusion(**options):
  return fusion.LateFusion(
      encoders={'rgb': rgb_encoder(), 'audio': audio_encoder()},
      num_classes=NUM_CLASSES, **options)


def ada_mml(**options):
  policy = functools.partial(
      adamml.Policy, joint_dim=16, lstm_units=8, encoders={
          'rgb_preview': preview_backbone(), 'spectrogram': spectrogram_backbone()})
  return adamml.AdaMML(
      encoders={'rgb': rgb_encoder(), 'audio': audio_encoder()}, policy=policy,
      num_classes=NUM_CLASSES, **options)


def batch(model, videos=4, segments=SEGMENTS, seed=0):
  """A random batch of everything that the model reads; all present."""
  rng = np.random.default_rng(seed)
  made = {}
  for view, spec in model.input_specs().items():
    shape = [videos, segments, *spec.shape[2:]]
    if spec.dtype == tf.uint8:
      made[view] = tf.constant(rng.integers(0, 256, shape), tf.uint8)
    elif view == 'rgb_preview':
      made[view] = tf.constant(rng.uniform(0, 255, shape), tf.float32)
    else:
      made[view] = tf.constant(rng.normal(size=shape), tf.float32)
  made['present'] = tf.ones([videos, segments, len(model.modalities)])
  made['label'] = tf.constant(rng.integers(0, NUM_CLASSES, videos), tf.int32)
  made['media_id'] = tf.constant([f'video-{i}' for i in range(videos)])
  made['segment_times'] = tf.constant(np.broadcast_to(
      np.arange(segments)[:, None] + [0., 1.], [videos, segments, 2]), tf.float32)
  return made


def settle(model, data):
  """Takes the batch statistics over, so that signals neither vanish nor explode."""
  norms = [m for m in model.submodules if hasattr(m, 'moving_variance')]
  for norm in norms:
    norm.momentum = 0.
  model(data, training=True, seed=SEED)
  for norm in norms:
    norm.momentum = .9
  return model


SEED = tf.constant([7, 1], tf.int64)
