"""What a video may cost, counted while it is spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

_MOST = 9e18  # multiply-adds; int64 ends a little above


def in_macs(gflops: tf.Tensor) -> tf.Tensor:
  """[...] 1e9 multiply-adds, also infinite -> int64 multiply-adds, rounded down."""
  macs = tf.cast(gflops, tf.float64) * 1e9
  return tf.cast(tf.clip_by_value(macs, 0., _MOST), tf.int64)


def in_gflops(macs: int) -> float:
  """The smallest float32 of 1e9 multiply-adds that pays for so many."""
  gflops = np.float32(macs / 1e9)
  if float(gflops) * 1e9 < macs:
    gflops = np.nextafter(gflops, np.float32('inf'))
  return float(gflops)


@dataclasses.dataclass(frozen=True)
class Prices:
  """Whole multiply-adds of what a model with steps buys.

  Attributes:
    modalities: {modality: of one step}.
    step: of a step whatever its gates say.
    answer: of a video's classification.
  """

  modalities: Mapping[str, int]
  step: int
  answer: int

  def modality(self, name: str) -> int:
    """0 for what is part of every step."""
    return self.modalities.get(name, 0)


FREE = Prices({}, 0, 0)  # where nothing is limited, nothing is counted


class Purse:
  """Pays for some videos, and closes for each where it cannot pay what is wanted.

  Sums are whole multiply-adds, so that what was spent never exceeds the budget.

  Attributes:
    spent: int64 [B], multiply-adds.
    ended: float32 [B], 1 where something wanted could not be paid: from then on nothing
      is.

  Args:
    spent, ended: so far.
    budget: int64 [B]; None pays everything.
  """

  def __init__(self, spent: tf.Tensor, ended: tf.Tensor, budget: tf.Tensor | None):
    self.spent = spent
    self.ended = ended
    self._budget = budget

  def pay(self, wanted: tf.Tensor, price: tf.Tensor | int) -> tf.Tensor:
    """[B] gates that are wanted -> the same where they are paid, 0 elsewhere.

    Args:
      wanted: float32 [B] in [0, 1]; above 0 costs the whole price.
      price: int64 [] or [B], multiply-adds.
    """
    price = tf.cast(price, tf.int64)
    wanted *= 1. - self.ended
    if self._budget is not None:
      fits = tf.cast(self.spent + price <= self._budget, tf.float32)
      self.ended = tf.maximum(self.ended, _open(wanted) * (1. - fits))
      wanted *= fits
    self.spent += tf.cast(_open(wanted), tf.int64) * price
    return wanted


def _open(gate):
  return tf.cast(gate > 0, tf.float32)
