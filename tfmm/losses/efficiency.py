"""Losses on what the model spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from tfmm.losses import recognition as recognition_loss
from tfmm.models import base

PENALTY_TYPES = ('squared', 'mean')
WRONG_PENALTY_PLACES = ('official', 'paper')


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionPenalty:
  """AdaMML's efficiency loss (Eq. 4).

  With u_m the share of a video's segments in which modality m was selected:

  * `squared`: sum_m weights[m] * u_m ** 2 where the video is recognized and
    `wrong_penalty` where it is not, which has no gradient.
  * `mean`: sum_m weights[m] * u_m for every video.

  Weights and `wrong_penalty` of 0 leave recognition alone ("no efficiency loss",
  section 4.3).

  Args:
    weights: {modality: lambda}, for each modality of the model.
    wrong_penalty: gamma; 10 in the paper. 'mean' does not read it.
    penalty_type: see above.
    wrong_penalty_place: 'official' adds gamma once, as the authors' code does; 'paper'
      adds it inside the sum of Eq. 4, which makes it sum_m weights[m] * gamma.
  """

  weights: Mapping[str, float]
  wrong_penalty: float = 10.
  penalty_type: str = 'squared'
  wrong_penalty_place: str = 'official'

  def __post_init__(self):
    base.in_canonical_order(self.weights)
    if self.penalty_type not in PENALTY_TYPES:
      raise ValueError(
          f'penalty_type is {self.penalty_type!r}; it must be one of {PENALTY_TYPES}.')
    if self.wrong_penalty_place not in WRONG_PENALTY_PLACES:
      raise ValueError(
          f'wrong_penalty_place is {self.wrong_penalty_place!r}; it must be one of '
          f'{WRONG_PENALTY_PLACES}.')

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
    wrong = self.wrong_penalty
    if self.wrong_penalty_place == 'paper':
      wrong *= tf.reduce_sum(weights)
    return correct * spent + (1 - correct) * wrong
