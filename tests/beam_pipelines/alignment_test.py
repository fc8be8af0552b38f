"""A flash and a tone put in at chosen seconds come out of the shards at them."""

from pathlib import Path

from absl import flags
from absl.testing import flagsaver
import cv2
import numpy as np
import pytest

from beam_pipelines import prepare_videos
from beam_pipelines import sequence_example
from beam_pipelines import tfrecord
from tests import tiny_videos
from tfmm import schema

_RATE, _SAMPLES = 20, 8000
_FLASHES = (0.75, 2.4, 3.1)  # seconds
_LENGTH_S = 0.2


def _is_on(time_s):
  return any(start <= time_s + 1e-6 < start + _LENGTH_S for start in _FLASHES)


def _make(path, times, *, frequency=1000.0, **options):
  """White pictures and a loud tone in the same moments; grey and silence otherwise."""
  def draw(k, width, height):
    return np.full((height, width, 3), 255 if _is_on(times[k]) else 60, np.uint8)

  def tone(start, samples, rate, hertz):
    t = (start + np.arange(samples)) / rate
    on = np.any([(t >= s) & (t < s + _LENGTH_S) for s in _FLASHES], axis=0)
    return (0.5 * on * np.sin(2 * np.pi * hertz * t)).astype(np.float32)

  return tiny_videos.make(path, times=times, draw=draw, tone=tone, seconds=4.0,
                          frequency=frequency, **options)


def _records(out):
  for path in sorted(Path(out).glob('*.tfrecord')):
    for record in tfrecord.read(path):
      yield sequence_example.SequenceExample.FromString(record)


def _found(example):
  """(onsets of white in seconds, onsets of the tone, its strongest frequency)."""
  lists, context = example.feature_lists.feature_list, example.context.feature
  level = [cv2.imdecode(np.frombuffer(f.bytes_list.value[0], np.uint8), 0).mean()
           for f in lists[schema.IMAGE_ENCODED].feature]
  times = [f.int64_list.value[0] / 1e6 for f in lists[schema.IMAGE_TIMESTAMP].feature]
  white = np.array(level) > 150
  flashes = [t for t, now, before in zip(times, white, [False, *white]) if now > before]
  sound = np.array(lists[schema.WAVEFORM_FLOATS].feature[0].float_list.value)
  start = context[schema.CLIP_START].int64_list.value[0] / 1e6
  # Loudness of 5 ms pieces.
  pieces = np.abs(sound[:len(sound) // 40 * 40]).reshape(-1, 40).max(1) > 0.1
  loud = [start + k * 40 / _SAMPLES for k in range(len(pieces))
          if pieces[k] and not pieces[max(0, k - 10):k].any()]
  spectrum = np.abs(np.fft.rfft(sound))
  return flashes, loud, np.argmax(spectrum) * _SAMPLES / len(sound)


def _prepare(manifest, out, **options):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(
      manifest=str(manifest), output_dir=str(out), frame_rate=float(_RATE),
      short_side=36, sample_rate=_SAMPLES, **options):
    assert prepare_videos.main(['prepare_videos']) == 0


_STEADY = [k / 25 for k in range(100)]
_VARYING = sorted({round(t, 3) for t in np.concatenate([
    np.arange(0, 1.5, 1 / 30), np.arange(1.5, 2.5, 1 / 12),
    np.arange(2.5, 4, 1 / 50)])})


@pytest.mark.parametrize('name, times, options, shift_s', [
    ('steady.mp4', _STEADY, {}, 0),
    ('varying.mkv', _VARYING, {}, 0),
    ('fast.mp4', [k / 60 for k in range(240)], {'sample_rate': 44100}, 0),
    ('sound_from_half_a_second.mkv', _STEADY, {'sound_start_s': 0.5}, 0),
    # The silence with which AAC begins comes before zero, and moves this clock.
    ('other_start.ts', _STEADY, {'sample_rate': 48000}, 1024 / 48000),
])
def test_flash_and_tone(tmp_path, name, times, options, shift_s):
  _make(tmp_path / name, times, **options)
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [(name, 'x', 'train')])
  _prepare(manifest, tmp_path / 'out')
  [example] = _records(tmp_path / 'out')
  flashes, tones, hertz = _found(example)
  shown = [min(t for t in times if t >= s - 1e-6) + shift_s for s in _FLASHES]
  late = np.subtract(flashes, shown)  # containers round times to a millisecond
  assert late.min() > -0.002 and late.max() < 1 / _RATE
  np.testing.assert_allclose(tones, np.add(_FLASHES, shift_s), atol=0.015)
  assert hertz == pytest.approx(1000, abs=10)


def test_parts_and_windows_keep_the_clock(tmp_path):
  _make(tmp_path / 'a.mp4', _STEADY)
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [
      ('a.mp4', 'x', 'train', '0.5', '1.5'), ('a.mp4', 'x', 'train', '2.0', '')],
      header=('video_path', 'label', 'split', 'start_s', 'end_s'))
  for out, options in (('dense', {}), ('windows', {
      'frames': 'segments', 'num_segments': 3, 'segment_frames': 10})):
    _prepare(manifest, tmp_path / out, **options)
    flashes, tones = [], []
    for example in _records(tmp_path / out):
      found = _found(example)
      flashes += found[0]
      tones += found[1]
    np.testing.assert_allclose(sorted(flashes), _FLASHES, atol=1 / _RATE + 1e-6)
    np.testing.assert_allclose(sorted(tones), _FLASHES, atol=1 / _RATE)
