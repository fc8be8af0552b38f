"""One LSTM of a hierarchy: moved where its gate opens, overridden where it rests.

Weng et al. 2021 (HMS), section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfmm.layers import convolution, fusion, gated_encoder, gflops, lstm

PROJECTIONS = ('linear', 'mlp')


class Level(tf.keras.layers.Layer):
  """Projection and LSTM of one level and, above the lowest, its gate.

  Args:
    feature_dim: length of the features that the level reads.
    below_dim: of the projected features of all lower levels; 0 for the lowest.
    projection_dim: length to which features are projected.
    units: of the LSTM.
    projection: 'linear' (section 4.1.3), or 'mlp' with batch normalization and ReLU
      (LiteEval's code).
  """

  def __init__(self, *, feature_dim: int, below_dim: int, projection_dim: int,
               units: int, projection: str = 'linear', name: str = 'level'):
    super().__init__(name=name, dtype='float32', autocast=False)
    if projection not in PROJECTIONS:
      raise ValueError(
          f'projection is {projection!r}; it must be one of {PROJECTIONS}.')
    self.projection_dim = projection_dim
    self.units = units
    with tf.name_scope(name):
      self.projection = fusion.linear(
          projection_dim, input_dim=feature_dim, name='projection')
      self.norm = None
      if projection == 'mlp':
        self.norm = convolution.BatchNorm(projection_dim, name='norm')
      self.cell = lstm.LSTMCell(units, input_dim=below_dim + projection_dim)
      self.gate = None
      if below_dim:
        self.gate = fusion.linear(2, input_dim=below_dim + 2 * units, name='gate')

  def project(self, features, training=False):
    """[N, feature_dim] -> [N, projection_dim]."""
    projected = self.projection(features)
    if self.norm is None:
      return projected
    # A feature is a picture of one pixel.
    projected = self.norm(projected[:, tf.newaxis, tf.newaxis], training=training)
    return tf.nn.relu(projected[:, 0, 0])

  def score(self, below: Sequence[tf.Tensor], state):
    """What lower levels see and the own state -> [B, 2] of (rest, move); Eq. 4, 6."""
    return self.gate(tf.concat([*below, *state], -1))

  def move(self, below: Sequence[tf.Tensor], projected, state, rest, gate):
    """The next state: moved where the gate is open, else `rest`; Eq. 5 and 7.

    Args:
      below: projected features of the lower levels, [B, .] each.
      projected: [B, projection_dim], also where the gate is closed: so its gradient is
        the difference between moving and resting.
      state: (hidden, cell), [B, units] each.
      rest: the same, where the gate is closed.
      gate: [B] in {0, 1}, with a gradient.
    """
    moved = self.cell(tf.concat([*below, projected], -1), state)
    return tuple(_blend(gate, new, old) for new, old in zip(moved, rest))

  def move_gathered(self, below: Sequence[tf.Tensor], features, state, rest, gate):
    """As `project` and `move`; what rests is not computed. Without gradients.

    Returns:
      projected features, 0 where the gate is closed, and the state.
    """
    def run(*rows):
      *lower, own, hidden, cell = rows
      projected = self.project(own)
      return projected, *self.cell(tf.concat([*lower, projected], -1), (hidden, cell))

    nothing = tf.zeros([tf.shape(gate)[0], self.projection_dim])
    projected, *moved = gated_encoder.run_open_rows(
        run, gate, [*below, features, *state], kept=[nothing, *rest])
    return projected, tuple(moved)

  def move_macs(self, below_dims: Sequence[int]) -> gflops.MacCount:
    """Projecting and moving, for one video; `below_dims` of the lower levels."""
    feature, projected, *below, state = self._specs(
        self.projection.kernel.shape[0], self.projection_dim, *below_dims, self.units)
    return gflops.count_macs(self.project, feature) + gflops.count_macs(
        lambda x, h, c, *lower: self.cell(tf.concat([*lower, x], -1), (h, c)),
        projected, state, state, *below)

  def gate_macs(self, below_dims: Sequence[int]) -> gflops.MacCount:
    """Deciding, for one video."""
    *below, state = self._specs(*below_dims, self.units)
    return gflops.count_macs(
        lambda h, c, *lower: self.score(lower, (h, c)), state, state, *below)

  def _specs(self, *dims):
    return [tf.TensorSpec([1, dim]) for dim in dims]


def override(state: tf.Tensor, below: tf.Tensor) -> tf.Tensor:
  """[B, units] whose first entries are those of the level below, [B, fewer units]."""
  return tf.concat([below, state[:, below.shape[-1]:]], -1)


def _blend(gate, where_open, where_closed):
  """gate [B] in {0, 1}: rows of one [B, D] or the other, with the gate's gradient."""
  gate = gate[:, tf.newaxis]
  return gate * where_open + (1. - gate) * where_closed
