"""What views of pictures share; what they show is tested with the views."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfmm.data import dataset


@pytest.mark.parametrize('view', [dataset.RgbFrames, dataset.FlowFrames])
@pytest.mark.parametrize('options, message', [
    ({'size': 300}, 'size=300 .* short_side=256'), ({'stride': 0}, 'stride=0'),
    ({'num_frames': 0}, 'num_frames=0 .* at least 1'),
    ({'scale_range': (320, 256)}, 'lower bound first')])
def test_sizes_that_make_no_sense(view, options, message):
  with pytest.raises(ValueError, match=message):
    view(**options)


def test_indices_stay_in_the_run():
  view = dataset.RgbFrames(num_frames=3, stride=2)
  video = types.SimpleNamespace(
      starts=tf.constant([0, 7]), ends=tf.constant([6, 10]))
  np.testing.assert_array_equal(view.indices(video), [[0, 2, 4], [7, 9, 9]])


@pytest.mark.parametrize('view, channels', [
    (dataset.RgbPreview(frames=(2, 0), size=2, source='seen'), 3),
    (dataset.FlowPreview(frames=(2, 0), size=2, source='seen', fields=2), 4)])
def test_a_preview_is_some_frames_of_its_source(view, channels):
  video = types.SimpleNamespace(starts=tf.constant([0, 5]))
  levels = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3, 1, 1, 1)
  seen = levels + np.zeros([2, 3, 8, 8, channels], np.uint8)
  small, present = view.build(video, {'seen': seen})
  assert small.dtype == tf.float32 and view.spec().is_compatible_with(small[0])
  np.testing.assert_array_equal(small[:, :, 1, 1, 0], [[2, 0], [5, 3]])
  np.testing.assert_array_equal(present, [1, 1])
