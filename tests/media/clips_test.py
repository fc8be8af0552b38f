"""Tests of tfmm.media.clips: one pass equals reading picture and sound apart."""

import cv2
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


def _motion(first, second):
  """Stands for optical flow: what the two pictures are."""
  return int(first[0, 0]), int(second[0, 0])


def test_flow_joins_each_frame_with_the_next_one_across_clips(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=3)
  [whole] = _clips(path, flow=_motion)
  gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in whole.frames]
  want = [_motion(a, b) for a, b in zip(gray, gray[1:])]
  assert whole.flows == [*want, want[-1]]
  parts = _clips(path, flow=_motion, clip_seconds=1.0)
  assert [f for part in parts for f in part.flows] == whole.flows


def test_flow_of_repeated_frames_is_none_and_of_one_frame_too(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=1)  # 10 frames a second
  [clip] = _clips(path, frame_rate=20, flow=lambda a, b: a is b)
  assert clip.flows[:4] == [True, False, True, False]
  [clip] = _clips(path, end_s=0.01, flow=lambda a, b: a is b)
  assert clip.flows == [True]


@pytest.mark.parametrize('seconds, gop, count, frames, margin', [
    (40, 10, 3, 5, 0.2),  # far apart: the reader jumps from window to window
    (40, 400, 3, 5, 0.2),  # one key frame: a jump lands at the start
    (8, 10, 3, 5, 0.2),  # near: it reads on
    (4, 10, 6, 20, 0.5),  # windows overlap and become one clip
    (2, 10, 3, 50, 0.0),  # shorter than a window
])
def test_windows_equal_the_same_frames_of_the_whole_video(
    tmp_path, seconds, gop, count, frames, margin):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=seconds, gop=gop)
  [whole] = _clips(path, flow=_motion)
  keep = clips.Windows(count=count, frames=frames, margin_seconds=margin)
  parts = _clips(path, flow=_motion, keep=keep)
  total, rate = len(whole.frames), 10
  window = min(frames, total)
  starts = [i * (total - window) // max(1, count - 1) for i in range(count)]
  found = []
  for part in parts:
    first = round((part.start_s - whole.start_s) * rate)
    last = first + len(part.frames)
    np.testing.assert_array_equal(np.stack(part.frames),
                                  np.stack(whole.frames[first:last]))
    assert part.flows == whole.flows[first:last]
    np.testing.assert_allclose(part.timestamps, whole.timestamps[first:last])
    assert part.end_s == pytest.approx(last / rate)
    samples = whole.waveform[first * 1600:last * 1600]
    assert len(part.waveform) == len(samples)
    # After a jump the resampler starts anew: the same sound, up to its rounding.
    assert np.abs(part.waveform - samples).max() < 0.05
    found += [first + a for a, _ in part.windows]
    for a, b in part.windows:
      assert b - a + 1 == window and 0 <= a and b < len(part.frames)
      assert a >= min(round(margin * rate), first + a)
  assert found == starts
  assert [p.index for p in parts] == list(range(len(parts)))
  assert [p.is_last for p in parts] == [False] * (len(parts) - 1) + [True]


def test_windows_of_a_long_video_are_found_without_decoding_it(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=120, gop=30)
  keep = clips.Windows(count=3, frames=5, margin_seconds=0.1)
  parts = _clips(path, keep=keep)
  assert len(parts) == 3
  assert parts[-1].counts.decoded_frames < 0.2 * 120 * 10


def test_spans_that_may_not_be_joined_overlap(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=6)
  [whole] = _clips(path)
  parts = _clips(path, clip_seconds=2.0,
                 keep=clips.Windows(count=5, frames=15, margin_seconds=0.1))
  assert len(parts) > 1
  assert any(b.start_s < a.end_s for a, b in zip(parts, parts[1:]))
  for part in parts:
    first = round(part.start_s * 10)
    np.testing.assert_array_equal(
        np.stack(part.frames), np.stack(whole.frames[first:first + len(part.frames)]))
    np.testing.assert_array_equal(
        part.waveform, whole.waveform[first * 1600:(first + len(part.frames)) * 1600])


@pytest.mark.parametrize('start_s, end_s', [(1.0, 2.5), (1.05, None), (None, 1.5),
                                            (25.0, 27.0)])
def test_part_of_a_video(tmp_path, start_s, end_s):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=30 if start_s == 25 else 3)
  [clip] = _clips(path, start_s=start_s, end_s=end_s)
  frames, times = video.read_frames(path, 10, None, start_s or 0.0, end_s)
  np.testing.assert_array_equal(np.stack(clip.frames), frames)
  np.testing.assert_allclose(clip.timestamps, times)
  want, _ = audio.read_waveform(path, 16000, clip.start_s, clip.end_s)
  assert len(clip.waveform) == len(want)
  assert np.abs(clip.waveform - want).max() < 0.05


def test_part_that_begins_after_the_end_is_rejected(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=2)
  for keep in (None, clips.Windows(count=2, frames=5, margin_seconds=0.1)):
    with pytest.raises(MediaError) as error:
      _clips(path, start_s=5.0, end_s=6.0, keep=keep)
    assert error.value.reason == 'no_frames'
