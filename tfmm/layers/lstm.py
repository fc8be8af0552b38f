"""An LSTM cell whose products can be told apart in the graph."""

from __future__ import annotations

import tensorflow as tf


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

  def call(self, x, state, feedback=None):
    """x [B, input_dim], state (h, c) each [B, units] -> new state (h, c)."""
    h, c = state
    z = tf.matmul(x, self.kernel, name='input_product')
    z += tf.matmul(h, self.recurrent_kernel, name='recurrent_product') + self.bias
    if self.feedback_kernel is not None:
      z += tf.matmul(feedback, self.feedback_kernel, name='feedback_product')
    i, f, g, o = tf.split(z, 4, axis=-1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c
