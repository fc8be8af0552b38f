import numpy as np
import tensorflow as tf

from tfmm.layers import lstm


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_step_equals_the_textbook_in_numpy():
  cell = lstm.LSTMCell(4, input_dim=3, feedback_dim=2)
  rng = np.random.default_rng(0)
  x, feedback = rng.normal(size=[5, 3]), rng.normal(size=[5, 2])
  h, c = rng.normal(size=[5, 4]), rng.normal(size=[5, 4])
  z = (x @ cell.kernel.numpy() + h @ cell.recurrent_kernel.numpy()
       + feedback @ cell.feedback_kernel.numpy() + cell.bias.numpy())
  i, f, g, o = np.split(z, 4, axis=1)
  new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
  x, h, c, feedback = (tf.constant(v, tf.float32) for v in (x, h, c, feedback))
  got_h, got_c = cell(x, (h, c), feedback)
  np.testing.assert_allclose(got_c, new_c, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(got_h, sigmoid(o) * np.tanh(new_c), rtol=1e-5, atol=1e-6)


def test_equals_the_cell_of_keras():
  cell = lstm.LSTMCell(6, input_dim=3)
  keras_cell = tf.keras.layers.LSTMCell(6)
  keras_cell.build([None, 3])
  keras_cell.set_weights([cell.kernel, cell.recurrent_kernel, cell.bias])
  x = tf.random.stateless_normal([2, 3], [1, 2])
  state = cell.zero_state(2)
  ours = cell(x, state)
  theirs, _ = keras_cell(x, list(state))
  np.testing.assert_allclose(ours[0], theirs, rtol=1e-5, atol=1e-6)
