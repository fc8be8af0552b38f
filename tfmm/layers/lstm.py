"""An LSTM cell whose products can be told apart in the graph."""

from __future__ import annotations

import tensorflow as tf


def hand_on(weights: list[tf.Tensor]) -> list[tf.Tensor]:
  """The weights of the next step, as values of this step's.

  A weight that all steps read gets the sum of their gradients from one operation, and
  TensorFlow's adds in whatever order its buffers come free: runs would differ in the
  last bit. Handed on from step to step, gradients are added two at a time, in order.
  """
  return [tf.identity(w) for w in weights]


class LSTMCell(tf.keras.layers.Layer):
  """One LSTM step with an optional fed-back input of its own weights.

  AdaMML's policy feeds the previous step's raw logits back beside the joint feature.
  The authors' cost counts 4 * units * (inputs + units) and leaves the fed-back
  logits out, so each product is a node of its own: `input_product`,
  `recurrent_product`, `feedback_product`. Gate order: input, forget, cell, output.
  """

  def __init__(self, units: int, *, input_dim: int, feedback_dim: int = 0,
               name: str = 'lstm'):
    super().__init__(name=name, dtype='float32')
    self.units = units
    limit = units ** -0.5  # PyTorch's default, which the AdaMML authors trained from

    def weight(kind, *shape):
      uniform = tf.keras.initializers.RandomUniform(-limit, limit)
      return self.add_weight(kind, shape, initializer=uniform)

    self.kernel = weight('kernel', input_dim, 4 * units)
    self.recurrent_kernel = weight('recurrent_kernel', units, 4 * units)
    self.bias = weight('bias', 4 * units)
    self.feedback_kernel = None
    if feedback_dim:
      self.feedback_kernel = weight('feedback_kernel', feedback_dim, 4 * units)

  def zero_state(self, batch_size) -> tuple[tf.Tensor, tf.Tensor]:
    """(hidden, cell), each [batch_size, units] of zeros."""
    zeros = tf.zeros([batch_size, self.units])
    return zeros, zeros

  def weights_of_a_step(self) -> list[tf.Tensor]:
    """What `call` takes as `weights`: the variables' values."""
    values = [self.kernel, self.recurrent_kernel, self.bias, self.feedback_kernel]
    return [tf.convert_to_tensor(v) for v in values if v is not None]

  def call(self, x, state, feedback=None, weights=None):
    """x [B, input_dim], state (h, c) each [B, units] -> new state (h, c).

    `weights` are the cell's own unless given; see `hand_on`.
    """
    h, c = state
    kernel, recurrent_kernel, bias, *rest = weights or self.weights_of_a_step()
    z = tf.matmul(x, kernel, name='input_product')
    z += tf.matmul(h, recurrent_kernel, name='recurrent_product') + bias
    if rest:
      z += tf.matmul(feedback, rest[0], name='feedback_product')
    i, f, g, o = tf.split(z, 4, axis=-1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c
