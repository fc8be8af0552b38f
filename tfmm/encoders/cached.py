"""Features that were extracted beforehand, as an encoder that has nothing to do."""

from __future__ import annotations

import tensorflow as tf

from tfmm.encoders import encoder
from tfmm.layers import gflops


class CachedFeatures(encoder.Encoder):
  """Rows are features: [N, D] -> [N, D].

  A gate decides on them as it would on raw rows, and is charged what their encoder
  costs where it does run.

  Args:
    feature_dim: D.
    gflops_per_row: 1e9 multiply-adds of one row of the encoder that made them, such as
      `tools/count_flops.py` or a run's evaluation gives.
  """

  def __init__(self, *, feature_dim: int, gflops_per_row: float, name=None):
    if feature_dim < 1:
      raise ValueError(f'feature_dim is {feature_dim}; it must be 1 or more.')
    if gflops_per_row < 0:
      raise ValueError(f'gflops_per_row is {gflops_per_row}; it must be 0 or more.')
    super().__init__(
        row_spec=tf.TensorSpec([feature_dim], tf.float32), feature_dim=feature_dim,
        name=name)
    self.gflops_per_row = gflops_per_row

  def call(self, rows, training=False):
    return tf.cast(rows, tf.float32)

  def row_macs(self) -> gflops.MacCount:
    """What making one row has cost."""
    macs = round(self.gflops_per_row * 1e9)
    return gflops.MacCount((gflops.OpMacs('cached_features', 'Conv2D', macs),))
