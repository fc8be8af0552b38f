"""Tests of tfmm.media.video."""

import types

import cv2
import numpy as np
import pytest

from tests import tiny_videos
from tfmm.media import MediaError
from tfmm.media import video


def _frame(k, duration=None):
  return types.SimpleNamespace(k=k, duration=duration, time_base=1)


def _resample(times, rate, **options):
  grid = video.FixedRate(rate, **options)
  out = []
  for k, t in enumerate(times):
    out += list(grid.push(_frame(k), t))
  out += grid.finish()
  return [(grid.time_of(n), f.k) for n, f in out]


@pytest.mark.parametrize('seed', range(5))
def test_fixed_rate_takes_the_nearest_earlier_frame(seed):
  rng = np.random.default_rng(seed)
  times = 0.7 + np.cumsum(rng.uniform(0.005, 0.3, 60))
  rate = rng.uniform(5, 40)
  pairs = _resample(times, rate)
  got = np.array([t for t, _ in pairs])
  np.testing.assert_allclose(got, times[0] + np.arange(len(got)) / rate)
  # The reference looks each output time up in all input times.
  want = np.searchsorted(times, got + 0.001, side='left') - 1
  np.testing.assert_array_equal([k for _, k in pairs], want)
  end = times[-1] + (times[-1] - times[-2])
  assert len(pairs) == round((end - times[0]) * rate)


def test_same_rate_is_the_identity_in_spite_of_rounding_to_milliseconds():
  times = np.round(np.arange(90) / 29.97, 3)
  assert [k for _, k in _resample(times, 29.97)] == list(range(90))


def test_single_frame_gives_one_frame():
  assert _resample([0.5], 30) == [(0.5, 0)]


def test_out_of_order_and_equal_times():
  assert [k for _, k in _resample([0, .1, .05, .1, .2], 10)] == [0, 3, 4]


def test_gap_holds_the_last_frame_and_too_long_is_refused():
  assert len(_resample([0, .1, 20.0], 10)) >= 200
  with pytest.raises(MediaError) as error:
    _resample([0, .1, 20.0], 10, max_seconds=10)
  assert error.value.reason == 'too_long'


@pytest.mark.parametrize('size, short, want', [
    ((48, 64), 36, (36, 48)), ((64, 48), 36, (48, 36)), ((201, 355), 256, (256, 452)),
    ((40, 1600), 32, (32, 128)), ((16, 16), 64, (64, 64)),
    ((201, 355), None, (200, 354))])
def test_target_size_is_even_and_keeps_the_aspect(size, short, want):
  assert video._target(*size, short) == want


def test_odd_short_side_is_refused():
  with pytest.raises(ValueError, match='255.*even'):
    video.Scaler(255)


def test_read_frames_shows_the_right_frames(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=2)
  frames, times = video.read_frames(path, 10, 36)
  assert frames.shape == (20, 36, 48, 3) and frames.dtype == np.uint8
  np.testing.assert_allclose(times, np.arange(20) / 10)
  want = [tiny_videos.level(k) for k in range(20)]
  np.testing.assert_allclose(frames[:, :, 30:].mean((1, 2, 3)), want, atol=4)
  np.testing.assert_allclose(frames[:, :, :18].mean((1, 2, 3)), np.subtract(want, 20),
                             atol=4)


def test_read_frames_up_and_down(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=2)
  slow, _ = video.read_frames(path, 5, None)
  fast, _ = video.read_frames(path, 20, None)
  want = np.array([tiny_videos.level(k) for k in range(20)])
  np.testing.assert_allclose(slow[:, :, 40:].mean((1, 2, 3)), want[::2], atol=4)
  np.testing.assert_allclose(fast[:, :, 40:].mean((1, 2, 3)), want.repeat(2), atol=4)


def test_varying_frame_rate_goes_by_time(tmp_path):
  times = [0, .1, .2, 1.0, 1.1, 1.2]
  path = tiny_videos.make(tmp_path / 'a.mkv', times=times, sound=False)
  frames, _ = video.read_frames(path, 10, None)
  shown = frames[:12, :, 40:].mean((1, 2, 3))
  want = [tiny_videos.level(k) for k in [0, 1] + [2] * 8 + [3, 4]]
  np.testing.assert_allclose(shown, want, atol=4)


def test_span_equals_the_slice_of_the_whole(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=14, sound=False)
  whole, times = video.read_frames(path, 10, None)
  for start, end in ((0.5, 1.5), (11.0, 12.0), (13.0, None)):
    part, part_times = video.read_frames(path, 10, None, start, end)
    first = round(start * 10)
    last = round(end * 10) if end else len(whole)
    np.testing.assert_allclose(part_times, times[first:last], atol=1e-9)
    np.testing.assert_array_equal(part, whole[first:last])


def test_span_without_picture_is_an_error(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4')
  with pytest.raises(MediaError) as error:
    video.read_frames(path, 10, None, 5.0, 6.0)
  assert error.value.reason == 'no_frames'
  with pytest.raises(ValueError, match='above start_s'):
    video.read_frames(path, 10, None, 2.0, 1.0)
  with pytest.raises(ValueError, match='frame_rate is 0'):
    video.read_frames(path, 0, None)


def test_rotation_stands_upright():
  turned = []

  class Frame:
    width, height, rotation = 64, 48, 90

  scaler = video.Scaler(None)
  image = tiny_videos.picture(5, 64, 48)
  scaled = types.SimpleNamespace(to_ndarray=lambda **options: image)
  scaler._reformatter = types.SimpleNamespace(
      reformat=lambda frame, **options: turned.append(options) or scaled)
  np.testing.assert_array_equal(scaler.rgb(Frame()), np.rot90(image))
  assert (turned[0]['width'], turned[0]['height']) == (64, 48)


def test_jpeg_is_rgb_and_420():
  rgb = np.zeros((32, 48, 3), np.uint8)
  rgb[..., 0] = 200
  data = video.encode_jpeg(rgb, 90)
  back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
  np.testing.assert_allclose(back, rgb, atol=6)
  start = data.index(b'\xff\xc0')
  assert data[start + 11] == 0x22  # luma sampled 2x2: 4:2:0
