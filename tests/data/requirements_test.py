"""Data sets that cannot be read are refused in one line that names the fix."""

import pytest

from tests.data import tiny_dataset
from tfmm.data import dataset
from tfmm.data import info as info_lib
from tfmm.data import requirements

# Windows of 6 frames = .6 s, and .2 s on both sides.
_WINDOWS = {'frames': 'segments', 'num_segments': 4, 'segment_frames': 6,
            'segment_margin_seconds': .2}


def _check(spec, **options):
  requirements.check(spec, info_lib.DatasetInfo(
      data_dir='DATA', labels=('a',), multi_label=False, splits={},
      options={'frame_rate': 10, 'sample_rate': 8000, **options}))


def _flow(**options):
  return dataset.DatasetSpec(
      views=(dataset.FlowFrames(num_frames=2, stride=3, size=16, **options),),
      modalities=('flow',))


def _sound(**options):
  sound = dataset.LogSpectrogram(**options)
  return tiny_dataset.spec(views=(tiny_dataset.RGB, sound))


_MEL = tiny_dataset.spec(views=(tiny_dataset.RGB, dataset.StoredLogMel(log_mel='mbt')))


@pytest.mark.parametrize('spec, options', [
    (tiny_dataset.spec(), {}),  # prepared before there were windows and flow
    (tiny_dataset.spec(), {'frames': 'dense', 'flow': '', 'log_mels': []}),
    (tiny_dataset.spec(), _WINDOWS),
    (tiny_dataset.spec(), {**_WINDOWS, 'segment_frames': 9}),
    (_flow(fields=5), {'flow': 'dis_fast'}),
    (_flow(fields=5), {'flow': 'tvl1', **_WINDOWS}),  # 3 + 5 = 6 + 2
    (_flow(fields=7), {'flow': 'tvl1', **_WINDOWS, 'segment_frames': 9}),
    (_sound(seconds=.8), _WINDOWS),
    (_sound(frame_rate=29.97), {}),
    (_MEL, {'log_mels': ['yamnet', 'mbt']}),
    (_MEL, {'log_mels': ['mbt'], 'sample_rate': None}),
    (tiny_dataset.spec(), {'foreign': True, 'frames': 'dense'})])
def test_what_can_be_read(spec, options):
  _check(spec, **options)


@pytest.mark.parametrize('spec, options, message', [
    (tiny_dataset.spec(), {'sample_rate': None},
     "without sound, which view 'spectrogram' reads; prepare with --sample_rate=8000"),
    (tiny_dataset.spec(views=(tiny_dataset.RGB, dataset.LogMel())),
     {'sample_rate': 0}, "view 'log_mel' reads; prepare with --sample_rate=16000"),
    (tiny_dataset.spec(views=(tiny_dataset.RGB, dataset.Waveform())),
     {'sample_rate': 0}, "view 'waveform' reads; prepare with --sample_rate=16000"),
    (_flow(), {}, "without optical flow, which view 'flow' reads.*--flow=dis_fast"),
    (_flow(), {'flow': ''}, '--flow=dis_fast'),
    (_MEL, {}, "without the log-mel 'mbt', which view 'log_mel' reads.*--log_mels=mbt"),
    (_MEL, {'log_mels': ['yamnet']}, '--log_mels=mbt'),
    (tiny_dataset.spec(), {'frames': 'sparse'}, "frames='sparse'.*dense, segments"),
    (tiny_dataset.spec(), {'frames': 'segments'}, "does not say its 'segment_frames'"),
    (tiny_dataset.spec(segment_frames=7), _WINDOWS,
     '--segment_frames=6.*span 7 frames; prepare with --segment_frames=7 or --frames='),
    (_flow(fields=6), {'flow': 'tvl1', **_WINDOWS},
     "'flow' reads 9 frames.*8 frames are stored.*--segment_margin_seconds=0.3 or"),
    (_sound(seconds=.9), _WINDOWS,
     "'spectrogram' hears 0.9 s, where 0.8 s.*--segment_margin_seconds=0.3 or"),
    (tiny_dataset.spec(views=(tiny_dataset.RGB, dataset.LogMel())), _WINDOWS,
     "'log_mel' hears 0.975 s, where 0.8 s.*--segment_margin_seconds=0.38 or"),
    (_sound(frame_rate=29.97, seconds=.5), _WINDOWS, '29.97 Hz.*frame_rate to None'),
    (tiny_dataset.spec(), {'foreign': True, 'frame_rate': None}, 'no frame_rate')])
def test_what_cannot_be_read_is_one_line(spec, options, message):
  with pytest.raises(ValueError, match=message) as error:
    _check(spec, **options)
  assert '\n' not in str(error.value) and str(error.value).startswith('DATA ')


def test_the_named_margins_are_enough():
  for spec, margin in ((_flow(fields=6), .3), (_sound(seconds=.9), .3)):
    _check(spec, **{**_WINDOWS, 'segment_margin_seconds': margin, 'flow': 'tvl1'})
