"""How several modalities become one (AdaMML section 4.1 and Table 7)."""

from __future__ import annotations

import tensorflow as tf

FUSIONS = ('average', 'weighted', 'class_weighted', 'max')


class LogitFusion(tf.keras.layers.Layer):
  """Fuses the logits of the modalities of each segment.

  * `average`, `weighted`, `class_weighted`: sum_m w_m * logits_m with weights that add
    up to one. `average` keeps them at 1 / M. `weighted` learns M - 1 of them from
    1 / M, `class_weighted` as many for each class; the last one is what they leave of
    1, so a weight may become negative, as in the authors' code. A skipped modality
    contributes zero and the others are not rescaled.
  * `max`: the highest logit of each class among the modalities whose gate is open. A
    segment with none gives zeros. A closed gate gets no gradient from it.

  Args:
    fusion: one of `FUSIONS`.
    num_modalities: M.
    num_classes: C; `class_weighted` needs it.
  """

  def __init__(self, fusion: str, *, num_modalities: int,
               num_classes: int | None = None, name: str | None = None):
    super().__init__(name=name, dtype='float32')
    if fusion not in FUSIONS:
      raise ValueError(f'fusion is {fusion!r}; it must be one of {FUSIONS}.')
    if fusion == 'class_weighted' and (num_classes is None or num_classes < 1):
      raise ValueError(
          f"fusion 'class_weighted' has weights for each class and num_classes is "
          f'{num_classes}; it must be 1 or more: pass the number of classes.')
    self.fusion = fusion
    self.num_modalities = num_modalities
    self.free_weights = None
    shape = {'weighted': [num_modalities - 1],
             'class_weighted': [num_modalities - 1, num_classes]}.get(fusion)
    if shape and num_modalities > 1:
      self.free_weights = self.add_weight(
          'free_weights', shape,
          initializer=tf.keras.initializers.Constant(1. / num_modalities))

  def weights_per_modality(self) -> tf.Tensor:
    """[M], or [M, C] of 'class_weighted'; they add up to 1 over the modalities."""
    if self.fusion == 'max':
      raise ValueError(f"fusion 'max' has no weights; {FUSIONS[:3]} have.")
    if self.free_weights is None:
      return tf.fill([self.num_modalities], 1. / self.num_modalities)
    free = tf.convert_to_tensor(self.free_weights)
    return tf.concat([free, 1. - tf.reduce_sum(free, 0, keepdims=True)], 0)

  def call(self, logits, gates):
    """logits [B, S, M, C] (already multiplied by gates), gates [B, S, M] -> [B, S, C].
    """
    if self.fusion == 'max':
      return _highest(logits, gates)
    weights = self.weights_per_modality()
    labels = 'm' if weights.shape.rank == 1 else 'mc'
    return tf.einsum(f'bsmc,{labels}->bsc', logits, weights)


def _highest(logits, gates):
  is_open = gates[..., tf.newaxis] > 0  # [B, S, M, 1]
  highest = tf.reduce_max(tf.where(is_open, logits, logits.dtype.min), axis=2)
  return tf.where(tf.reduce_any(is_open, axis=2), highest, 0.)


def linear(units: int, *, input_dim: int, name: str, activation: str | None = None
           ) -> tf.keras.layers.Dense:
  """A fully connected layer that starts as PyTorch's, which the authors trained."""
  limit = input_dim ** -0.5
  kernel, bias = (tf.keras.initializers.RandomUniform(-limit, limit) for _ in range(2))
  layer = tf.keras.layers.Dense(
      units, activation=activation, kernel_initializer=kernel, bias_initializer=bias,
      name=name, dtype='float32')
  layer.build([None, input_dim])
  return layer


def joint_layers(joint_dim: int, *, input_dim: int) -> list[tf.keras.layers.Dense]:
  """Two fully connected layers with ReLU: [N, input_dim] -> [N, joint_dim].

  They join concatenated features in the policy network (AdaMML section 4.1) and in
  "FC2 fusion" (Table 7).
  """
  if joint_dim < 1:
    raise ValueError(
        f'joint_dim is {joint_dim}; it must be 1 or more (the paper has 2048).')
  return [linear(joint_dim, input_dim=dim, name=f'joint_{i}', activation='relu')
          for i, dim in enumerate((input_dim, joint_dim))]
