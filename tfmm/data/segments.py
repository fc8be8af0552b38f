"""Where a model may look and listen: index maths of segments.

A segment is a window of `window` consecutive frames of the record, of which every
`stride`-th is read (AdaMML: 8 frames, stride 4, so windows of 32 frames), with the
sound around the window's middle. Everything here is a few TensorFlow ops on index
vectors, eager or in a graph, so the reader, exports and serving clients share it.

Letters: T frames of the video, S segments, F frames of a segment.
"""

import tensorflow as tf


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


def frame_indices(starts, frames_per_segment, stride, num_frames):
  """Frames that a view reads: every `stride`-th from each start.

  Indices past the end repeat the last frame.

  Args:
    starts: int32 [S], from `window_starts`.
    frames_per_segment: F.
    stride: distance of two frames, in frames of the record.
    num_frames: T.

  Returns:
    int32 [S, F] in [0, T - 1].
  """
  offsets = tf.range(frames_per_segment) * stride
  # [S, 1] + [F] -> [S, F]
  indices = tf.cast(starts, tf.int32)[:, tf.newaxis] + tf.cast(offsets, tf.int32)
  return tf.minimum(indices, tf.cast(num_frames, tf.int32) - 1)


def frame_period(timestamps):
  """Mean distance of two frames in seconds; 0 if there is but one frame.

  Args:
    timestamps: float64 [T], seconds, ascending.
  """
  steps = tf.cast(tf.maximum(tf.shape(timestamps)[0] - 1, 1), tf.float64)
  return (timestamps[-1] - timestamps[0]) / steps


def segment_times(timestamps, starts, window):
  """When each segment's window begins and ends.

  The last frame lasts as long as the mean frame, so that windows that touch in
  frames touch in seconds.

  Args:
    timestamps: float64 [T], seconds, ascending.
    starts: int32 [S].
    window: frames a window spans.

  Returns:
    float64 [S, 2] seconds: start, end.
  """
  timestamps = tf.cast(timestamps, tf.float64)
  last = tf.minimum(starts + tf.cast(window, tf.int32) - 1, tf.size(timestamps) - 1)
  begin = tf.gather(timestamps, starts)
  end = tf.gather(timestamps, last) + frame_period(timestamps)
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


def audio_windows(waveform, centres, *, sample_rate, length, offset=0.):
  """Cuts `length` samples around each centre.

  A window that crosses the sound's begin or end moves inside. Sound shorter than
  the window is tiled. A window with no common sample with the sound, before it was
  moved, is not present and comes out as zeros.

  Args:
    waveform: float32 [N] samples, N may be 0.
    centres: [S] seconds.
    sample_rate: Hz.
    length: samples of a window, int.
    offset: time of the first sample in seconds, on the clock of `centres`.

  Returns:
    (float32 [S, length], float32 [S] 1 where present).
  """
  total = tf.size(waveform)
  rate = tf.cast(sample_rate, tf.float64)
  middle = (tf.cast(centres, tf.float64) - tf.cast(offset, tf.float64)) * rate
  left = tf.cast(tf.round(middle - length / 2), tf.int32)
  present = tf.logical_and(left < total, left + length > 0)
  present = tf.cast(tf.logical_and(present, total > 0), tf.float32)
  left = tf.clip_by_value(left, 0, tf.maximum(total - length, 0))
  long_enough = tf.cond(
      total >= length, lambda: waveform, lambda: _tile(waveform, length))
  # [S, 1] + [length] -> [S, length]
  windows = tf.gather(long_enough, left[:, tf.newaxis] + tf.range(length))
  return windows * present[:, tf.newaxis], present


def _tile(waveform, length):
  """[N] -> [length] by repetition; zeros if N is 0."""
  waveform = tf.cond(tf.size(waveform) > 0, lambda: waveform, lambda: tf.zeros([1]))
  return tf.tile(waveform, [-(-length // tf.size(waveform))])[:length]


def overlap(intervals, centres, seconds):
  """Which windows touch at least one interval.

  Args:
    intervals: float64 [K, 2] seconds; an interval with end <= start is empty.
    centres: [S] seconds.
    seconds: length of a window.

  Returns:
    float32 [S] of 0 and 1.
  """
  # [S, 1] against [K] -> [S, K]
  centres = tf.cast(centres, tf.float64)[:, tf.newaxis]
  begin, end = tf.unstack(intervals, axis=-1)
  touches = (centres - seconds / 2 < end) & (centres + seconds / 2 > begin)
  touches &= end > begin
  return tf.cast(tf.reduce_any(touches, -1), tf.float32)
