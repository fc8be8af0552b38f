"""Tests of beam_pipelines.feature_encoder; SavedModels have a file of their own."""

import numpy as np
import pytest
import tensorflow as tf

from tests.beam_pipelines import tiny_encoders
from tfmm.encoders import resnet

_SMALL = tiny_encoders.SMALL
_open = tiny_encoders.open_encoder
_pictures = tiny_encoders.pictures


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
