"""Tests of beam_pipelines.feature_saved_model: SavedModels as encoders."""

import gc
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.beam_pipelines import tiny_encoders

_SMALL = tiny_encoders.SMALL
_open = tiny_encoders.open_encoder
_pictures = tiny_encoders.pictures


@pytest.fixture(scope='module', name='models')
def models_fixture(tmp_path_factory):
  folder = tmp_path_factory.mktemp('models')
  tiny_encoders.looker(folder / 'signature')
  tiny_encoders.looker(folder / 'callable', signature=False)
  tiny_encoders.keras_classifier(folder / 'keras')
  tiny_encoders.listener(folder / 'listener')
  return folder


@pytest.mark.parametrize('name, options, factor', [
    ('callable', {}, 1), ('signature', {'output': 'features'}, 1),
    ('signature', {'output': 'twice', 'signature': 'serving_default'}, 2)])
def test_saved_models_give_their_features(models, name, options, factor):
  encoder = _open(models / name, **_SMALL, **options)
  gc.collect()  # a model that nobody holds loses its variables
  rows = _pictures()
  flat = rows.reshape([3, -1]).astype(np.float64) / 255
  expected = factor * flat @ tiny_encoders.kernel(flat.shape[1])
  np.testing.assert_allclose(encoder(rows), expected, rtol=1e-4, atol=1e-5)
  assert encoder.dimensions == tiny_encoders.DIM and encoder.window == 1
  assert encoder.name == 'RGB'


def test_a_layer_of_a_keras_model(models):
  encoder = _open(models / 'keras', output='pool', **_SMALL)
  model = tf.keras.models.load_model(str(models / 'keras'), compile=False)
  maps = model.get_layer('maps')(_pictures()[:, 0] / 255.)
  np.testing.assert_allclose(
      encoder(_pictures()), tf.reduce_mean(maps, [1, 2]), rtol=1e-4, atol=1e-5)
  assert _open(models / 'keras', **_SMALL).dimensions == 2  # its only output


def test_a_listener_gives_the_mean_of_its_embeddings(models):
  encoder = _open(models / 'listener', view='audio', sample_rate=tiny_encoders.RATE,
                  seconds=.2, name='SOUND')
  waves = np.random.default_rng(0).normal(size=[2, tiny_encoders.SAMPLES])
  patches = waves.reshape([2, -1, tiny_encoders.PATCH])
  expected = (patches @ tiny_encoders.kernel(tiny_encoders.PATCH)).mean(1)
  np.testing.assert_allclose(
      encoder(waves.astype(np.float32)), expected, rtol=1e-4, atol=1e-5)
  assert encoder.window == 2 and encoder.name == 'SOUND'  # .2 s at 10 frames a second


def test_identity_is_the_content_and_not_the_path(models, tmp_path):
  path = models / 'callable'
  shutil.copytree(path, tmp_path / 'copy')
  other = tiny_encoders.looker(tmp_path / 'other', seed=1, signature=False)
  sums = [_open(p, **_SMALL).identity['sha256']
          for p in (path, tmp_path / 'copy', other)]
  assert sums[0] == sums[1] != sums[2]


@pytest.mark.parametrize('name, options, says', [
    ('none', {}, 'no saved_model.pb there; give a directory with an unpacked'),
    ('callable', {'size': 24}, 'reads float32 [None, 16, 16, 3], and --view=rgb gives '
     'uint8 [None, 24, 24, 3]; change --num_frames and --size'),
    ('callable', {**_SMALL, 'num_frames': 2}, 'gives uint8 [None, 2, 16, 16, 3]'),
    ('callable', {'view': 'audio'}, 'gives float32 [None, 15360]; change --seconds'),
    ('callable', {**_SMALL, 'signature': 'no'}, "no signature 'no'; it has none"),
    ('signature', _SMALL, 'features (None, 5), twice (None, 5); choose one'),
    ('signature', {**_SMALL, 'output': 'no'}, "output='no': it gives features (None, "),
    ('keras', {**_SMALL, 'output': 'maps'}, 'gives (1, 14, 14, 5) for one row'),
    ('keras', {**_SMALL, 'output': 'no'}, "neither an output nor a layer 'no'"),
    ('listener', {'view': 'audio', 'output': '7'}, 'has no output 7'),
    ('listener', {}, 'reads float32 [None], and --view=rgb gives'),
])
def test_mistakes_with_saved_models(models, name, options, says):
  with pytest.raises((ValueError, OSError)) as error:
    _open(models / name, **options)
  assert says in str(error.value)


def test_a_damaged_saved_model(models, tmp_path):
  shutil.copytree(models / 'callable', tmp_path / 'cut')
  os.truncate(tmp_path / 'cut' / 'saved_model.pb', 100)
  with pytest.raises(ValueError, match='cannot be loaded'):
    _open(tmp_path / 'cut', **_SMALL)


def test_a_handle_without_network_names_the_local_way(monkeypatch, tmp_path):
  monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path))
  handle = 'https://localhost:1/model/1'
  with pytest.raises(OSError) as error:
    _open(handle, **_SMALL)
  text = str(error.value)
  assert handle in text and 'give a directory with an unpacked SavedModel' in text
  assert '\n' not in text
