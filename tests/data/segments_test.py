from fractions import Fraction
import math

import numpy as np
import pytest
import tensorflow as tf

from tfmm.data import segments


@pytest.mark.parametrize('frames, window, count', [
    (300, 32, 10), (32, 32, 10), (33, 32, 10), (7, 32, 5), (1, 8, 3), (301, 32, 1),
    (123456, 32, 128)])
def test_uniform_starts_are_linspace(frames, window, count):
  last = max(frames - window, 0)
  expected = [math.floor(Fraction(s * last, max(count - 1, 1))) for s in range(count)]
  starts = segments.window_starts(frames, window, count)
  np.testing.assert_array_equal(starts, expected)
  assert np.abs(starts - np.linspace(0, last, count).astype(int)).max() <= 1


def test_random_starts_lie_in_their_parts_and_fill_them():
  frames, window, count = 132, 32, 5
  starts = np.stack([
      segments.window_starts(frames, window, count, seed=[7, k]) for k in range(500)])
  part = (frames - window + 1) / count
  for s in range(count):
    inside = range(math.floor(s * part), math.ceil((s + 1) * part))
    assert set(starts[:, s]) <= set(inside)
    assert len(set(starts[:, s])) >= len(inside) - 1
  assert abs(starts.mean() - (frames - window) / 2) < 1


def test_random_starts_are_a_function_of_the_seed():
  draw = lambda seed: segments.window_starts(500, 32, 5, seed=seed).numpy().tolist()
  assert draw([1, 2]) == draw([1, 2])
  assert draw([1, 2]) != draw([1, 3])


def test_short_video_repeats_its_last_frame():
  starts = segments.window_starts(5, 32, 2, seed=[0, 0])
  indices = segments.frame_indices(starts, 8, 4, 5)
  np.testing.assert_array_equal(starts, [0, 0])
  np.testing.assert_array_equal(indices, [[0, 4, 4, 4, 4, 4, 4, 4]] * 2)


def test_frame_indices_against_numpy():
  starts = np.array([0, 10, 268])
  expected = starts[:, None] + 4 * np.arange(8)
  np.testing.assert_array_equal(segments.frame_indices(starts, 8, 4, 300), expected)


def test_segment_times_cover_the_window_of_uneven_frames():
  times = np.array([.5, .6, .7, .9, 1.], np.float64)
  result = segments.segment_times(times, tf.constant([0, 1, 4]), 2)
  period = .5 / 4
  np.testing.assert_allclose(
      result, [[.5, .6 + period], [.6, .7 + period], [1., 1. + period]])
  np.testing.assert_allclose(segments.middles(result), np.mean(result, 1))


def test_official_audio_clock():
  middles = segments.middles_at_rate(tf.constant([0, 100]), 32, 29.97)
  np.testing.assert_allclose(middles, [16 / 29.97, 116 / 29.97])


def test_audio_window_inside_at_both_ends_and_outside():
  sound = np.arange(1, 101, dtype=np.float32)
  windows, present = segments.audio_windows(
      tf.constant(sound), [.5, .01, .99, 1.2, -1.], sample_rate=100, length=20)
  expected = [sound[40:60], sound[:20], sound[-20:], np.zeros(20), np.zeros(20)]
  np.testing.assert_array_equal(windows, expected)
  np.testing.assert_array_equal(present, [1, 1, 1, 0, 0])


def test_audio_offset_is_the_time_of_the_first_sample():
  sound = np.arange(1, 101, dtype=np.float32)
  windows, _ = segments.audio_windows(
      tf.constant(sound), [60.5], sample_rate=100, length=20, offset=60.)
  np.testing.assert_array_equal(windows, [sound[40:60]])


def test_short_sound_is_tiled_and_no_sound_is_absent():
  windows, present = segments.audio_windows(
      tf.constant([1., 2., 3.]), [.01], sample_rate=100, length=8)
  np.testing.assert_array_equal(windows, [[1, 2, 3, 1, 2, 3, 1, 2]])
  assert present[0] == 1
  windows, present = segments.audio_windows(
      tf.zeros([0]), [.01], sample_rate=100, length=8)
  np.testing.assert_array_equal(windows, np.zeros([1, 8]))
  assert present[0] == 0


def test_overlap_ignores_empty_intervals():
  intervals = tf.constant([[1., 2.], [5., 5.]], tf.float64)
  result = segments.overlap(intervals, [.4, .6, 1.5, 2.6, 5.], 1.)
  np.testing.assert_array_equal(result, [0, 1, 1, 0, 0])


def test_same_numbers_in_a_graph_with_tensor_arguments():
  @tf.function
  def place(frames, window, count):
    starts = segments.window_starts(frames, window, count)
    return segments.frame_indices(starts, 8, 4, frames)

  args = [tf.constant(v) for v in (200, 32, 6)]
  starts = segments.window_starts(200, 32, 6)
  np.testing.assert_array_equal(
      place(*args), segments.frame_indices(starts, 8, 4, 200))
