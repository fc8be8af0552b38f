"""Losses on what the model spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from tfmm.losses import recognition as recognition_loss
from tfmm.models import base

PENALTY_TYPES = ('squared', 'mean')
WRONG_PENALTY_PLACES = ('official', 'paper')
TARGETS_ARE = ('skipped', 'used')
MEANS_OVER = ('batch', 'video')


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
    _check_named('weights', self.weights, gates)
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class UsageTarget:
  """HMS' usage loss (Eq. 11): weight * sum_m (share_m - targets[m]) ** 2.

  Args:
    targets: {modality: gamma}, for each modality of the model; None: no target. The
      paper has .6 to .85 for appearance and .94 to .98 for motion.
    weight: lambda; 2 in the paper.
    targets_are: share of a video's segments that are 'skipped', or 'used' as the text
      says. Read as usage, the paper's targets would cost 8000 GFLOPs a video, where it
      reports 377 and 577; LiteEval's code, of the same group, counts what is skipped.
    mean_over: the share is that of the whole 'batch' on a replica, as in LiteEval's
      code, or of each 'video'. The paper leaves it open.
  """

  targets: Mapping[str, float | None]
  weight: float = 2.
  targets_are: str = 'skipped'
  mean_over: str = 'batch'

  def __post_init__(self):
    base.in_canonical_order(self.targets)
    for modality, target in self.targets.items():
      if target is not None and not 0 <= target <= 1:
        raise ValueError(
            f'the target of {modality!r} is {target}; it is a share, in [0, 1].')
    for name, value, choices in (('targets_are', self.targets_are, TARGETS_ARE),
                                 ('mean_over', self.mean_over, MEANS_OVER)):
      if value not in choices:
        raise ValueError(f'{name} is {value!r}; it must be one of {choices}.')

  def __call__(self, batch, recognition):
    """-> [B]; the batch has `present` [B, S, M], whose columns are the modalities'."""
    gates, present = recognition.gates, tf.cast(batch['present'], tf.float32)
    _check_named('targets', self.targets, gates)
    there = tf.reduce_max(present, axis=2)  # [B, S]
    used = tf.reduce_sum(gates, axis=1)  # [B, M]
    segments = tf.reduce_sum(there, axis=1, keepdims=True)  # [B, 1]
    if self.mean_over == 'batch':
      used = tf.reduce_sum(used, 0, keepdims=True) * tf.ones_like(used)
      segments = tf.reduce_sum(segments) * tf.ones_like(segments)
    share = tf.math.divide_no_nan(used, segments)
    if self.targets_are == 'skipped':
      share = 1. - share
    targets = [self.targets[m] for m in base.in_canonical_order(self.targets)]
    missed = [tf.square(share[:, i] - target) for i, target in enumerate(targets)
              if target is not None]
    return self.weight * tf.add_n([tf.zeros_like(share[:, 0]), *missed])


def _check_named(name, values, gates):
  if gates.shape[-1] != len(values):
    raise ValueError(
        f'{name} name {len(values)} modalities {tuple(values)}; the model has '
        f'{gates.shape[-1]}.')
