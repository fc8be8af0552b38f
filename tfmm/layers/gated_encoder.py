"""The one place where computation is skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

SKIP_MODES = ('mask', 'gather')


class GatedEncoder(tf.keras.layers.Layer):
  """Runs a backbone on the rows whose gate is open; other rows are exact zeros.

  A row is one segment of one video. Two ways to run, equal in value:

  * `mask` (training always; TPU and XLA): every row is computed and multiplied by its
    gate, so a straight-through gradient reaches the gate.
  * `gather` (CPU and GPU inference, exports): open rows are gathered, the backbone
    runs on those alone, results are scattered back. With no open row the backbone is
    not entered: on x86 a oneDNN convolution on zero rows returns a wrong shape.

  Attributes:
    backbone: layer [N, *row] -> [N, D] with `row_spec` and `feature_dim`.
    view: name of the tensor in the clips that the backbone reads.
    skip: 'mask' or 'gather'; may be set between traces.
  """

  def __init__(self, backbone: tf.keras.layers.Layer, *, view: str,
               skip: str = 'mask', name: str | None = None):
    super().__init__(name=name, dtype='float32', autocast=False)
    self.backbone = backbone
    self.view = view
    self.skip = skip

  @property
  def skip(self) -> str:
    return self._skip

  @skip.setter
  def skip(self, mode: str):
    if mode not in SKIP_MODES:
      raise ValueError(f'skip is {mode!r}; it must be one of {SKIP_MODES}.')
    self._skip = mode

  @property
  def feature_dim(self) -> int:
    return self.backbone.feature_dim

  @property
  def row_spec(self) -> tf.TensorSpec:
    """Shape and type of one row, without the batch axis."""
    return self.backbone.row_spec

  def call(self, rows, gate, training=False):
    """Encodes the open rows.

    Args:
      rows: [N, *row_spec.shape].
      gate: [N] in [0, 1]; a row runs where it is above 0 and is scaled by it.
      training: whether the backbone runs in training mode (forces `mask`).

    Returns:
      [N, D] float32.
    """
    if self.skip == 'mask' or training:
      features = tf.cast(self.backbone(rows, training=training), tf.float32)
      return features * gate[:, tf.newaxis]
    return self._gather(rows, gate)

  def _gather(self, rows, gate):
    def run(rows, gate):
      features = self.backbone(rows, training=False)
      return [tf.cast(features, tf.float32) * gate[:, tf.newaxis]]

    nothing = tf.zeros([tf.shape(rows)[0], self.feature_dim])
    features, = run_open_rows(run, gate, [rows, gate], kept=[nothing])
    return tf.ensure_shape(features, [rows.shape[0], self.feature_dim])


def run_open_rows(function: Callable, gate: tf.Tensor, inputs: Sequence[tf.Tensor],
                  *, kept: Sequence[tf.Tensor]) -> list[tf.Tensor]:
  """Runs a function on the rows whose gate is open.

  Args:
    function: tensors [n, ...] -> a sequence of tensors [n, D].
    gate: [N]; a row runs where it is above 0.
    inputs: [N, ...] each, the function's arguments.
    kept: [N, D] each: the results of rows with a closed gate.

  Returns:
    [N, D] each. With no open row the function is not entered.
  """
  open_rows = tf.where(gate > 0)  # [n, 1]

  def run():
    results = function(*(tf.gather_nd(x, open_rows) for x in inputs))
    return [tf.tensor_scatter_nd_update(old, open_rows, new)
            for old, new in zip(kept, results, strict=True)]

  return tf.cond(
      tf.shape(open_rows)[0] > 0, run, lambda: [tf.identity(k) for k in kept])


class GatedDense(tf.keras.layers.Layer):
  """A linear classifier of gated features: a closed row gives exact zeros.

  The features carry the gate already, so it multiplies the bias alone. The result is
  gate * (W x + b), with the gradient d/d gate = W x + b.
  """

  def __init__(self, units: int, *, input_dim: int, name: str | None = None):
    super().__init__(name=name, dtype='float32')
    self.units = units
    limit = input_dim ** -0.5  # PyTorch's default for a linear layer
    self.kernel = self.add_weight(
        'kernel', [input_dim, units],
        initializer=tf.keras.initializers.RandomUniform(-limit, limit))
    self.bias = self.add_weight(
        'bias', [units], initializer=tf.keras.initializers.RandomUniform(-limit, limit))

  def call(self, features, gate):
    """features [N, D] (already multiplied by gate), gate [N] -> [N, units]."""
    return tf.matmul(features, self.kernel) + gate[:, tf.newaxis] * self.bias
