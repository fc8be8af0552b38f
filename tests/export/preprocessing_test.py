"""The graph's preprocessing is the reader's, and as lazy as the gates allow."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.export import tiny_export
from tfmm.data import dataset
from tfmm.export import preprocessing
from tfmm.layers import gated_encoder


def jpeg(rng, height=48, width=64):
  picture = cv2.resize(rng.integers(0, 256, [6, 8, 3], np.uint8), (width, height))
  return cv2.imencode('.jpg', picture)[1].tobytes()


def test_decode_without_resize_equals_opencv():
  rng = np.random.default_rng(0)
  view = dataset.RgbFrames(size=32, short_side=48, scale_range=(48, 48))
  encoded = [jpeg(rng), jpeg(rng, 48, 90)]
  got = preprocessing.decode_frames(tf.constant(encoded), view).numpy()
  for frame, data in zip(got, encoded):
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    top, left = (whole.shape[0] - 32) // 2, (whole.shape[1] - 32) // 2
    np.testing.assert_array_equal(frame, whole[top:top + 32, left:left + 32])


def test_preview_and_spectrogram_match_the_views():
  model, spec = tiny_models.ada_mml(), tiny_export.dataset_spec()
  inputs = preprocessing.ServedInputs.of(model, spec)
  rng = np.random.default_rng(1)
  image = np.array([[[jpeg(rng) for _ in range(2)] for _ in range(4)]], object)
  sound = rng.normal(0, 0.1, [1, 4, 1280]).astype(np.float32)
  present = np.ones([1, 4, 2], np.float32)
  present[0, 2] = 0
  tensors = {'image': tf.constant(image), 'waveform': tf.constant(sound)}
  views = inputs.decoded_clips(tensors, tf.constant(present))
  expected = tf.image.resize(views['rgb'][0, 1], [16, 16])
  np.testing.assert_array_equal(views['rgb_preview'][0, 1], expected)
  np.testing.assert_array_equal(
      views['spectrogram'][0, 1], tiny_export.SOUND.spectrograms(sound[0, 1:2])[0])
  for name in views:
    assert not views[name][0, 2].numpy().any(), name
    assert views[name].dtype == model.input_specs()[name].dtype


class CountingBackbone(tf.keras.layers.Layer):
  """Averages pixels; only the rows that reach it were decoded."""

  feature_dim = 1
  row_spec = tf.TensorSpec([2, 32, 32, 3], tf.uint8)

  def call(self, rows, training=False):
    return tf.reduce_mean(tf.cast(rows, tf.float32), [1, 2, 3, 4])[:, tf.newaxis]


def test_closed_rows_are_not_decoded():
  backbone = CountingBackbone()
  encoder = gated_encoder.GatedEncoder(backbone, view='rgb', skip='gather')
  rng = np.random.default_rng(2)
  rows = np.array([[jpeg(rng), jpeg(rng)] for _ in range(3)], object)
  view = tiny_export.FRAMES
  expected = backbone(tf.reshape(
      preprocessing.decode_frames(tf.constant(rows[[1]].ravel()), view),
      [1, 2, 32, 32, 3]))
  rows[0] = rows[2] = b'not a picture'

  class Model:
    encoders = {'rgb': encoder}

  @tf.function
  def encode(rows, gate):
    with preprocessing.encoded_rows(Model, view):
      return encoder(rows, gate)

  gate = np.array([0.0, 0.5, 0.0], np.float32)
  features = encode(tf.constant(rows), gate)
  np.testing.assert_allclose(features, [[0], [0.5 * expected[0, 0]], [0]], rtol=1e-6)
  assert encoder.backbone is backbone
  np.testing.assert_array_equal(encode(tf.constant(rows), gate * 0), np.zeros([3, 1]))
  with pytest.raises(tf.errors.InvalidArgumentError, match='Unknown image'):
    encode(tf.constant(rows), gate + 1)


def test_views_that_a_graph_cannot_make_are_named():
  model = tiny_models.unimodal('rgb')

  class Other:
    name, modality, num_frames, stride = 'rgb', 'rgb', 2, 1

  spec = dataset.DatasetSpec(views=(Other(),), modalities=('rgb',))
  with pytest.raises(ValueError, match="the view 'rgb' \\(Other\\)"):
    preprocessing.ServedInputs.of(model, spec)


def test_a_spec_of_another_model_is_refused():
  with pytest.raises(ValueError, match='modalities'):
    preprocessing.ServedInputs.of(
        tiny_models.unimodal('rgb'), tiny_export.dataset_spec())
