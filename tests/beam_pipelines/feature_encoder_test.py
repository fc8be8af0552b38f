"""Tests of beam_pipelines.feature_encoder and of SavedModels as encoders."""

import gc
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import feature_config
from beam_pipelines import feature_encoder
from tests.beam_pipelines import tiny_encoders
from tfmm.encoders import resnet

_OPTIONS = {'frame_rate': 10.0, 'sample_rate': 8000}
_SMALL = {'size': tiny_encoders.SIZE, 'short_side': 24}


def _open(path, **options):
  config = feature_config.FeatureConfig(**{'encoder': str(path), 'steps': 3, **options})
  return feature_encoder.open_encoder(config, _OPTIONS)


def _pictures(count=3, frames=1):
  shape = [count, frames, tiny_encoders.SIZE, tiny_encoders.SIZE, 3]
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


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


@pytest.mark.parametrize('pixels, scale, offset', [
    ('0..255', 1, 0), ('-1..1', 1 / 127.5, -1)])
def test_ranges_of_pixels(models, pixels, scale, offset):
  rows = _pictures()
  flat = rows.reshape([3, -1]) * scale + offset
  expected = flat @ tiny_encoders.kernel(flat.shape[1]).astype(np.float64)
  encoder = _open(models / 'callable', pixels=pixels, **_SMALL)
  np.testing.assert_allclose(encoder(rows), expected, rtol=1e-4, atol=1e-3)


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


def test_an_untrained_encoder_hangs_on_its_seed():
  text = 'new:resnet.ResNet(depth=18, width=4, num_frames=2, size=16)'
  options = dict(num_frames=2, stride=3, **_SMALL)
  one, other, third = (
      _open(text, seed=seed, **options) for seed in (1, 1, 2))
  rows = _pictures(frames=2)
  np.testing.assert_array_equal(one(rows), other(rows))
  assert one.identity == other.identity
  assert one.identity['sha256'] != third.identity['sha256']
  assert np.abs(one(rows) - third(rows)).max() > 1e-3 and one.window == 6
  tf.keras.utils.set_random_seed(1)
  direct = resnet.ResNet(depth=18, width=4, num_frames=2, size=16)
  np.testing.assert_allclose(one(rows), direct(rows), rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize('text, says', [
    ('new:resnet.ResNet', 'as new:resnet.ResNet(depth=18'),
    ('new:resnet.ResNet(18)', 'options need their names'),
    ('new:resnet.ResNett()', "has no attribute 'ResNett'"),
    ('new:nothing.ResNet()', 'nothing'),
    ('new:resnet.BasicBlock()', 'BasicBlock is no encoder'),
    ('new:resnet.ResNet(deep=18)', "unexpected keyword argument 'deep'"),
    ('new:resnet.ResNet(depth=18, width=4)', 'reads uint8 [None, 8, 224, 224, 3]'),
])
def test_mistakes_with_untrained_encoders(text, says):
  with pytest.raises(ValueError) as error:
    _open(text, **_SMALL)
  assert says in str(error.value)


def test_a_handle_without_network_names_the_local_way(monkeypatch, tmp_path):
  monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path))
  handle = 'https://localhost:1/model/1'
  with pytest.raises(OSError) as error:
    _open(handle, **_SMALL)
  text = str(error.value)
  assert handle in text and 'give a directory with an unpacked SavedModel' in text
  assert '\n' not in text


def test_a_run_reads_what_its_recipe_says(tmp_path):
  run_dir, model = tiny_encoders.make_run(tmp_path / 'run')
  encoder = _open(f'run:{run_dir}/rgb')
  rows = _pictures(frames=2)
  expected = model.encoders['rgb'].backbone(rows, training=False)
  np.testing.assert_allclose(encoder(rows), expected, rtol=1e-4, atol=1e-4)
  assert (encoder.name, encoder.window, encoder.identity['step']) == ('RGB', 5, 1)
  assert encoder.views[-1].num_frames == 2
  again = _open(f'run:{run_dir}', name='TEACHER')
  assert again.name == 'TEACHER'
  assert again.identity['sha256'] == encoder.identity['sha256']
  for path, says in ((f'{run_dir}/audio', 'has encoders of rgb, none of audio; give '
                      f'--encoder=run:{run_dir}/rgb'),
                     (f'{tmp_path}/none/rgb', 'neither a run directory')):
    with pytest.raises(ValueError) as error:
      _open(f'run:{path}')
    assert says in str(error.value)
