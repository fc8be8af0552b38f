"""Tests of beam_pipelines.feature_config."""

import pytest

from beam_pipelines import feature_config


def _config(**options):
  return feature_config.FeatureConfig(**{'encoder': 'SM', 'steps': 4, **options})


def test_defaults_are_filled_in_where_they_have_an_effect():
  frames = _config()
  assert (frames.kind, frames.view, frames.size, frames.short_side) == (
      'saved', 'rgb', 224, 256)
  assert frames.seconds is None and frames.fields is None and frames.seed is None
  sound = _config(view='audio', seconds=1.0)
  assert (sound.seconds, sound.sample_rate, sound.size) == (1.0, 16000, None)
  assert _config(view='flow').fields == 5
  run = _config(encoder='run:R/rgb')
  assert (run.kind, run.checkpoint, run.view, run.size) == ('run', 'last', None, None)
  assert _config(encoder='new:resnet.ResNet()').seed == 0
  assert _config(encoder='gs://bucket/model').kind == 'saved'


@pytest.mark.parametrize('options, says', [
    ({'encoder': ''}, 'encoder is empty'),
    ({'steps': None}, 'give either --steps=S'),
    ({'every_seconds': 1.0}, 'give either --steps=S'),
    ({'steps': 0}, 'steps is 0; it must be in [1, 100000].'),
    ({'steps': None, 'every_seconds': 0.0}, 'every_seconds is 0.0'),
    ({'view': 'motion'}, "view is 'motion'"),
    ({'name': 'rgb'}, "name is 'rgb'; it must be capitals"),
    ({'pixels': '0-1'}, "pixels is '0-1'"),
    ({'batch_size': 0}, 'batch_size is 0'),
    ({'seconds': 1.0}, '--seconds has no effect with --encoder=SM and --view=rgb'),
    ({'view': 'audio', 'size': 64}, '--size has no effect'),
    ({'encoder': 'run:R/rgb', 'size': 64}, 'a run, which has its own recipe'),
    ({'encoder': 'run:R/rgb', 'view': 'rgb'}, '--view has no effect'),
    ({'encoder': 'run:R/rgb', 'segment_frames': 8}, '--segment_frames has no effect'),
    ({'checkpoint': 'best'}, '--checkpoint has no effect'),
    ({'seed': 1}, '--seed has no effect'),
    ({'encoder': 'new:resnet.ResNet()', 'output': 'x'}, '--output has no effect'),
])
def test_mistakes(options, says):
  with pytest.raises(ValueError) as error:
    _config(**options)
  assert says in str(error.value)


def test_flat_names_what_is_inside():
  assert feature_config.flat({'a': {'b': 1, 'c': {'d': 2}}, 'e': [3]}) == {
      'a.b': 1, 'a.c.d': 2, 'e': [3]}
