import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import budget


def purse(limits, spent=None):
  count = len(limits)
  spent = tf.zeros([count], tf.int64) if spent is None else tf.constant(spent, tf.int64)
  limit = None if None in limits else tf.constant(limits, tf.int64)
  return budget.Purse(spent, tf.zeros([count]), limit)


def test_gflops_become_whole_multiply_adds():
  got = budget.in_macs(tf.constant([0., .5, 80., -3., float('inf')]))
  np.testing.assert_array_equal(got, [0, 500_000_000, 80_000_000_000, 0, 9 * 10**18])
  assert got.dtype == tf.int64


@pytest.mark.parametrize('macs', [1, 7, 1917, 16_777_217, 4_536_999, 10**11 + 1])
def test_the_smallest_budget_that_pays(macs):
  gflops = budget.in_gflops(macs)
  less = np.nextafter(np.float32(gflops), np.float32(0))
  assert gflops == np.float32(gflops)
  assert budget.in_macs(tf.constant(gflops)) >= macs > budget.in_macs(tf.constant(less))


def test_pays_to_the_last_multiply_add():
  mine = purse([10, 9, 100])
  np.testing.assert_array_equal(mine.pay(tf.ones([3]), 10), [1., 0., 1.])
  np.testing.assert_array_equal(mine.spent, [10, 0, 10])
  np.testing.assert_array_equal(mine.ended, [0., 1., 0.])


def test_who_could_not_pay_once_pays_nothing_more():
  mine = purse([10, 10])
  mine.pay(tf.constant([1., 0.]), 11)
  np.testing.assert_array_equal(mine.pay(tf.ones([2]), 1), [0., 1.])
  np.testing.assert_array_equal(mine.spent, [0, 1])


def test_a_price_for_each_video_and_what_is_not_wanted_is_free():
  mine = purse([5, 5, 5])
  prices = tf.constant([4, 6, 6], tf.int64)
  np.testing.assert_array_equal(
      mine.pay(tf.constant([1., 1., 0.]), prices), [1., 0., 0.])
  np.testing.assert_array_equal(mine.spent, [4, 0, 0])
  np.testing.assert_array_equal(mine.ended, [0., 1., 0.])


def test_without_a_budget_everything_is_paid_and_counted():
  mine = purse([None, None], spent=[2**40, 0])
  np.testing.assert_array_equal(mine.pay(tf.constant([1., 0.]), 2**41), [1., 0.])
  np.testing.assert_array_equal(mine.spent, [3 * 2**40, 0])
  assert not mine.ended.numpy().any()


@pytest.mark.parametrize('limit', [None, 10])
def test_the_gradient_of_a_gate_passes(limit):
  gate = tf.constant([1., 1.])
  with tf.GradientTape() as tape:
    tape.watch(gate)
    paid = purse([limit, limit], spent=[0, 8]).pay(gate, 5)
  np.testing.assert_array_equal(
      tape.gradient(paid, gate), [1., 1. if limit is None else 0.])
