"""Tests of tfmm.media.audio, against sines in closed form."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests import tiny_videos
from tfmm.media import MediaError
from tfmm.media import audio


def _chunk(samples, rate, layout='mono', format='fltp'):
  frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples), format=format,
                                     layout=layout)
  frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
  return frame


def _fill(placer, samples, rate, start_s=0.0, step=1000):
  for k in range(0, len(samples), step):
    placer.push(_chunk(samples[k:k + step], rate), start_s + k / rate)


def test_resampled_sine_is_the_sine():
  placer = audio.Placer(24000)
  _fill(placer, tiny_videos.tone(0, 48000, 48000, 440), 48000)
  placer.finish()
  out, start, end = placer.take(0, 24000)
  assert start == 0 and abs(end - 24000) <= 32
  want = tiny_videos.tone(0, 24000, 24000, 440)
  np.testing.assert_allclose(out[100:-100], want[100:-100], atol=2e-3)
  assert out.dtype == np.float32


def test_late_sound_and_gaps_are_silent():
  placer = audio.Placer(16000)
  tone = tiny_videos.tone(0, 8000, 16000, 300)
  _fill(placer, tone, 16000, start_s=1.5)
  _fill(placer, tone, 16000, start_s=3.0)
  placer.finish()
  out, start, end = placer.take(0, 4 * 16000)
  assert (start, end) == (24000, 56000)
  assert not out[:24000].any() and not out[32000:48000].any() and not out[56000:].any()
  np.testing.assert_allclose(out[24000:32000], tone, atol=4e-5)
  np.testing.assert_allclose(out[48000:56000], tone, atol=4e-5)


def test_jitter_of_time_stamps_makes_no_holes():
  placer = audio.Placer(16000)
  tone = tiny_videos.tone(0, 16000, 16000, 300)
  rng = np.random.default_rng(0)
  for k in range(0, 16000, 1000):
    jitter_s = rng.uniform(-.004, .004) if k else 0.0
    placer.push(_chunk(tone[k:k + 1000], 16000), k / 16000 + jitter_s)
  placer.finish()
  np.testing.assert_allclose(placer.take(0, 16000)[0], tone, atol=4e-5)


def test_takes_in_pieces_are_the_whole():
  placer = audio.Placer(8000)
  tone = tiny_videos.tone(0, 16000, 16000, 300)
  pieces = []
  for k in range(0, 16000, 1000):
    placer.push(_chunk(tone[k:k + 1000], 16000), k / 16000)
    if k == 8000:
      pieces.append(placer.take(0, 3000)[0])
  placer.finish()
  pieces.append(placer.take(3000, 8000)[0])
  whole = audio.Placer(8000)
  _fill(whole, tone, 16000)
  whole.finish()
  np.testing.assert_array_equal(np.concatenate(pieces), whole.take(0, 8000)[0])


def test_not_a_number_becomes_zero_before_the_resampler():
  tone = tiny_videos.tone(0, 16000, 16000, 300)
  tone[5000], tone[7000], tone[9000] = np.nan, np.inf, -np.inf
  placer = audio.Placer(24000)
  _fill(placer, tone, 16000)
  placer.finish()
  out = placer.take(0, 24000)[0]
  assert np.isfinite(out).all() and np.abs(out).max() <= 1
  np.testing.assert_allclose(
      out[12000:13000], tiny_videos.tone(12000, 1000, 24000, 300), atol=5e-3)


def test_change_of_format_in_mid_stream():
  placer = audio.Placer(16000)
  tone = tiny_videos.tone(0, 16000, 16000, 300)
  _fill(placer, tone[:8000], 16000)
  stereo = np.stack([tone[8000:]] * 2)
  placer.push(_chunk(stereo, 16000, layout='stereo'), 0.5)
  placer.finish()
  np.testing.assert_allclose(placer.take(0, 16000)[0], tone, atol=2e-4)


def test_read_waveform(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=1.0, sample_rate=16000)
  out, has_audio = audio.read_waveform(path, 24000, 0.0, 1.0)
  assert has_audio and out.shape == (24000,)
  want = tiny_videos.tone(0, 24000, 24000, 440)
  np.testing.assert_allclose(out[2400:-2400], want[2400:-2400], atol=0.03)
  part, _ = audio.read_waveform(path, 24000, 0.25, 0.5)
  np.testing.assert_array_equal(part, out[6000:12000])


def test_without_sound_it_is_silent(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', sound=False)
  out, has_audio = audio.read_waveform(path, 8000, 0.0, 1.0)
  assert not has_audio and out.shape == (8000,) and not out.any()
  out, has_audio = audio.read_waveform(path, 8000)
  assert not has_audio and out.shape == (0,)


def test_refusals(tmp_path):
  with pytest.raises(MediaError):
    audio.read_waveform(str(tmp_path / 'none.mp4'), 8000)
  path = tiny_videos.make(tmp_path / 'a.mp4')
  with pytest.raises(ValueError, match='sample_rate is 0'):
    audio.read_waveform(path, 0)
  with pytest.raises(ValueError, match='above start_s'):
    audio.read_waveform(path, 8000, 2.0, 1.0)
