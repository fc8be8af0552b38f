"""Losses on what the model spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from tfmm.losses import recognition as recognition_loss
from tfmm.models import base

PENALTY_TYPES = ('squared', 'mean')


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionPenalty:
  """AdaMML's efficiency loss (Eq. 4).

  With u_m the share of a video's segments in which modality m was selected:

  * `squared`: sum_m weights[m] * u_m ** 2 where the video is recognized and
    `wrong_penalty` where it is not. As in the authors' code, `wrong_penalty` is added
    once, not once per weighted modality. It has no gradient.
  * `mean`: sum_m weights[m] * u_m for every video.

  Args:
    weights: {modality: lambda}, for each modality of the model.
    wrong_penalty: gamma; 10 in the paper.
    penalty_type: see above.
  """

  weights: Mapping[str, float]
  wrong_penalty: float = 10.
  penalty_type: str = 'squared'

  def __post_init__(self):
    base.in_canonical_order(self.weights)
    if self.penalty_type not in PENALTY_TYPES:
      raise ValueError(
          f'penalty_type is {self.penalty_type!r}; it must be one of {PENALTY_TYPES}.')

  def __call__(self, batch, recognition):
    """-> [B]."""
    gates = recognition.gates
    if gates.shape[-1] != len(self.weights):
      raise ValueError(
          f'weights name {len(self.weights)} modalities {tuple(self.weights)}; the '
          f'model has {gates.shape[-1]}.')
    weights = tf.constant(
        [self.weights[m] for m in base.in_canonical_order(self.weights)], tf.float32)
    used = tf.reduce_mean(gates, axis=1)  # [B, S, M] -> [B, M]
    if self.penalty_type == 'mean':
      return tf.linalg.matvec(used, weights)
    spent = tf.linalg.matvec(tf.square(used), weights)  # [B]
    correct = tf.stop_gradient(recognition_loss.is_correct(batch, recognition))
    return correct * spent + (1 - correct) * self.wrong_penalty
