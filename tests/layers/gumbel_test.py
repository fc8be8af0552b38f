import numpy as np
import tensorflow as tf

from tfmm.layers import gumbel

SEED = tf.constant([3, 4], tf.int64)


def test_samples_follow_the_softmax_whatever_the_temperature():
  logits = tf.tile(tf.constant([[.3, 1.1]]), [20000, 1])
  expected = 1 / (1 + np.exp(-.8))
  for temperature in (.5, 5.):
    rate = gumbel.sample_gate(logits, temperature, SEED).numpy().mean()
    assert abs(rate - expected) < 4 * np.sqrt(expected * (1 - expected) / 20000)


def test_gates_are_exactly_zero_or_one():
  gates = gumbel.sample_gate(tf.random.stateless_normal([5000, 2], SEED), 2.3, SEED)
  assert set(np.unique(gates)) == {0., 1.}


def test_gradient_is_that_of_the_tempered_softmax():
  temperature = 1.7
  logits = tf.constant([[.2, -.4], [1., 2.]])
  noise = gumbel.gumbel_noise([2, 2], SEED).numpy()
  with tf.GradientTape() as tape:
    tape.watch(logits)
    total = tf.reduce_sum(gumbel.sample_gate(logits, temperature, SEED))
  z = (logits.numpy() + noise) / temperature
  p = 1 / (1 + np.exp(z[:, 0] - z[:, 1]))
  slope = p * (1 - p) / temperature
  np.testing.assert_allclose(
      tape.gradient(total, logits), np.stack([-slope, slope], 1), rtol=1e-4)


def test_noise_has_the_mean_and_variance_of_a_gumbel():
  noise = gumbel.gumbel_noise([200000], SEED).numpy()
  assert np.isfinite(noise).all()
  assert abs(noise.mean() - np.euler_gamma) < .01
  assert abs(noise.var() - np.pi ** 2 / 6) < .03


def test_argmax_gate_skips_on_a_tie():
  gates = gumbel.argmax_gate(tf.constant([[0., 1.], [1., 0.], [.5, .5]]))
  np.testing.assert_array_equal(gates, [1, 0, 0])
