"""Binary decisions that a gradient can pass (AdaMML section 3.2, Eq. 2 and 3)."""

from __future__ import annotations

import tensorflow as tf

from tfmm.layers import randomness

_TINY = 1e-20  # keeps both logarithms of the Gumbel noise finite


def gumbel_noise(shape, seed: tf.Tensor) -> tf.Tensor:
  """Standard Gumbel noise -log(-log U), a pure function of `seed` (int [2])."""
  u = randomness.uniform(shape, seed)
  return -tf.math.log(-tf.math.log(u + _TINY) + _TINY)


def argmax_gate(logits: tf.Tensor) -> tf.Tensor:
  """[..., 2] -> [...]: 1 where "run" (index 1) beats "skip" (index 0)."""
  return tf.cast(logits[..., 1] > logits[..., 0], tf.float32)


def sample_gate(logits: tf.Tensor, temperature, seed: tf.Tensor) -> tf.Tensor:
  """Straight-through Gumbel-softmax sample.

  Args:
    logits: [..., 2] unnormalised scores of (skip, run).
    temperature: scalar > 0; it shapes the gradient alone, not the sample.
    seed: int [2].

  Returns:
    [...] exactly 0 or 1; its gradient is that of the tempered softmax (Eq. 3).
  """
  logits = tf.cast(logits, tf.float32)
  noisy = logits + gumbel_noise(tf.shape(logits), seed)
  soft = tf.nn.softmax(noisy / temperature, axis=-1)[..., 1]
  # Adding an exact zero keeps the gate exactly 0 or 1; hard - soft + soft would not.
  return argmax_gate(noisy) + (soft - tf.stop_gradient(soft))
