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


def _runs(*pairs):
  return segments.Runs(*(tf.constant(ends) for ends in zip(*pairs)))


def test_runs_find_their_frames():
  runs = segments.Runs.of_lengths(tf.constant([4, 0, 3]))
  np.testing.assert_array_equal(runs.begin, [0, 4, 4])
  np.testing.assert_array_equal(runs.end, [4, 4, 7])
  np.testing.assert_array_equal(runs.find(tf.range(7)), [0] * 4 + [2] * 3)


@pytest.mark.parametrize('stored', [1, 2, 3, 10])
@pytest.mark.parametrize('asked', [1, 2, 3, 5, 10, 12])
def test_windows_at_test_time_are_spread_and_halves_go_down(stored, asked):
  begin = 50 * np.arange(stored)
  windows = np.stack([begin, begin + 11], 1)
  starts = segments.starts_in_windows(
      tf.constant(windows), 8, asked, runs=_runs((0, 500)), margin=3)
  places = [Fraction(i * (stored - 1), max(asked - 1, 1)) for i in range(asked)]
  chosen = [math.ceil(place - Fraction(1, 2)) for place in places]
  np.testing.assert_array_equal(starts, [50 * c + 1 for c in chosen])  # (11 - 8) // 2


def test_random_starts_fill_their_windows_and_margins():
  """Two runs of three windows; 4 frames of margin, cut where the run ends."""
  runs = _runs((0, 40), (40, 100))
  windows = np.array([[2, 12], [10, 20], [30, 40], [40, 50], [70, 80], [85, 95]])
  starts = np.stack([
      segments.starts_in_windows(
          tf.constant(windows), 8, 3, runs=runs, margin=4, seed=[5, k])
      for k in range(600)])
  assert (np.diff(starts) >= 0).all()
  for s in range(3):
    allowed = set()
    for begin, end in windows[2 * s:2 * s + 2]:
      first, last = (0, 40) if begin < 40 else (40, 100)
      allowed |= set(range(max(begin - 4, first), min(end + 4, last) - 8 + 1))
    assert set(starts[:, s]) == allowed
  again = segments.starts_in_windows(
      tf.constant(windows), 8, 3, runs=runs, margin=4, seed=[5, 7])
  np.testing.assert_array_equal(again, starts[7])


def test_places_of_one_window_are_uniform():
  starts = np.stack([
      segments.starts_in_windows(
          tf.constant([[5, 9]]), 3, 40, runs=_runs((0, 20)), margin=2, seed=[1, k])
      for k in range(50)])
  assert (np.diff(starts) >= 0).all()
  values, counts = np.unique(starts, return_counts=True)
  np.testing.assert_array_equal(values, [3, 4, 5, 6, 7, 8])
  assert np.abs(counts / 2000 - 1 / 6).max() < .04


def test_few_windows_repeat_and_short_videos_start_at_their_begin():
  starts = segments.starts_in_windows(
      tf.constant([[0, 5], [100, 105]]), 5, 6, runs=_runs((0, 50), (50, 105)),
      margin=0, seed=[2, 2])
  np.testing.assert_array_equal(starts, [0, 0, 0, 100, 100, 100])
  for seed in (None, [3, 4]):
    starts = segments.starts_in_windows(
        tf.constant([[0, 5], [0, 5]]), 8, 3, runs=_runs((0, 5)), margin=4, seed=seed)
    np.testing.assert_array_equal(starts, [0, 0, 0])


def test_frames_and_times_end_with_their_run():
  runs = _runs((0, 4), (4, 9))
  starts = tf.constant([0, 2, 4, 7])
  ends = tf.gather(runs.end, runs.find(starts))
  np.testing.assert_array_equal(
      segments.frame_indices(starts, 3, 2, ends),
      [[0, 2, 3], [2, 3, 3], [4, 6, 8], [7, 8, 8]])
  times = np.array([0, .1, .2, .3, 5., 5.1, 5.2, 5.3, 5.4])
  np.testing.assert_allclose(
      segments.segment_times(times, starts, 3, runs),
      [[0, .3], [.2, .4], [5, 5.3], [5.3, 5.5]])


def test_sound_of_runs_is_that_of_the_whole_video():
  """At 29.97 Hz a frame has 266.93 samples, so each run begins between two."""
  rate, period = 8000, 1 / 29.97
  sound = np.random.default_rng(0).normal(size=100000).astype(np.float32)
  spans = [(3, 40), (60, 95), (80, 130)]  # frames; the last two overlap
  cuts = [(round(a * period * rate), round(b * period * rate)) for a, b in spans]
  waveform = np.zeros([3, 20000], np.float32)
  for row, (a, b) in zip(waveform, cuts):
    row[:b - a] = sound[a:b]
  lengths = [b - a for a, b in cuts]
  middles = [20, 35.5, 70, 90, 90, 120]
  runs = [0, 0, 1, 1, 2, 2]
  windows, present = segments.audio_windows(
      tf.constant(waveform), np.array(middles) * period, sample_rate=rate, length=2000,
      offset=[a * period for a, _ in spans], lengths=tf.constant(lengths),
      runs=tf.constant(runs))
  assert present.numpy().all()
  for window, middle, run in zip(windows, middles, runs):
    left = round((middle - 3) * period * rate - 1000) + cuts[0][0]
    left = min(max(left, cuts[run][0]), cuts[run][1] - 2000)  # moves inside its run
    np.testing.assert_array_equal(window, sound[left:left + 2000])


def test_sound_of_short_and_empty_runs():
  waveform = tf.constant([[1., 2., 3., 0.], [5., 6., 7., 8.], [0.] * 4])
  windows, present = segments.audio_windows(
      waveform, [.02, 1.02, 2.02, 1.5], sample_rate=100, length=4,
      offset=[0., 1., 2.], lengths=tf.constant([3, 4, 0]),
      runs=tf.constant([0, 1, 2, 1]))
  np.testing.assert_array_equal(
      windows, [[1, 2, 3, 1], [5, 6, 7, 8], [0] * 4, [0] * 4])
  np.testing.assert_array_equal(present, [1, 1, 0, 0])


def test_overlap_with_intervals_of_each_window():
  intervals = tf.constant([[[0., 1.], [2., 3.]], [[5., 6.], [5., 5.]]], tf.float64)
  np.testing.assert_array_equal(segments.overlap(intervals, [2.5, 2.5], .2), [1, 0])
