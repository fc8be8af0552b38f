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


@pytest.mark.parametrize('place, wrong', [
    ('official', 10.), ('paper', (1. + .05 + .2) * 10.)])
def test_both_places_of_gamma_in_numpy(place, wrong):
  """Eq. 4 has gamma inside the sum over modalities; the authors' code adds it once."""
  rng = np.random.default_rng(0)
  gates = (rng.random([6, 4, 3]) > .5).astype(np.float32)
  logits, label = rng.normal(size=[6, 3]), np.array([0, 1, 2, 0, 1, 2])
  penalty = efficiency.SelectionPenalty(
      weights={'rgb': 1., 'audio': .05, 'flow': .2}, wrong_penalty_place=place)
  found = penalty({'label': tf.constant(label)}, base.Recognition(
      tf.constant(logits, tf.float32), tf.constant(gates), tf.constant(gates), {}))
  correct = logits.argmax(1) == label
  assert 0 < correct.sum() < 6
  spent = (gates.mean(1) ** 2 * [1., .2, .05]).sum(1)  # rgb, flow, audio
  np.testing.assert_allclose(found, np.where(correct, spent, wrong), rtol=1e-5)


@pytest.mark.parametrize('place', efficiency.WRONG_PENALTY_PLACES)
@pytest.mark.parametrize('kind', efficiency.PENALTY_TYPES)
def test_no_efficiency_loss_is_zero_with_a_gradient_of_zero(kind, place):
  penalty = efficiency.SelectionPenalty(
      weights={'rgb': 0., 'audio': 0.}, wrong_penalty=0., penalty_type=kind,
      wrong_penalty_place=place)
  with tf.GradientTape() as tape:
    tape.watch(GATES)
    found = penalty(BATCH, said(GATES))
  np.testing.assert_array_equal(found, [0., 0.])
  np.testing.assert_array_equal(tape.gradient(found, GATES), tf.zeros_like(GATES))


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
    ({'weights': {'rgb': 1.}, 'penalty_type': 'cubed'}, 'cubed'),
    ({'weights': {'rgb': 1.}, 'wrong_penalty_place': 'once'}, 'once')])
def test_bad_options_are_refused(options, word):
  with pytest.raises(ValueError, match=word):
    efficiency.SelectionPenalty(**options)


def test_a_missing_modality_is_refused():
  with pytest.raises(ValueError, match='model has 2'):
    efficiency.SelectionPenalty(weights={'rgb': 1.})(BATCH, said())


PRESENT = tf.constant([[[1., 1.]] * 4, [[1., 1.]] * 3 + [[0., 0.]]])  # 4 and 3 segments


def usage(**options):
  return efficiency.UsageTarget(**{
      'targets': {'rgb': .7, 'audio': None}, 'mean_over': 'video', **options})


def test_usage_of_each_video_by_hand():
  gates = GATES * PRESENT  # rgb runs in 2 of 4 segments, and in 2 of 3
  skipped = usage()({'present': PRESENT}, said(gates))
  np.testing.assert_allclose(
      skipped, [2 * (.5 - .7) ** 2, 2 * (1 / 3 - .7) ** 2], rtol=1e-5)
  used = usage(targets_are='used', weight=1.)({'present': PRESENT}, said(gates))
  np.testing.assert_allclose(used, [(.5 - .7) ** 2, (2 / 3 - .7) ** 2], rtol=1e-5)


def test_usage_of_the_batch_counts_segments_not_videos():
  got = usage(mean_over='batch', targets={'rgb': .7, 'audio': .5})(
      {'present': PRESENT}, said(GATES * PRESENT))
  rgb, audio = 1 - 4 / 7, 1 - 5 / 7
  expected = 2 * ((rgb - .7) ** 2 + (audio - .5) ** 2)
  np.testing.assert_allclose(got, [expected] * 2, rtol=1e-5)


def test_usage_has_a_gradient_towards_its_target():
  gates = tf.constant([[[1., 1.], [1., 1.], [1., 1.], [1., 1.]]] * 2)
  with tf.GradientTape() as tape:
    tape.watch(gates)
    loss = tf.reduce_sum(usage()({'present': PRESENT}, said(gates)))
  gradient = tape.gradient(loss, gates).numpy()
  assert (gradient[..., 0] > 0).all() and not gradient[..., 1].any()


@pytest.mark.parametrize('change, words', [
    ({'targets': {'rgb': 1.2, 'audio': None}}, "target of 'rgb' is 1.2"),
    ({'targets': {'smell': .5}}, 'smell'),
    ({'targets_are': 'shares'}, "targets_are is 'shares'"),
    ({'mean_over': 'epoch'}, "mean_over is 'epoch'")], ids=lambda v: str(v)[:20])
def test_refused_targets(change, words):
  with pytest.raises(ValueError, match=words):
    usage(**change)


def test_targets_name_every_modality():
  with pytest.raises(ValueError, match='targets name 1 modalities'):
    usage(targets={'rgb': .5})({'present': PRESENT}, said())
