"""Tests of beam_pipelines.feature_views: what options ask for, and what models get."""

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import feature_config
from beam_pipelines import feature_views


def _config(**options):
  return feature_config.FeatureConfig(**{'encoder': 'SM', 'steps': 3, **options})


@pytest.mark.parametrize('options, row, frames', [
    ({'num_frames': 4, 'stride': 3, 'size': 16}, 'uint8 [4, 16, 16, 3]', 12),
    ({'size': 16}, 'uint8 [1, 16, 16, 3]', 1),
    ({'view': 'flow', 'num_frames': 2, 'size': 16}, 'uint8 [2, 16, 16, 10]', 2),
    ({'view': 'audio', 'seconds': .5, 'sample_rate': 8000}, 'float32 [4000]', 5),
    ({'view': 'audio', 'seconds': .001}, 'float32 [16]', 1)])
def test_rows_and_what_they_span(options, row, frames):
  view = feature_views.of_config(_config(**options))
  assert feature_views.text(view.spec()) == row
  assert feature_views.span(view, frame_rate=10.0) == frames


@pytest.mark.parametrize('pixels, low, high', [
    ('0..1', 0, 1), ('0..255', 0, 255), ('-1..1', -1, 1)])
def test_ranges_of_pixels(pixels, low, high):
  config = _config(size=16, pixels=pixels)
  spec = tf.TensorSpec([None, 16, 16, 3], tf.float32)
  adapt = feature_views.adapter(config, feature_views.of_config(config), spec)
  rows = np.zeros([2, 1, 16, 16, 3], np.uint8)
  rows[1] = 255
  pictures = adapt(tf.constant(rows)).numpy()
  assert pictures.shape == (2, 16, 16, 3)  # no axis for a single frame
  np.testing.assert_allclose(pictures[0], low, atol=1e-6)
  np.testing.assert_allclose(pictures[1], high, rtol=1e-6)


def test_whole_numbers_and_frames_stay():
  config = _config(size=16, num_frames=2)
  view = feature_views.of_config(config)
  rows = tf.zeros([1, 2, 16, 16, 3], tf.uint8)
  for spec in (None, tf.TensorSpec([None, 2, None, None, 3], tf.uint8)):
    adapted = feature_views.adapter(config, view, spec)(rows)
    assert adapted.shape == rows.shape
    assert adapted.dtype == (tf.float32 if spec is None else tf.uint8)


def test_rows_that_do_not_fit():
  config = _config(view='audio', seconds=.5, sample_rate=8000)
  with pytest.raises(ValueError) as error:
    feature_views.adapter(config, feature_views.of_config(config),
                          tf.TensorSpec([None, 16000], tf.float32))
  assert str(error.value) == (
      'encoder SM reads float32 [None, 16000], and --view=audio gives float32 '
      '[None, 4000]; change --seconds and --sample_rate, or --view.')
