import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance


@pytest.mark.parametrize('fusion', ['average', 'weighted'])
def test_conforms(fusion, tmp_path):
  conformance.check_model(lambda: tiny_models.ada_mml(fusion=fusion), tmp_path)


def test_groups_split_policy_from_recognition():
  groups = tiny_models.ada_mml().variable_groups()
  assert set(groups) == {'recognition', 'policy'}
  assert all('policy' not in v.name for v in groups['recognition'])
  assert len(groups['policy']) > 10


def test_linear_layers_of_the_policy_start_as_pytorchs():
  policy = tiny_models.ada_mml().policy
  for layer, limit in ((policy.joint[0], 32 ** -.5), (policy.joint[1], 16 ** -.5),
                       (policy.heads, 8 ** -.5)):
    values = [layer.kernel.numpy().ravel(), layer.bias.numpy().ravel()]
    # A bias has few values, too few for its standard deviation alone.
    values = np.concatenate(values)
    assert np.abs(values).max() <= limit
    assert values.std() > .4 * limit  # uniform: limit / sqrt(3)
    assert np.abs(layer.bias.numpy()).min() > 0


def test_policy_is_causal():
  model = tiny_models.ada_mml()
  batch = tiny_models.batch(model, segments=4)
  tiny_models.settle(model, batch)
  changed = {**batch}
  for view in ('rgb_preview', 'spectrogram'):
    changed[view] = tf.concat([batch[view][:, :2], batch[view][:, 2:] * 0 + 90], 1)
  first = model(batch).extras['gate_logits'].numpy()
  second = model(changed).extras['gate_logits'].numpy()
  np.testing.assert_allclose(first[:, :2], second[:, :2], rtol=1e-5, atol=1e-6)
  assert np.abs(first[:, 2:] - second[:, 2:]).max() > 1e-5


def test_fed_back_logits_reach_the_next_step():
  model = tiny_models.ada_mml()
  batch = tiny_models.batch(model)
  before = model(batch).extras['gate_logits'].numpy()
  model.policy.cell.feedback_kernel.assign_add(
      tf.ones_like(model.policy.cell.feedback_kernel))
  after = model(batch).extras['gate_logits'].numpy()
  np.testing.assert_array_equal(before[:, 0], after[:, 0])  # zeros are fed at first
  assert np.abs(before[:, 1:] - after[:, 1:]).max() > 1e-6


def test_gates_follow_the_logits_at_test_time():
  model = tiny_models.ada_mml()
  result = model(tiny_models.batch(model))
  logits = result.extras['gate_logits'].numpy()
  np.testing.assert_array_equal(
      result.gates, (logits[..., 1] > logits[..., 0]).astype(np.float32))


def test_sampling_at_test_time_needs_a_seed_and_uses_it():
  model = tiny_models.ada_mml(test_gate='sample')
  batch = tiny_models.batch(model, videos=8)
  with pytest.raises(ValueError, match='seed'):
    model(batch)
  one = model(batch, seed=tiny_models.SEED).gates.numpy()
  two = model(batch, seed=tiny_models.SEED + 1).gates.numpy()
  assert not np.array_equal(one, two)


def test_skipped_modality_says_nothing():
  model = tiny_models.ada_mml()
  bias = model.policy.heads.bias
  bias.assign([50., -50., 50., -50.])  # (skip, run) of rgb and of audio
  result = model(tiny_models.batch(model))
  assert not result.ran.numpy().any()
  np.testing.assert_array_equal(result.logits, np.zeros_like(result.logits))


def test_unknown_test_gate_is_refused():
  with pytest.raises(ValueError, match='maybe'):
    tiny_models.ada_mml(test_gate='maybe')


def test_backbones_may_compute_in_bfloat16():
  before = tf.keras.mixed_precision.global_policy()
  tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    model = tiny_models.ada_mml()
  finally:
    tf.keras.mixed_precision.set_global_policy(before)
  assert model.encoders['rgb'].backbone.compute_dtype == 'bfloat16'
  result = model(tiny_models.batch(model), training=True, seed=tiny_models.SEED)
  assert result.logits.dtype == result.gates.dtype == tf.float32
  assert np.isfinite(result.logits.numpy()).all()


def test_gradients_of_the_policy_are_added_two_at_a_time():
  """A sum of more is taken in the order in which its buffers come free."""
  model = tiny_models.ada_mml()
  batch = tiny_models.batch(model, segments=4)
  variables = model.variable_groups()['policy']
  tiny_models.settle(model, batch)

  @tf.function
  def gradients():
    with tf.GradientTape() as tape:
      logits = model(batch, training=True, seed=tf.constant([1, 2])).extras[
          'gate_logits']
      loss = tf.reduce_sum(tf.square(logits))
    return tape.gradient(loss, variables)

  graph = gradients.get_concrete_function().graph
  sums = {op.name: len(op.inputs) for op in graph.get_operations() if op.type == 'AddN'}
  weights = (model.policy.heads.kernel, model.policy.cell.kernel)
  shapes = [tuple(v.shape) for v in weights]
  of_weights = [op for op in graph.get_operations()
                if op.type == 'AddN' and tuple(op.outputs[0].shape) in shapes]
  assert len(of_weights) >= 2 * 3  # one for each step but the last
  assert all(len(op.inputs) == 2 for op in of_weights), sums
