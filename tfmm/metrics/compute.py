"""What was selected and what it cost, from `ran` and the cost of one segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfmm.models import base


def selection_rate(ran: np.ndarray, present: np.ndarray,
                   modalities: Sequence[str]) -> dict[str, float]:
  """{modality: share of all segments in which its encoder ran} (AdaMML section 4.1).

  Args:
    ran: [N, S, M] 0/1.
    present: [N, S, M] 0/1; a segment counts if any modality is there.
    modalities: names of the M axis.
  """
  segments = present.max(axis=2).sum()
  return {m: float(ran[:, :, i].sum() / segments) for i, m in enumerate(modalities)}


def video_gflops(ran: np.ndarray, present: np.ndarray, cost: base.SegmentCost,
                 modalities: Sequence[str], convention: str = 'papers') -> np.ndarray:
  """Multiply-adds spent on each video, in 1e9.

  Args:
    ran: [N, S, M] 0/1. Pass `present` to get the cost of all modalities.
    present: [N, S, M] 0/1.
    cost: of one segment, and of a video.
    modalities: names of the M axis.
    convention: 'papers' (convolutions and LSTM products) or 'total'.

  Returns:
    [N].
  """
  per_row = np.array(
      [getattr(cost.modality[m], convention) for m in modalities], np.float64)
  segments = present.max(axis=2).sum(axis=1)  # [N]
  macs = ran.sum(axis=1) @ per_row + segments * getattr(cost.overhead, convention)
  macs += getattr(cost.once, convention)
  return macs / 1e9


def all_modalities_gflops(present: np.ndarray, cost: base.SegmentCost,
                          modalities: Sequence[str], convention: str = 'papers'
                          ) -> np.ndarray:
  """What the same videos cost without a policy: every present row alone. [N]."""
  free = base.SegmentCost(cost.modality, type(cost.overhead)())
  return video_gflops(present, present, free, modalities, convention)
