"""Accuracy and mean average precision over a whole split."""

from __future__ import annotations

import numpy as np
from sklearn import metrics as sklearn_metrics


def as_multi_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
  """Class indices [N] or multi-hot [N, C] -> [N, C] of 0/1."""
  labels = np.asarray(labels)
  if labels.ndim == 1:
    return np.eye(num_classes, dtype=np.int32)[labels]
  return (labels > 0).astype(np.int32)


def top_k(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
  """Share of videos with a true label among the k best scores.

  Args:
    scores: [N, C].
    labels: [N] indices or [N, C] multi-hot.
    k: at least 1; more than C counts as C.
  """
  truth = as_multi_hot(labels, scores.shape[1])
  # A stable sort gives ties to the lower class index, as argmax does.
  best = np.argsort(-scores, axis=1, kind='stable')[:, :k]
  return float(np.take_along_axis(truth, best, 1).any(axis=1).mean())


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
  """Average precision per class, averaged over the classes that occur.

  Args:
    scores: [N, C].
    labels: [N] indices or [N, C] multi-hot.
  """
  truth = as_multi_hot(labels, scores.shape[1])
  occur = np.flatnonzero(truth.any(axis=0))
  return float(np.mean([
      sklearn_metrics.average_precision_score(truth[:, c], scores[:, c])
      for c in occur]))
