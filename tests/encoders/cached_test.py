import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import cached


def test_features_as_they_are_and_charged():
  encoder = cached.CachedFeatures(feature_dim=3, gflops_per_row=.99)
  rows = tf.random.normal([2, 3])
  np.testing.assert_array_equal(encoder(rows), rows)
  assert encoder.row_spec.shape == [3] and not encoder.variables
  macs = encoder.row_macs()
  assert macs.conv == macs.papers == macs.total == 990_000_000


@pytest.mark.parametrize('name, value', [('feature_dim', 0), ('gflops_per_row', -1.)])
def test_refused(name, value):
  with pytest.raises(ValueError, match=f'{name} is {value}'):
    cached.CachedFeatures(**{'feature_dim': 3, 'gflops_per_row': 1., name: value})
