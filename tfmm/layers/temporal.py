"""Frames as a part of the batch, and pooling over them.

Two-dimensional convolutions treat the frames of a row as more rows: F frames of N
rows are folded into [N * F, H, W, C], and unfolded where time matters.
"""

import tensorflow as tf


def num_rows(tensor):
  """Length of the first axis: an int where it is static, a scalar tensor else."""
  static = tensor.shape[0]
  return tf.shape(tensor)[0] if static is None else static


def fold_frames(rows):
  """[N, F, ...] -> [N * F, ...]; also for N = 0."""
  return tf.reshape(rows, [num_rows(rows) * rows.shape[1], *rows.shape[2:]])


def unfold_frames(folded, num_frames: int):
  """[N * F, ...] -> [N, F, ...]; also for N = 0."""
  return tf.reshape(
      folded, [num_rows(folded) // num_frames, num_frames, *folded.shape[1:]])


def pooled_frames(num_frames: int) -> int:
  """Frames that `temporal_max_pool` leaves of `num_frames`: half, rounded up."""
  return (num_frames + 1) // 2


def temporal_max_pool(folded, num_frames: int):
  """Max-pool over frames: kernel 3, stride 2, one frame of padding on either side.

  Output frame i is the maximum of the input frames 2i - 1, 2i and 2i + 1, of those
  that exist: AdaMML's pooling before later stages, 8 -> 4 -> 2 -> 1 (section 3.3
  and the authors' `MaxPool3d((3, 1, 1), (2, 1, 1), (1, 0, 0))`).

  Args:
    folded: [N * F, ...], frames of one row adjacent.
    num_frames: F, static. One frame is returned as it is.

  Returns:
    [N * ceil(F / 2), ...].
  """
  if num_frames == 1:
    return folded
  frames = unfold_frames(folded, num_frames)  # [N, F, ...]
  centre, after = frames[:, 0::2], frames[:, 1::2]
  # A neighbour that does not exist is replaced by the centre frame itself, which
  # leaves the maximum as it is for any sign of the values.
  before = tf.concat([centre[:, :1], after[:, :centre.shape[1] - 1]], axis=1)
  if num_frames % 2:
    after = tf.concat([after, centre[:, -1:]], axis=1)
  # [N, ceil(F / 2), ...] -> [N * ceil(F / 2), ...]
  return fold_frames(tf.maximum(centre, tf.maximum(before, after)))
