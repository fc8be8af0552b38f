"""SavedModels of a few numbers, as encoders of the tests."""

import json

import numpy as np
import tensorflow as tf

from beam_pipelines import feature_config
from beam_pipelines import feature_encoder
from tfmm.encoders import resnet
from tfmm.layers import gated_encoder
from tfmm.models import fusion

SIZE, DIM = 16, 5
RATE, SAMPLES, PATCH = 8000, 1600, 400
SMALL = {'size': SIZE, 'short_side': 24}  # of a view


def kernel(rows, seed=0):
  """float32 [rows, DIM] with entries of about 1 / sqrt(rows)."""
  numbers = np.random.default_rng(seed).normal(size=(rows, DIM)) / np.sqrt(rows)
  return numbers.astype(np.float32)


class Looker(tf.Module):
  """Pictures [N, 16, 16, 3] in 0..1 -> [N, 5], a linear map."""

  def __init__(self, seed=0):
    super().__init__()
    self.kernel = tf.Variable(kernel(SIZE * SIZE * 3, seed))

  @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
  def __call__(self, pictures):
    return tf.matmul(tf.reshape(pictures, [-1, SIZE * SIZE * 3]), self.kernel)

  @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
  def both(self, pictures):
    return {'features': self(pictures), 'twice': 2 * self(pictures)}


class Listener(tf.Module):
  """As YAMNet: a waveform [samples] -> (scores, embeddings [patches, 5], log-mel)."""

  def __init__(self):
    super().__init__()
    self.kernel = tf.Variable(kernel(PATCH))

  @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
  def __call__(self, waveform):
    patches = tf.signal.frame(waveform, PATCH, PATCH)
    embeddings = tf.matmul(patches, self.kernel)
    return embeddings[:, :2], embeddings, tf.abs(patches)


def pictures(count=3, frames=1):
  """Rows of `--view=rgb`: noise, uint8 [count, frames, SIZE, SIZE, 3]."""
  shape = [count, frames, SIZE, SIZE, 3]
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def open_encoder(path, **options):
  """The encoder for records of 10 frames a second and sound of 8 kHz."""
  config = feature_config.FeatureConfig(**{'encoder': str(path), 'steps': 3, **options})
  return feature_encoder.open_encoder(
      config, {'frame_rate': 10.0, 'sample_rate': RATE})


def looker(path, seed=0, signature=True):
  """Saves a `Looker`; returns the path as text."""
  model = Looker(seed)
  tf.saved_model.save(model, str(path), signatures=model.both if signature else None)
  return str(path)


def listener(path):
  """Saves a `Listener`; returns the path as text."""
  tf.saved_model.save(Listener(), str(path))
  return str(path)


def keras_classifier(path):
  """Saves a Keras model with a pooling layer `pool`; returns the path as text."""
  tf.keras.utils.set_random_seed(3)
  pictures = tf.keras.Input([SIZE, SIZE, 3])
  maps = tf.keras.layers.Conv2D(DIM, 3, name='maps')(pictures)
  pooled = tf.keras.layers.GlobalAveragePooling2D(name='pool')(maps)
  model = tf.keras.Model(pictures, tf.keras.layers.Dense(2, name='classes')(pooled))
  model.save(str(path), save_format='tf')
  return str(path)


_RECIPE = """
from __gin__ import dynamic_registration
from tfmm.data import dataset
from tfmm.encoders import resnet
from tfmm.layers import gated_encoder
from tfmm.models import fusion
from tfmm.training import loop
loop.train.model = @fusion.LateFusion
loop.train.dataset = @dataset.DatasetSpec()
dataset.DatasetSpec.views = (@dataset.RgbFrames(),)
dataset.DatasetSpec.modalities = ('rgb',)
dataset.DatasetSpec.segment_frames = 5
dataset.RgbFrames.num_frames = 2
dataset.RgbFrames.stride = 2
dataset.RgbFrames.size = 16
dataset.RgbFrames.short_side = 24
dataset.RgbFrames.scale_range = (24, 24)
fusion.LateFusion.encoders = {'rgb': @gated_encoder.GatedEncoder()}
gated_encoder.GatedEncoder.backbone = @resnet.ResNet()
gated_encoder.GatedEncoder.view = 'rgb'
resnet.ResNet.depth = 18
resnet.ResNet.width = 4
resnet.ResNet.num_frames = 2
resnet.ResNet.size = 16
"""


def make_run(path, frame_rate=10.0):
  """A run directory with one checkpoint, without training; returns (path, model)."""
  path.mkdir(parents=True)
  (path / 'operative_config.gin').write_text(_RECIPE)
  (path / 'run.json').write_text(json.dumps({
      'labels': ['a', 'b', 'c'], 'num_classes': 3, 'data_dir': '',
      'data_options': {'frame_rate': frame_rate}}))
  backbone = resnet.ResNet(depth=18, width=4, num_frames=2, size=SIZE)
  model = fusion.LateFusion(
      encoders={'rgb': gated_encoder.GatedEncoder(backbone, view='rgb')}, num_classes=3)
  tf.train.Checkpoint(model=model).save(str(path / 'ckpt'))
  return str(path), model
