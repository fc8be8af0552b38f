"""Counts against closed forms, and the authors' constants to the unit."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.layers import gflops


def spec(*shape, dtype=tf.float32):
  return tf.TensorSpec(shape, dtype)


def test_tiny_network_by_hand():
  kernel = tf.ones([3, 3, 4, 8])
  depthwise = tf.ones([5, 5, 8, 2])
  dense = tf.ones([16, 10])

  def network(images):
    images = tf.cast(images, tf.float32) / 255.0
    x = tf.nn.relu(tf.nn.conv2d(images, kernel, 2, 'SAME'))  # [1, 6, 5, 8]
    x = tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], 'VALID')  # [1, 2, 1, 16]
    return tf.matmul(tf.reduce_mean(x, axis=[1, 2]), dense)

  count = gflops.count_macs(network, spec(1, 12, 10, 4, dtype=tf.uint8))
  conv = 6 * 5 * 8 * (3 * 3 * 4)
  assert [(op.type, op.macs) for op in count.by_op] == [
      ('Conv2D', conv), ('DepthwiseConv2dNative', 2 * 1 * 16 * 5 * 5),
      ('MatMul', 16 * 10)]
  assert count.conv == conv + 800
  assert count.total == count.conv + 160
  assert count.papers == count.conv


@pytest.mark.parametrize('groups', [1, 2])
def test_grouped_convolution(groups):
  kernel = tf.ones([1, 1, 4 // groups, 6])
  count = gflops.count_macs(
      lambda x: tf.nn.conv2d(x, kernel, 1, 'SAME'), spec(1, 5, 5, 4))
  assert count.conv == 25 * 6 * 4 // groups


def test_three_dimensional_and_transposed_convolutions():
  count = gflops.count_macs(
      lambda x: tf.nn.conv3d(x, tf.ones([3, 1, 1, 2, 7]), [1] * 5, 'SAME'),
      spec(1, 4, 5, 6, 2))
  assert count.conv == 4 * 5 * 6 * 7 * 3 * 2
  count = gflops.count_macs(
      lambda x: tf.nn.conv2d_transpose(x, tf.ones([2, 2, 3, 5]), [1, 8, 8, 3], 2),
      spec(1, 4, 4, 5))
  assert count.conv == 4 * 4 * 5 * 2 * 2 * 3


@pytest.mark.parametrize('transpose', [False, True])
def test_products(transpose):
  a = (3, 7, 5) if transpose else (3, 5, 7)
  assert gflops.count_macs(
      lambda x, y: tf.matmul(x, y, transpose_a=transpose),
      spec(*a), spec(3, 7, 2)).total == 3 * 5 * 7 * 2
  assert gflops.count_macs(
      lambda x, y: tf.matmul(x, y, transpose_a=transpose),
      spec(*a[1:]), spec(7, 2)).total == 5 * 7 * 2


@pytest.mark.parametrize('equation, shapes, expected', [
    ('bij,bjk->bik', [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
    ('bqhd,bkhd->bhqk', [(2, 3, 4, 5), (2, 7, 4, 5)], 2 * 3 * 7 * 4 * 5),
    ('...i,ij->...j', [(2, 3, 4), (4, 5)], 2 * 3 * 4 * 5),
    ('i...j,...j->i...', [(6, 1, 2, 3), (5, 2, 3)], 6 * 5 * 2 * 3),
])
def test_einsum(equation, shapes, expected):
  count = gflops.count_macs(
      lambda *x: tf.einsum(equation, *x), *[spec(*s) for s in shapes])
  assert count.total == expected


def test_called_functions_count_at_every_call_with_the_shapes_of_the_call():
  @tf.function(input_signature=[spec(None, 4)])
  def product(x):
    return tf.matmul(x, tf.ones([4, 4]))

  count = gflops.count_macs(lambda x: (product(x), product(x[:2])), spec(3, 4))
  assert [op.macs for op in count.by_op] == [3 * 16, 2 * 16]


def test_the_most_expensive_branch_counts():
  small, large = tf.ones([4, 2]), tf.ones([4, 9])

  def branching(x, which):
    narrow = lambda: tf.reduce_sum(tf.matmul(x, small))
    wide = lambda: tf.reduce_sum(tf.matmul(x, large))
    chosen = tf.cond(which > 0, narrow, lambda: 0.0)
    return chosen + tf.switch_case(which, [narrow, wide, narrow])

  count = gflops.count_macs(branching, spec(3, 4), spec(dtype=tf.int32))
  assert [op.macs for op in count.by_op] == [3 * 4 * 2, 3 * 4 * 9]


def test_loops_count_as_often_as_they_run():
  kernel = tf.ones([4, 4])

  def mapped(x):
    return tf.map_fn(lambda row: tf.matmul(row, kernel), x)

  def repeated(x):
    return tf.while_loop(
        lambda x: True, lambda x: tf.matmul(x, kernel), [x], maximum_iterations=5)

  assert gflops.count_macs(mapped, spec(6, 2, 4)).total == 6 * 2 * 16
  assert gflops.count_macs(repeated, spec(2, 4)).total == 5 * 2 * 16


def test_loops_without_products_do_not_matter():
  def loop(x):
    while tf.reduce_sum(x) < 10.0:
      x += 1.0
    return tf.matmul(x, x)

  assert gflops.count_macs(loop, spec(3, 3)).total == 27


def test_dynamic_loop_is_an_error():
  def loop(x):
    while tf.reduce_sum(x) < 10.0:
      x = tf.matmul(x, x)
    return x

  with pytest.raises(ValueError, match='number of rounds is not static'):
    gflops.count_macs(loop, spec(3, 3))


def test_unknown_shape_is_an_error():
  with pytest.raises(ValueError, match='trace with all dimensions given'):
    gflops.count_macs(lambda x: tf.matmul(x, tf.ones([4, 2])), spec(None, 4))


def test_constant_inputs_hide_nothing():
  def constant():
    return tf.matmul(tf.zeros([2, 3]), tf.zeros([3, 4]))

  assert gflops.count_macs(constant).total == 24
  concrete = tf.function(constant).get_concrete_function()
  assert gflops.count_macs(concrete).total == 24


def test_papers_count_the_products_of_the_lstm():
  def cell(x, h):
    with tf.name_scope('policy/lstm'):
      z = tf.matmul(x, tf.ones([2048, 1024]), name='input_product')
      z += tf.matmul(h, tf.ones([256, 1024]), name='recurrent_product')
    with tf.name_scope('head'):
      return tf.matmul(z, tf.ones([1024, 4]), name='input_product')

  count = gflops.count_macs(cell, spec(1, 2048), spec(1, 256))
  assert count.papers == 2359296
  assert count.conv == 0
  assert count.total == 2359296 + 4096


def test_counts_add_and_multiply():
  one = gflops.count_macs(lambda x: tf.matmul(x, x), spec(2, 2))
  assert (one + one).total == 16
  assert (10 * one).total == 80
  assert sum([one, one], gflops.MacCount()).total == 16


def _audio(**size):
  return mobilenet.MobileNetV2(in_channels=1, normalization='none', **size)


# The constants of the authors' `flops_computation`, and, where these are wrong or
# missing, the same count by hand.
@pytest.mark.parametrize('make, expected', [
    (resnet.ResNet, 14_135_984_128),
    (lambda: resnet.ResNet(in_channels=10, normalization='flow'), 16_338_911_232),
    (lambda: resnet.ResNet(in_channels=15), 17_912_430_592),
    (lambda: resnet.ResNet(temporal_pool=False), 32_697_090_048),
    (lambda: resnet.ResNet(depth=18), 7_520_780_288),
    (lambda: _audio(size=256), 381_739_008),
    (lambda: mobilenet.MobileNetV2(num_frames=4, size=160), 375_446_400),
    (lambda: mobilenet.MobileNetV2(num_frames=4, size=160, in_channels=15),
     463_920_000),
    (lambda: mobilenet.MobileNetV2(num_frames=4, size=224, in_channels=15),
     909_283_200),
    (lambda: mobilenet.MobileNetV2(
        num_frames=4, size=160, in_channels=10, normalization='flow'), 427_056_000),
])
def test_constants_of_the_authors(make, expected):
  count = make().row_macs()
  assert count.conv == count.papers == expected


def test_counting_does_not_run_the_function():
  ran = []

  def function(x):
    tf.py_function(lambda: ran.append(1), [], [])
    return x

  gflops.count_macs(function, spec(1))
  assert not ran
  assert isinstance(gflops.count_macs(function, spec(1)).total, (int, np.integer))
