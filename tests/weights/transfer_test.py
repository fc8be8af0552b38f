import numpy as np
import pytest
import tensorflow as tf

from tfmm.weights import transfer as transfer_lib


def numbers(*shape):
  return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_layouts_place_every_number():
  kernel = numbers(4, 3, 2, 5)  # PyTorch's [out, in, height, width]
  placed = transfer_lib.convolution(kernel)
  assert placed.shape == (2, 5, 3, 4) and placed[1, 4, 2, 3] == kernel[3, 2, 1, 4]
  each = numbers(6, 1, 3, 2)  # [channels, 1, height, width]
  placed = transfer_lib.depthwise(each)
  assert placed.shape == (3, 2, 6, 1) and placed[2, 1, 5, 0] == each[5, 0, 2, 1]
  matrix = numbers(3, 2)
  assert transfer_lib.linear(matrix)[1, 2] == matrix[2, 1]


def test_a_convolution_convolves_the_same():
  """Against sums over windows, which is how PyTorch defines its kernel's axes."""
  rng = np.random.default_rng(0)
  kernel, image = rng.normal(size=(4, 3, 3, 3)), rng.normal(size=(3, 6, 5))
  expected = np.zeros((4, 4, 3))
  for o, y, x in np.ndindex(expected.shape):
    expected[o, y, x] = (kernel[o] * image[:, y:y + 3, x:x + 3]).sum()
  found = tf.nn.conv2d(
      image.transpose(1, 2, 0)[None], transfer_lib.convolution(kernel), 1, 'VALID')
  np.testing.assert_allclose(found[0].numpy().transpose(2, 0, 1), expected, atol=1e-12)


def test_what_is_put_counts_and_what_is_left_is_named():
  transfer = transfer_lib.Transfer({'a': numbers(2, 3), 'b': numbers(2)}, 'x.pth')
  first, second = tf.Variable(tf.zeros([3, 2])), tf.Variable(tf.zeros([2]), name='bias')
  transfer.copy('a', first, transfer_lib.linear)
  np.testing.assert_array_equal(first, numbers(2, 3).T)
  assert transfer.names == ('a', 'b') and transfer.shape('b') == (2,)
  with pytest.raises(ValueError, match='x.pth has nothing for bias'):
    transfer.finish([first, second])
  with pytest.raises(ValueError, match='x.pth holds b, which the recipe'):
    transfer.finish([first])  # its shape was asked for: that takes nothing
  transfer.finish([first], unused=lambda name: name == 'b')
  transfer.copy('b', second)
  transfer.finish([first, second])
  with pytest.raises(ValueError, match='x.pth has no c'):
    transfer.take('c')


def test_another_shape_is_refused_with_both():
  transfer = transfer_lib.Transfer({'a': numbers(2, 3)}, 'x.pth')
  variable = tf.Variable(tf.ones([2, 3]))
  with pytest.raises(ValueError, match=r'a is for a variable of shape \(3, 2\) and the '
                     r'recipe has \(2, 3\)'):
    transfer.copy('a', variable, transfer_lib.linear)
  np.testing.assert_array_equal(variable, np.ones([2, 3]))


@pytest.mark.parametrize('channels', [1, 10])
def test_mean_filter(channels):
  kernel = numbers(2, 3, 1, 1)
  stem = tf.Variable(tf.zeros([1, 1, channels, 2]))
  transfer_lib.Transfer({'a': kernel}, 'x.pth', mean_filter=True).copy_stem('a', stem)
  np.testing.assert_array_equal(stem[0, 0], np.tile([1., 4.], [channels, 1]))
  with pytest.raises(ValueError, match='a is for a variable of shape'):
    transfer_lib.Transfer({'a': kernel}, 'x.pth').copy_stem('a', stem)
