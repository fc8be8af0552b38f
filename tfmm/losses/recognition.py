"""Losses on what the model recognized."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossEntropy:
  """Softmax cross-entropy of the video's logits.

  Labels are class indices [B], or weights [B, C] (several labels, or mixed ones), which
  are scaled to add up to one.

  Args:
    label_smoothing: share of the target that is spread over all classes.
  """

  label_smoothing: float = 0.

  def __post_init__(self):
    if not 0 <= self.label_smoothing < 1:
      raise ValueError(
          f'label_smoothing is {self.label_smoothing}; it must be in [0, 1).')

  def __call__(self, batch, recognition):
    """-> [B] in nats."""
    logits, label = recognition.logits, batch['label']
    if label.shape.rank == 1:
      target = tf.one_hot(label, logits.shape[-1])
    else:
      label = tf.cast(label, tf.float32)
      target = tf.math.divide_no_nan(label, tf.reduce_sum(label, -1, keepdims=True))
    smooth = self.label_smoothing
    target = (1 - smooth) * target + smooth / logits.shape[-1]
    return tf.nn.softmax_cross_entropy_with_logits(target, logits)


def is_correct(batch, recognition) -> tf.Tensor:
  """[B] 0/1: whether the highest logit is (one of) the video's label(s)."""
  best = tf.argmax(recognition.logits, -1, output_type=tf.int32)
  label = batch['label']
  if label.shape.rank == 1:
    return tf.cast(best == tf.cast(label, tf.int32), tf.float32)
  return tf.cast(tf.gather(label, best, batch_dims=1) > 0, tf.float32)
