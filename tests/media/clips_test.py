"""Tests of tfmm.media.clips: one pass equals reading picture and sound apart."""

import numpy as np
import pytest

from tests import tiny_videos
from tfmm.media import MediaError
from tfmm.media import audio
from tfmm.media import clips
from tfmm.media import video


def _clips(path, **options):
  return list(clips.stream_clips(
      path, **{'frame_rate': 10, 'short_side': None, 'sample_rate': 16000, **options}))


def test_short_video_is_one_clip(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=2)
  [clip] = _clips(path)
  frames, times = video.read_frames(path, 10, None)
  np.testing.assert_array_equal(np.stack(clip.frames), frames)
  np.testing.assert_allclose(clip.timestamps, times)
  waveform, _ = audio.read_waveform(path, 16000, 0.0, 2.0)
  np.testing.assert_array_equal(clip.waveform, waveform)
  assert (clip.index, clip.is_last, clip.start_s, clip.end_s) == (0, True, 0.0, 2.0)
  assert clip.has_audio and clip.audio_start_s == 0 and clip.audio_end_s > 1.9


@pytest.mark.parametrize('seconds, sizes', [(5, [20, 20, 10]), (4, [20, 20])])
def test_long_video_is_cut_without_loss(tmp_path, seconds, sizes):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=seconds)
  [whole] = _clips(path)
  parts = _clips(path, clip_seconds=2.0)
  assert [len(p.frames) for p in parts] == sizes
  assert [p.index for p in parts] == list(range(len(sizes)))
  assert [p.is_last for p in parts] == [False] * (len(sizes) - 1) + [True]
  assert all(a.end_s == b.start_s for a, b in zip(parts, parts[1:]))
  np.testing.assert_array_equal(
      np.concatenate([np.stack(p.frames) for p in parts]), np.stack(whole.frames))
  np.testing.assert_array_equal(
      np.concatenate([p.waveform for p in parts]), whole.waveform)


def test_sound_follows_the_time_line_of_the_picture(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mkv', seconds=3, sound_start_s=1.0,
                          sound_seconds=1.0)
  [clip] = _clips(path)
  assert len(clip.waveform) == 48000
  assert clip.audio_start_s == pytest.approx(1.0, abs=0.1)
  assert clip.audio_end_s == pytest.approx(2.0, abs=0.1)
  assert not clip.waveform[:14000].any() and not clip.waveform[34000:].any()
  assert np.abs(clip.waveform[18000:30000]).max() > 0.4


def test_sound_that_ends_early_does_not_hold_clips_back(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mkv', seconds=10, sound_seconds=1.0)
  held = []
  stream = clips.stream_clips(path, frame_rate=10, short_side=None, sample_rate=8000,
                              clip_seconds=1.0, encode=lambda rgb: held.append(1))
  next(stream)
  assert len(held) <= 45  # of 100 frames
  rest = list(stream)
  assert len(rest) == 9 and not rest[-1].has_audio


def test_silent_video(tmp_path):
  [clip] = _clips(tiny_videos.make(tmp_path / 'a.mp4', sound=False))
  assert not clip.has_audio and clip.waveform.shape == (16000,)
  assert not clip.waveform.any()


def test_repeated_pictures_are_encoded_once(tmp_path):
  calls = []
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=1)
  [clip] = _clips(path, frame_rate=30, encode=lambda rgb: calls.append(1) or len(calls))
  assert len(clip.frames) == 30 and len(calls) == 10


def test_too_long_is_refused(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=3)
  with pytest.raises(MediaError, match='too_long'):
    _clips(path, max_seconds=1.0)
