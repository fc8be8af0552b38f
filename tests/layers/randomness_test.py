import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import randomness

SEED = tf.constant([5, 6], tf.int64)


def test_seeds_differ_by_every_value_and_by_their_order():
  seeds = [randomness.fold_seed(SEED, *v).numpy().tolist()
           for v in ((1, 2), (2, 1), (1,), (2,), (1, 2, 0))]
  assert len({tuple(s) for s in seeds}) == len(seeds)


def test_seeds_are_folded_by_philox_on_every_device():
  @tf.function
  def fold(seed):
    return randomness.fold_seed(seed, 3)

  algorithms = {int(tf.get_static_value(op.inputs[-1])) for op in
                fold.get_concrete_function(SEED).graph.get_operations()
                if op.type.startswith('StatelessRandomUniform')}
  assert algorithms == {tf.random.Algorithm.PHILOX.value}


def test_dropout_keeps_the_mean_and_repeats_with_the_seed():
  layer = randomness.SeededDropout(.4)
  x = tf.ones([40000])
  dropped = layer(x, seed=SEED, training=True).numpy()
  np.testing.assert_allclose(np.unique(dropped), [0, 1 / .6], rtol=1e-6)
  assert abs((dropped == 0).mean() - .4) < .01
  np.testing.assert_array_equal(dropped, layer(x, seed=SEED, training=True))
  assert (dropped != layer(x, seed=SEED + 1, training=True).numpy()).any()
  np.testing.assert_array_equal(layer(x), x)


def test_numbers_are_the_same_in_a_graph_and_eagerly():
  np.testing.assert_array_equal(
      randomness.uniform([64], SEED),
      tf.function(lambda seed: randomness.uniform([64], seed))(SEED))


def test_rate_of_one_is_refused():
  with pytest.raises(ValueError, match='rate is 1'):
    randomness.SeededDropout(1)
