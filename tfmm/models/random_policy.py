"""Gates that are drawn without looking: AdaMML's random baseline (Table 8)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfmm.layers import gated_encoder, randomness
from tfmm.models import fusion

_RANDOM_GATE_SALT = 103


class RandomPolicy(fusion.LateFusion):
  """Each present modality of each segment runs with one probability, always.

  "Random (Train + Test)" of Table 8. It has no policy network and one group of
  variables, 'recognition', which `phases.single_phase` trains. Its other two rows are
  options of `AdaMML`: `train_gate` and `test_gate`.

  Args:
    encoders: {modality: GatedEncoder}.
    num_classes: C.
    rate: probability that a gate is open, in training and in test (0.5 in the paper).
    fusion: see `LateFusion`.
    dropout: rate before each classifier.
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               num_classes: int, rate: float = .5, fusion: str = 'weighted',
               dropout: float = .5):
    super().__init__(
        encoders=encoders, num_classes=num_classes, fusion=fusion, dropout=dropout)
    check_rate('rate', rate)
    self.rate = rate

  def decide(self, clips, present, *, training, seed):
    del clips, training
    if seed is None:
      raise ValueError('RandomPolicy draws its gates and needs seed=int64 [2]; it is '
                       'None.')
    drawn = random_gates(present, len(self.modalities), rate=self.rate, seed=seed)
    return drawn * present, {}


def random_gates(present: tf.Tensor, num_decisions: int, *, rate: float,
                 seed: tf.Tensor) -> tf.Tensor:
  """[B, S, M] present -> [B, S, num_decisions], each 1 with probability `rate`, or 0.

  A pure function of `seed` (int64 [2]). A segment's draws depend on its place, not on
  how many follow, so padding changes nothing.
  """
  segments = present.shape[1]
  if segments is None:
    raise ValueError('the number of segments must be static; it is None.')
  shape = [tf.shape(present)[0], num_decisions]
  uniform = tf.stack(
      [randomness.uniform(shape, randomness.fold_seed(seed, _RANDOM_GATE_SALT, t))
       for t in range(segments)], axis=1)
  return tf.cast(uniform < rate, tf.float32)


def check_rate(name: str, rate: float):
  """Raises unless `rate` is in (0, 1]: at 0 nothing would ever run."""
  if not 0 < rate <= 1:
    raise ValueError(
        f'{name} is {rate}; it must be above 0 and at most 1 (0.5 in the paper).')
