"""How the logits of several modalities become one (AdaMML section 4.1)."""

from __future__ import annotations

import tensorflow as tf

FUSIONS = ('average', 'weighted')


class LogitFusion(tf.keras.layers.Layer):
  """sum_m w_m * logits_m with weights that add up to one.

  `average` keeps them at 1 / M. `weighted` learns M - 1 of them from 1 / M; the last
  one is what they leave of 1, so a weight may become negative, as in the authors'
  code. A skipped modality contributes zero and the others are not rescaled.
  """

  def __init__(self, fusion: str, *, num_modalities: int, name: str | None = None):
    super().__init__(name=name, dtype='float32')
    if fusion not in FUSIONS:
      raise ValueError(f'fusion is {fusion!r}; it must be one of {FUSIONS}.')
    self.num_modalities = num_modalities
    self.free_weights = None
    if fusion == 'weighted' and num_modalities > 1:
      self.free_weights = self.add_weight(
          'free_weights', [num_modalities - 1],
          initializer=tf.keras.initializers.Constant(1. / num_modalities))

  def weights_per_modality(self) -> tf.Tensor:
    """[M], adding up to 1."""
    if self.free_weights is None:
      return tf.fill([self.num_modalities], 1. / self.num_modalities)
    free = tf.convert_to_tensor(self.free_weights)
    return tf.concat([free, [1. - tf.reduce_sum(free)]], 0)

  def call(self, logits):
    """[B, S, M, C] -> [B, S, C]."""
    return tf.einsum('bsmc,m->bsc', logits, self.weights_per_modality())
