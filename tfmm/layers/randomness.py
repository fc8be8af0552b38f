"""Random numbers that a resumed run draws again.

Every draw is a stateless op whose seed is folded from (run seed, step, salt), so
that nothing random has to be stored in a checkpoint. The `philox` algorithm is named
because `auto_select` depends on the device; under XLA its numbers still differ, so
whether a run is compiled belongs to the run's identity.
"""

from __future__ import annotations

import tensorflow as tf


def fold_seed(seed: tf.Tensor, *values) -> tf.Tensor:
  """Mixes integers (step, replica, salt, ...) into a seed of shape [2]."""
  seed = tf.convert_to_tensor(seed)
  for value in values:
    seed = tf.random.experimental.stateless_fold_in(
        seed, tf.cast(value, seed.dtype), alg='philox')
  return seed


def uniform(shape, seed: tf.Tensor) -> tf.Tensor:
  """Uniform float32 numbers in [0, 1), a pure function of `seed` (int [2])."""
  return tf.random.stateless_uniform(shape, seed, alg='philox')


class SeededDropout(tf.keras.layers.Layer):
  """Dropout whose mask is a pure function of the seed it is called with.

  Keras' own Dropout keeps its random state outside checkpoints, so a resumed run
  would silently differ from an undisturbed one.
  """

  def __init__(self, rate: float, name: str | None = None):
    super().__init__(name=name, dtype='float32')
    if not 0 <= rate < 1:
      raise ValueError(f'dropout rate is {rate}; it must be in [0, 1).')
    self.rate = rate

  def call(self, x, seed=None, training=False):
    """[...] -> [...]; the identity when not training or at rate 0."""
    if not training or not self.rate:
      return x
    return tf.nn.experimental.stateless_dropout(
        x, self.rate, seed=seed, rng_alg='philox')
