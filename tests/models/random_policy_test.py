import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance, quick_models
from tfmm.models import random_policy


def seed(number):
  return tf.constant([number, 0], tf.int64)


def test_conforms(tmp_path):
  conformance.check_model(
      quick_models.random_gates, tmp_path, seed=tiny_models.SEED)


@pytest.mark.parametrize('rate', [.2, .5, 1.])
def test_gates_are_open_at_the_rate_and_independent(rate):
  gates = random_policy.random_gates(
      tf.ones([2000, 5, 2]), 2, rate=rate, seed=seed(3)).numpy()
  assert set(np.unique(gates)) <= {0., 1.}
  # 2000 draws: a standard deviation is at most .0112 of a mean.
  np.testing.assert_allclose(gates.mean(0), np.full([5, 2], rate), atol=.05)
  if rate < 1:
    # Columns are (segment, modality); no two of them go together.
    relation = np.corrcoef(gates.reshape([2000, -1]).T)
    assert np.abs(relation - np.eye(10)).max() < .1


def test_gates_are_a_function_of_the_seed():
  present = tf.ones([8, 4, 3])
  def draw(number):
    return random_policy.random_gates(present, 3, rate=.5, seed=seed(number)).numpy()
  np.testing.assert_array_equal(draw(1), draw(1))
  assert (draw(1) != draw(2)).any()


def test_more_segments_leave_the_first_ones_as_they_are():
  def draw(segments):
    return random_policy.random_gates(
        tf.ones([6, segments, 2]), 2, rate=.5, seed=seed(1)).numpy()
  np.testing.assert_array_equal(draw(9)[:, :4], draw(4))


@pytest.mark.parametrize('training', [False, True])
def test_a_model_draws_in_training_and_in_test_what_is_present(training):
  model = quick_models.random_gates(rate=.7)
  batch = conformance.some_closed(tiny_models.batch(model, videos=60))
  result = model(batch, training=training, seed=seed(5))
  present = batch['present'].numpy()
  gates = result.gates.numpy()
  assert (gates <= present).all()
  assert gates.sum() / present.sum() == pytest.approx(.7, abs=.1)
  np.testing.assert_array_equal(result.ran, gates)
  assert 'gate_logits' not in result.extras


def test_it_is_the_recognition_network_alone():
  groups = quick_models.random_gates().variable_groups()
  assert set(groups) == {'recognition'}
  cost = quick_models.random_gates().segment_cost()
  assert cost.overhead.total == 0


def test_gates_need_a_seed():
  model = quick_models.random_gates()
  with pytest.raises(ValueError, match='seed=int64'):
    model(tiny_models.batch(model))


@pytest.mark.parametrize('rate', [0., -1., 1.5, float('nan')])
def test_a_bad_rate_is_refused(rate):
  with pytest.raises(ValueError, match=f'rate is {rate}'):
    quick_models.random_gates(rate=rate)


def test_an_unknown_number_of_segments_is_refused():
  @tf.function(input_signature=[tf.TensorSpec([None, None, 2])])
  def draw(present):
    return random_policy.random_gates(present, 2, rate=.5, seed=seed(1))
  with pytest.raises(ValueError, match='static'):
    draw.get_concrete_function()
