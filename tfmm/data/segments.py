"""Where a model may look and listen: index maths of segments.

A segment is a window of `window` consecutive frames of the record, of which every
`stride`-th is read (AdaMML: 8 frames, stride 4, so windows of 32 frames), with the
sound around the window's middle. Everything here is a few TensorFlow ops on index
vectors, eager or in a graph, so the reader, exports and serving clients share it.

A record holds all frames of a video (one run), or only runs of frames around windows
that were chosen when it was prepared. Nothing is read across the border of a run.

Letters: T frames of the record, S segments, F frames of a segment, R runs.
"""

from typing import NamedTuple

import tensorflow as tf


class Runs(NamedTuple):
  """Spans of frames without a gap in time, in the order of the record's frames."""

  begin: tf.Tensor  # int32 [R], first frame
  end: tf.Tensor  # int32 [R], one past the last frame

  @classmethod
  def of_lengths(cls, lengths):
    """Runs that follow each other in the record: int32 [R] frames of each."""
    end = tf.cumsum(lengths)
    return cls(end - lengths, end)

  def find(self, frames):
    """The runs that frames lie in: int32 [...] -> int32 [...]."""
    return tf.searchsorted(self.begin, frames, side='right') - 1


def window_starts(num_frames, window, num_segments, *, seed=None):
  """First frame of each segment's window.

  Windows may start anywhere in [0, T - window]. Without a seed the S starts are
  `linspace(0, T - window, S)` rounded down, AdaMML's test sampling (one segment
  starts at 0). With a seed the range is cut in S equal parts and each start is
  uniform in its part (after TSN; AdaMML's authors do so in training, but round the
  parts down, so that the last frames are never seen). A video shorter than the window
  starts all its segments at 0, and `frame_indices` repeats its last frame (theirs
  wraps around to the first).

  Args:
    num_frames: T, int or int tensor.
    window: frames a window spans, int or int tensor.
    num_segments: S, int or int tensor.
    seed: int tensor [2] for random starts, None for uniform ones.

  Returns:
    int32 [S], not decreasing.
  """
  highest = tf.maximum(tf.cast(num_frames, tf.int64) - tf.cast(window, tf.int64), 0)
  count = tf.cast(num_segments, tf.int64)
  place = tf.range(count)
  if seed is None:
    return tf.cast(place * highest // tf.maximum(count - 1, 1), tf.int32)
  draw = tf.random.stateless_uniform(
      [num_segments], seed, dtype=tf.float64, alg='philox')
  part = tf.cast(highest + 1, tf.float64) / tf.cast(count, tf.float64)
  starts = tf.floor((tf.cast(place, tf.float64) + draw) * part)
  return tf.minimum(tf.cast(starts, tf.int32), tf.cast(highest, tf.int32))


def starts_in_windows(windows, window, num_segments, *, runs, margin, seed=None):
  """First frame of each segment in a record that holds only windows of a video.

  Without a seed the segments take S of the W stored windows, spread evenly (index
  `linspace(0, W - 1, S)`, halves rounded down), and lie in the middle of theirs: with
  S = W and windows of equal length these are the places of `window_starts` in the
  whole video. With a seed the stored windows are cut in S equal parts, one of each
  part is drawn (with S > W windows repeat), and the start is uniform over all places
  that keep the segment in its run and within `margin` frames of its window.

  Args:
    windows: int32 [W, 2], first frame and one past the last frame, ascending.
    window: frames a segment spans. Where a stored window is shorter, because the video
      is, the segment starts with its run.
    num_segments: S.
    runs: the record's `Runs`.
    margin: frames, see `schema.margin_frames`.
    seed: int tensor [2] for random starts, None for uniform ones.

  Returns:
    int32 [S], not decreasing.
  """
  begin, end = tf.unstack(tf.cast(windows, tf.int32), axis=-1)
  stored, place = tf.size(begin), tf.range(num_segments)
  if seed is None:
    steps = max(num_segments - 1, 1)
    chosen = (2 * place * (stored - 1) + steps - 1) // (2 * steps)
    low = tf.gather(begin, chosen)
    return low + tf.maximum(tf.gather(end, chosen) - low - window, 0) // 2
  draws = tf.random.stateless_uniform(
      [2, num_segments], seed, dtype=tf.float64, alg='philox')
  share = tf.cast(stored, tf.float64) / num_segments
  chosen = tf.floor((tf.cast(place, tf.float64) + draws[0]) * share)
  chosen = tf.minimum(tf.cast(chosen, tf.int32), stored - 1)
  begin, end = tf.gather(begin, chosen), tf.gather(end, chosen)
  run = runs.find(begin)
  low = tf.maximum(begin - margin, tf.gather(runs.begin, run))
  high = tf.minimum(end + margin, tf.gather(runs.end, run)) - window
  room = tf.maximum(high - low, 0)
  shift = tf.floor(draws[1] * tf.cast(room + 1, tf.float64))
  # Segments of one window, or of windows that overlap, are drawn in any order.
  return tf.sort(low + tf.minimum(tf.cast(shift, tf.int32), room))


def frame_indices(starts, frames_per_segment, stride, num_frames):
  """Frames that a view reads: every `stride`-th from each start.

  Indices past the end repeat the last frame.

  Args:
    starts: int32 [S], from `window_starts` or `starts_in_windows`.
    frames_per_segment: F.
    stride: distance of two frames, in frames of the record.
    num_frames: T; or int32 [S], one past the last frame of each segment's run.

  Returns:
    int32 [S, F] in [0, T - 1].
  """
  offsets = tf.range(frames_per_segment) * stride
  last = tf.reshape(tf.cast(num_frames, tf.int32), [-1, 1]) - 1
  # [S, 1] + [F] -> [S, F]
  indices = tf.cast(starts, tf.int32)[:, tf.newaxis] + tf.cast(offsets, tf.int32)
  return tf.minimum(indices, last)


def frame_period(timestamps, runs=None):
  """Mean distance of two frames in seconds; 0 if there is but one frame.

  Args:
    timestamps: float64 [T], seconds, ascending in a run.
    runs: the record's `Runs`, whose gaps do not count; None: there are none.
  """
  if runs is None:
    runs = Runs.of_lengths(tf.shape(timestamps))
  last = tf.gather(timestamps, runs.end - 1)
  spans = tf.reduce_sum(last - tf.gather(timestamps, runs.begin))
  steps = tf.reduce_sum(runs.end - runs.begin - 1)
  return spans / tf.cast(tf.maximum(steps, 1), tf.float64)


def segment_times(timestamps, starts, window, runs=None):
  """When each segment's window begins and ends.

  The last frame lasts as long as the mean frame, so that windows that touch in
  frames touch in seconds.

  Args:
    timestamps: float64 [T], seconds, ascending in a run.
    starts: int32 [S].
    window: frames a window spans.
    runs: the record's `Runs`; None: all frames are one run.

  Returns:
    float64 [S, 2] seconds: start, end.
  """
  timestamps = tf.cast(timestamps, tf.float64)
  if runs is None:
    runs = Runs.of_lengths(tf.shape(timestamps))
  ends = tf.gather(runs.end, runs.find(starts))
  last = tf.minimum(starts + tf.cast(window, tf.int32), ends) - 1
  begin = tf.gather(timestamps, starts)
  end = tf.gather(timestamps, last) + frame_period(timestamps, runs)
  return tf.stack([begin, end], -1)


def middles(times):
  """Middles of `segment_times` in seconds: float64 [S, 2] -> [S]."""
  return tf.reduce_mean(tf.cast(times, tf.float64), -1)


def middles_at_rate(starts, window, frame_rate):
  """Middles of windows if frames came at a constant rate from time 0.

  The authors of AdaMML place sound so, at 29.97 Hz whatever the video's rate.

  Args:
    starts: int32 [S].
    window: frames a window spans.
    frame_rate: Hz.

  Returns:
    float64 [S] seconds.
  """
  middle = tf.cast(starts, tf.float64) + tf.cast(window, tf.float64) / 2
  return middle / tf.cast(frame_rate, tf.float64)


def audio_windows(waveform, centres, *, sample_rate, length, offset=0., lengths=None,
                  runs=None):
  """Cuts `length` samples around each centre.

  A window that crosses its sound's begin or end moves inside. Sound shorter than
  the window is tiled. A window with no common sample with its sound, before it was
  moved, is not present and comes out as zeros.

  Args:
    waveform: float32 [N] samples, N may be 0; or [R, N], those of each run.
    centres: [S] seconds.
    sample_rate: Hz.
    length: samples of a window, int.
    offset: time of the first sample in seconds, on the clock of `centres`; or [R].
    lengths: int32 [R], samples of each run; None: N.
    runs: int32 [S], the run that each window is cut from; None: the first one.

  Returns:
    (float32 [S, length], float32 [S] 1 where present).
  """
  waveform = tf.convert_to_tensor(waveform)
  if waveform.shape.rank == 1:
    waveform = waveform[tf.newaxis]
  centres = tf.cast(centres, tf.float64)
  if runs is None:
    runs = tf.zeros(tf.shape(centres), tf.int32)
  most = tf.shape(waveform)[1]
  total = tf.zeros_like(runs) + most if lengths is None else tf.gather(lengths, runs)
  rate = tf.cast(sample_rate, tf.float64)
  offset = tf.reshape(tf.cast(offset, tf.float64), [-1])
  left = tf.cast(tf.round((centres - offset[0]) * rate - length / 2), tf.int32)
  # Each run begins at a whole sample of the video, so a window is placed as if the
  # sound between the runs were there.
  begin = tf.round(offset * rate)
  left -= tf.gather(tf.cast(begin - begin[0], tf.int32), runs)
  present = (left < total) & (left + length > 0) & (total > 0)
  present = tf.cast(present, tf.float32)
  left = tf.clip_by_value(left, 0, tf.maximum(total - length, 0))
  # [S, 1] + [length] -> [S, length]; the remainder tiles sound that is too short
  row, steps = (runs * most)[:, tf.newaxis], tf.range(length)
  left, around = left[:, tf.newaxis], tf.maximum(total, 1)[:, tf.newaxis]
  places = tf.cond(
      tf.reduce_all(total >= length),
      lambda: row + left + steps,
      lambda: row + (left + steps) % around)
  samples = tf.reshape(waveform, [-1])
  samples = tf.cond(tf.size(samples) > 0, lambda: samples, lambda: tf.zeros([1]))
  return tf.gather(samples, places) * present[:, tf.newaxis], present


def overlap(intervals, centres, seconds):
  """Which windows touch at least one interval.

  Args:
    intervals: float64 [K, 2] seconds, or [S, K, 2], those of each window; an interval
      with end <= start is empty.
    centres: [S] seconds.
    seconds: length of a window.

  Returns:
    float32 [S] of 0 and 1.
  """
  # [S, 1] against [K] or [S, K] -> [S, K]
  centres = tf.cast(centres, tf.float64)[:, tf.newaxis]
  begin, end = tf.unstack(intervals, axis=-1)
  touches = (centres - seconds / 2 < end) & (centres + seconds / 2 > begin)
  touches &= end > begin
  return tf.cast(tf.reduce_any(touches, -1), tf.float32)
