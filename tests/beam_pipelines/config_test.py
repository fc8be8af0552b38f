"""Tests of beam_pipelines.config."""

import pytest

from beam_pipelines import config


@pytest.mark.parametrize('options, says', [
    ({'frame_rate': 0}, 'frame_rate is 0'),
    ({'frame_rate': float('nan')}, 'frame_rate is nan'),
    ({'short_side': 255}, 'short_side is 255.*use 256'),
    ({'short_side': 2}, r'short_side is 2; it must be in \[16'),
    ({'jpeg_quality': 101}, 'jpeg_quality is 101'),
    ({'sample_rate': 10}, 'sample_rate is 10'),
    ({'waveform': 'mp3'}, "waveform is 'mp3'"),
    ({'max_clip_seconds': 61.0}, 'max_clip_seconds is 61'),
    ({'frames': 'segments'}, "frames is 'segments'"),
])
def test_refusals(options, says):
  with pytest.raises(ValueError, match=says):
    config.PrepareConfig(**options)


def test_views_say_how_sound_is_stored():
  assert config.PrepareConfig().views()['waveform']['dtype'] == 'float32'
  pcm = config.PrepareConfig(waveform='pcm16', frame_rate=29.97).views()
  assert pcm['waveform']['key'] == 'WAVEFORM/feature/bytes'
  assert pcm['image']['frame_rate'] == 29.97


def test_fingerprint_follows_content():
  a = config.fingerprint({'x': 1, 'y': 2}, ['é'])
  assert a == config.fingerprint({'y': 2, 'x': 1}, ('é',))
  assert a != config.fingerprint({'x': 1, 'y': 3}, ['é'])


def test_differences():
  assert config.differences({'a': 1, 'b': 2}, {'a': 1, 'b': 3, 'c': 4}) == [
      'b: 2 -> 3', 'c: None -> 4']


def test_fractions():
  assert config.parse_fractions(['train:0.9', 'test:0.1']) == {
      'train': 0.9, 'validation': 0.0, 'test': 0.1}
  for bad, says in ((['train:0.9'], 'add up to 0.9'), (['trian:1'], 'trian:1'),
                    (['train:x'], 'train:x'), (['train'], 'train'),
                    (['train:-1', 'test:2'], 'train:-1')):
    with pytest.raises(ValueError, match=says):
      config.parse_fractions(bad)
