"""SlowFast's cost and size as published; the numbers are in torch_reference_test."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import slowfast
from tfmm.layers import gflops

TINY = dict(num_frames=8, size=32, width=8, blocks=(1, 1, 1, 1))


@pytest.mark.parametrize('options, weights, gmacs', [
    # 65.7 GFLOPs and 34.57 million weights with a classifier of 400 are in print.
    (dict(), 33_644_488, {256: 65.708, 224: 50.308}),
    (dict(lateral_kernel=5), 33_558_216, {256: 65.297}),
    (dict(lateral_kernel=5, alpha=8), 33_558_216, {256: 36.098}),
], ids=['8x8', '8x8_lateral_5', '4x16'])
def test_published_cost_and_size(options, weights, gmacs):
  encoder = slowfast.SlowFast(**options)
  for size, expected in gmacs.items():
    macs = gflops.count_macs(
        lambda rows: encoder(rows, training=False),
        tf.TensorSpec([1, 32, size, size, 3], tf.uint8))
    assert round(macs.conv / 1e9, 3) == expected and macs.total == macs.conv
  assert sum(
      v.shape.num_elements() for v in encoder.trainable_variables) == weights
  assert encoder.feature_dim == 2304
  assert encoder.row_spec == tf.TensorSpec([32, 224, 224, 3], tf.uint8)


def test_attributes_are_named_as_in_resnet(tmp_path):
  path = tf.train.Checkpoint(rgb=slowfast.SlowFast(**TINY)).write(
      str(tmp_path / 'slowfast'))
  names = [name for name, _ in tf.train.list_variables(path)]
  for name in ('slow/conv1/kernel', 'fast/bn1/gamma', 'slow/layer1/0/conv1/kernel',
               'fast/layer4/0/bn3/moving_variance', 'slow/layer3/0/conv1/kernel',
               'fast/layer2/0/downsample/conv/kernel', 'laterals/0/conv/kernel',
               'laterals/3/norm/beta'):
    assert f'rgb/{name}/.ATTRIBUTES/VARIABLE_VALUE' in names


def test_kernels_span_frames_where_the_authors_do():
  def frames(encoder, conv):
    """How far a change of the frame in the middle of 16 reaches."""
    moving = np.zeros([16, 1, 1, conv.kernel.shape[-2]], np.float32)
    moving[8] = 1.
    pixel = conv(tf.constant(np.tile(moving, [1, 7, 7, 1])))
    reached = np.abs(pixel).max((1, 2, 3)) > 0
    return len(reached), reached.sum()

  encoder = slowfast.SlowFast(**{**TINY, 'num_frames': 16, 'alpha': 1, 'beta': .25})
  spans = [[frames(encoder, conv) for conv in (
      way.conv1, *(getattr(way, f'layer{i}')[0].conv1 for i in range(1, 5)))]
           for way in (encoder.slow, encoder.fast)]
  assert spans == [[(16, n) for n in (1, 1, 1, 3, 3)],
                   [(16, n) for n in (5, 3, 3, 3, 3)]]
  assert frames(encoder, encoder.laterals[2].conv) == (16, 7)


@pytest.mark.parametrize('slow_frames, total, alpha, expected', [
    ('strided', 32, 4, [0, 4, 8, 12, 16, 20, 24, 28]),
    ('spread', 32, 4, [0, 4, 8, 13, 17, 22, 26, 31]),
    ('strided', 32, 8, [0, 8, 16, 24]),
    ('spread', 32, 8, [0, 10, 20, 31]),
    ('spread', 4, 4, [0])])
def test_frames_of_the_slow_pathway(slow_frames, total, alpha, expected):
  encoder = slowfast.SlowFast(
      **{**TINY, 'num_frames': total, 'alpha': alpha}, slow_frames=slow_frames)
  # Two rows of frames whose pixels are their numbers.
  images = tf.reshape(tf.range(2. * total), [2 * total, 1, 1, 1])
  np.testing.assert_array_equal(
      tf.reshape(encoder.slow_images(images), [2, -1]),
      [expected, np.add(expected, total)])


def test_the_fast_pathway_sees_what_the_slow_one_does_not():
  encoder = slowfast.SlowFast(**TINY)
  rows = np.zeros([3, 8, 32, 32, 3], np.uint8)
  rows[1, 4, 8:24, 8:24] = 255  # seen by both
  rows[2, 2, 8:24, 8:24] = 255  # between two frames of the slow pathway
  still, both, between = encoder(rows).numpy()
  slow, fast = slice(0, 256), slice(256, None)
  assert np.abs(both - still)[slow].max() > 0 and np.abs(both - still)[fast].max() > 0
  assert np.abs(between - still)[fast].max() > 0
  # Through the lateral connections alone.
  assert 0 < np.abs(between - still)[slow].max() < np.abs(both - still)[slow].max()


def test_normalization_is_that_of_kinetics():
  encoder = slowfast.SlowFast(**TINY)
  white = np.full((1, 1, 1, 1, 3), 255, np.uint8)
  np.testing.assert_allclose(encoder.normalize(white), .55 / .225, rtol=1e-5)


@pytest.mark.parametrize('options, message', [
    (dict(num_frames=9), 'num_frames=9 is not a multiple of alpha=4'),
    (dict(num_frames=None), 'num_frames=None'),
    (dict(beta=.1), 'beta=0.1 makes 0.8 filters of width=8'),
    (dict(beta=0), 'beta=0 makes 0 filters'),
    (dict(lateral_kernel=6), 'lateral_kernel=6.*odd'),
    (dict(blocks=(3, 4, 6)), r'blocks=\(3, 4, 6\).*four stages'),
    (dict(slow_frames='random'), "slow_frames='random'.*'strided' or 'spread'")])
def test_refusals(options, message):
  with pytest.raises(ValueError, match=message):
    slowfast.SlowFast(**{**TINY, **options})
