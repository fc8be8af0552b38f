import numpy as np
import pytest
import tensorflow as tf

from tfmm.losses import efficiency
from tfmm.models import base

GATES = tf.constant([[[1., 0.], [1., 1.], [0., 1.], [0., 1.]],
                     [[1., 1.], [1., 1.], [0., 0.], [1., 0.]]])  # [B=2, S=4, M=2]


def said(gates=GATES):
  return base.Recognition(tf.constant([[1., 0.], [1., 0.]]), gates, gates, {})


BATCH = {'label': tf.constant([0, 1])}  # the first video right, the second wrong


def test_squared_share_where_right_and_a_constant_where_wrong():
  penalty = efficiency.SelectionPenalty(weights={'rgb': 1., 'audio': .05})
  np.testing.assert_allclose(
      penalty(BATCH, said()), [.5 ** 2 + .05 * .75 ** 2, 10.], rtol=1e-6)


def test_mean_share_for_every_video():
  penalty = efficiency.SelectionPenalty(
      weights={'audio': .05, 'rgb': 1.}, penalty_type='mean')  # any order of names
  np.testing.assert_allclose(
      penalty(BATCH, said()), [.5 + .05 * .75, .75 + .05 * .5], rtol=1e-6)


def test_being_wrong_has_no_gradient():
  penalty = efficiency.SelectionPenalty(weights={'rgb': 1., 'audio': .05})
  with tf.GradientTape() as tape:
    tape.watch(GATES)
    total = tf.reduce_sum(penalty(BATCH, said(GATES)))
  gradient = tape.gradient(total, GATES).numpy()
  np.testing.assert_array_equal(gradient[1], 0)
  # d/du of u^2 is 2u, and each of 4 segments holds a quarter of u.
  np.testing.assert_allclose(
      gradient[0], np.tile([2 * .5 / 4, .05 * 2 * .75 / 4], [4, 1]), rtol=1e-5)


@pytest.mark.parametrize('options, word', [
    ({'weights': {'smell': 1.}}, 'smell'),
    ({'weights': {'rgb': 1.}, 'penalty_type': 'cubed'}, 'cubed')])
def test_bad_options_are_refused(options, word):
  with pytest.raises(ValueError, match=word):
    efficiency.SelectionPenalty(**options)


def test_a_missing_modality_is_refused():
  with pytest.raises(ValueError, match='model has 2'):
    efficiency.SelectionPenalty(weights={'rgb': 1.})(BATCH, said())
