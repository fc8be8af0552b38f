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
    ({'frames': 'some'}, "frames is 'some'"),
    ({'frames': 'segments', 'num_segments': 0}, 'num_segments is 0'),
    ({'frames': 'segments', 'segment_frames': 600, 'frame_rate': 10},
     'make 60.5 s at 10 frames a second; at most max_clip_seconds=60'),
    ({'flow': 'raft'}, "flow is 'raft'; give one of dis_fast"),
    ({'log_mels': ['yamnet', 'vggish']}, "log_mels has 'vggish'"),
    ({'log_mels': ['mbt', 'mbt']}, 'give each name once'),
])
def test_refusals(options, says):
  with pytest.raises(ValueError, match=says):
    config.PrepareConfig(**options)


def test_views_say_how_sound_is_stored():
  assert config.PrepareConfig().views()['waveform']['dtype'] == 'float32'
  pcm = config.PrepareConfig(waveform='pcm16', frame_rate=29.97).views()
  assert pcm['waveform']['key'] == 'WAVEFORM/feature/bytes'
  assert pcm['image']['frame_rate'] == 29.97


def test_options_that_do_not_count_are_left_out():
  dense = config.PrepareConfig().to_dict()
  assert 'num_segments' not in dense and 'segment_frames' not in dense
  some = config.PrepareConfig(frames='segments', num_segments=7, log_mels=('mbt',))
  assert some.to_dict()['num_segments'] == 7
  for options in (config.PrepareConfig(), some):
    assert config.PrepareConfig(**options.to_dict()) == options


def test_views_name_flow_and_log_mels():
  views = config.PrepareConfig(flow='dis_fast', log_mels=['yamnet']).views()
  assert views['flow']['algorithm'] == 'dis_fast'
  assert views['log_mel_yamnet']['shape'] == [96, 64]
  assert set(config.PrepareConfig().views()) == {'image', 'waveform'}


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
