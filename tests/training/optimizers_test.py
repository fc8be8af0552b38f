import numpy as np
import pytest
import tensorflow as tf

from tfmm.training import optimizers

START = (np.array([1., -2., .5], np.float32), np.array([[3., -1.]], np.float32))


def group(**options):
  variables = [tf.Variable(v, name=f'v{i}') for i, v in enumerate(START)]
  return variables, optimizers.OptimizerSpec(**options).build(variables)


def gradients(step):
  rng = np.random.default_rng(step)
  return [rng.normal(size=v.shape).astype(np.float32) for v in START]


def steps(variables, optimizer, numbers):
  step = tf.function(lambda a, b: optimizer.apply([a, b]))
  for number in numbers:
    step(*gradients(number))
  return [v.numpy() for v in variables]


def test_sgd_is_pytorchs_with_coupled_weight_decay():
  variables, optimizer = group(learning_rate=.1, momentum=.9, weight_decay=.01)
  expected = [v.astype(np.float64) for v in START]
  buffers = [np.zeros_like(v) for v in expected]
  for number in range(4):
    for i, g in enumerate(gradients(number)):
      buffers[i] = .9 * buffers[i] + g + .01 * expected[i]
      expected[i] = expected[i] - .1 * buffers[i]
  for got, want in zip(steps(variables, optimizer, range(4)), expected):
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_decayed_rate_acts_at_once_as_pytorchs():
  variables, optimizer = group(learning_rate=.1, momentum=.9, weight_decay=.01)
  expected = [v.astype(np.float64) for v in START]
  buffers = [np.zeros_like(v) for v in expected]
  for number, scale in enumerate((1., 1., 1., .1, .1, .01)):
    optimizer.set_rate(scale)
    steps(variables, optimizer, [number])
    for i, g in enumerate(gradients(number)):
      buffers[i] = .9 * buffers[i] + g + .01 * expected[i]
      expected[i] = expected[i] - .1 * scale * buffers[i]
  for got, want in zip(variables, expected):
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_setting_the_same_rate_again_changes_nothing():
  variables, optimizer = group(learning_rate=.1)
  optimizer.set_rate(.1)
  steps(variables, optimizer, range(3))
  before = [v.numpy() for v in optimizer.optimizer.variables]
  optimizer.set_rate(.1)
  for value, want in zip(optimizer.optimizer.variables, before):
    np.testing.assert_array_equal(value, want)


def test_adam_is_pytorchs_with_coupled_weight_decay():
  variables, optimizer = group(name='adam', learning_rate=.01, weight_decay=.1)
  expected = [v.astype(np.float64) for v in START]
  first, second = ([np.zeros_like(v) for v in expected] for _ in range(2))
  for t in range(1, 5):
    for i, g in enumerate(gradients(t)):
      g = g + .1 * expected[i]
      first[i] = .9 * first[i] + .1 * g
      second[i] = .999 * second[i] + .001 * g ** 2
      step = (first[i] / (1 - .9 ** t)) / (np.sqrt(second[i] / (1 - .999 ** t)) + 1e-8)
      expected[i] = expected[i] - .01 * step
  for got, want in zip(steps(variables, optimizer, range(1, 5)), expected):
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_decoupled_decay_follows_the_rate():
  variables, optimizer = group(
      name='sgdw', learning_rate=.1, momentum=0., weight_decay=.5)
  optimizer.set_rate(.1)
  got = steps(variables, optimizer, [0])
  for value, start, g in zip(got, START, gradients(0)):
    np.testing.assert_allclose(value, start - .01 * .5 * start - .01 * g, rtol=1e-4)


def test_clipping_is_of_the_whole_group_and_before_decay():
  variables, optimizer = group(
      learning_rate=1., momentum=0., weight_decay=.1, clip_norm=.5)
  norm = np.sqrt(sum((g ** 2).sum() for g in gradients(0)))
  got = steps(variables, optimizer, [0])
  for value, start, g in zip(got, START, gradients(0)):
    np.testing.assert_allclose(
        value, start - (g * .5 / norm + .1 * start), rtol=1e-5)


def test_excluded_variables_are_not_decayed():
  variables, optimizer = group(
      learning_rate=1., momentum=0., weight_decay=.1, exclude_from_decay=('v1',))
  got = steps(variables, optimizer, [0])
  np.testing.assert_allclose(got[0], START[0] * .9 - gradients(0)[0], rtol=1e-5)
  np.testing.assert_allclose(got[1], START[1] - gradients(0)[1], rtol=1e-5)


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_resume_is_exact(name, tmp_path):
  variables, optimizer = group(name=name)
  optimizer.set_rate(.5)
  steps(variables, optimizer, range(3))
  path = tf.train.Checkpoint(o=optimizer.optimizer, v=variables).save(tmp_path / 'c')
  expected = steps(variables, optimizer, range(3, 6))
  again, resumed = group(name=name)
  tf.train.Checkpoint(o=resumed.optimizer, v=again).restore(path).assert_consumed()
  resumed.set_rate(.5)
  for got, want in zip(steps(again, resumed, range(3, 6)), expected):
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_reset_is_as_new(name):
  variables, optimizer = group(name=name)
  steps(variables, optimizer, range(3))
  optimizer.reset()
  for variable, value in zip(variables, START):
    variable.assign(value)
  fresh, new = group(name=name)
  for got, want in zip(
      steps(variables, optimizer, [5, 6]), steps(fresh, new, [5, 6])):
    np.testing.assert_array_equal(got, want)


def test_rates_change_without_a_new_trace():
  variables, optimizer = group(momentum=0., weight_decay=0., learning_rate=1.)
  traces = []

  @tf.function
  def step(a, b):
    traces.append(1)
    optimizer.apply([a, b])

  step(*gradients(0))
  before = variables[0].numpy()
  optimizer.set_rate(.25)
  assert optimizer.rate == .25
  step(*gradients(0))
  np.testing.assert_allclose(
      before - variables[0].numpy(), .25 * gradients(0)[0], rtol=1e-5)
  assert len(traces) == 1


@pytest.mark.parametrize('options, message', [
    ({'name': 'sdg'}, "optimizer name is 'sdg'"),
    ({'learning_rate': 0.}, 'learning_rate is 0.0'),
    ({'momentum': 1.}, 'momentum is 1.0'),
    ({'weight_decay': -1.}, 'weight_decay is -1.0'),
    ({'clip_norm': 0.}, 'clip_norm is 0.0'),
])
def test_bad_numbers(options, message):
  with pytest.raises(ValueError, match=message):
    optimizers.OptimizerSpec(**options)


def test_an_empty_group():
  with pytest.raises(ValueError, match='without trainable variables'):
    optimizers.OptimizerSpec().build([])
