"""Accuracy over cost, drawn (Figure 3 of HMS)."""

from __future__ import annotations

import os
from collections.abc import Mapping

import tensorflow as tf

_FORMATS = ('.png', '.svg', '.pdf')


def draw(path: str, runs: Mapping[str, Mapping]):
  """Draws mAP over GFLOPs per video, with a line for each run.

  Args:
    path: a file that ends with .png, .svg or .pdf.
    runs: {name: metrics of `evaluation.evaluate` with budgets}.

  Raises:
    ValueError: another ending.
  """
  check(path)
  from matplotlib import figure  # slow, and rarely needed
  canvas = figure.Figure(figsize=(5, 4), layout='constrained')
  axes = canvas.subplots()
  for name, metrics in runs.items():
    points = sorted(
        (row['gflops_per_video'], 100 * row['mAP'])
        for row in (*metrics.get('budgets', ()), metrics))
    axes.plot(*zip(*points), marker='o', label=name)
  axes.set(xlabel='GFLOPs per video', ylabel='mAP (%)')
  axes.grid(alpha=.3)
  axes.legend()
  with tf.io.gfile.GFile(path, 'wb') as file:
    canvas.savefig(file, format=os.path.splitext(path)[1][1:])


def check(path: str):
  """Raises ValueError unless the path ends with a format that can be drawn."""
  if os.path.splitext(path)[1] not in _FORMATS:
    raise ValueError(f'{path} does not end with one of {", ".join(_FORMATS)}.')
