import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance, quick_models
from tfmm.models import adamml


def test_conforms(tmp_path):
  conformance.check_model(tiny_models.ada_mml, tmp_path)


NO_LSTM = {'lstm_units': None}
OPTIONS = {
    'joint': {'decisions': 'joint', 'fusion': 'class_weighted'},
    'no LSTM': {'policy': NO_LSTM, 'fusion': 'max'},
    'no LSTM, joint': {'policy': NO_LSTM, 'decisions': 'joint', 'fusion': 'average'},
    'random in test': {'test_gate': 'random'},
    'no feedback': {'policy': {'feed_back_logits': False}}}


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
def test_options_conform(options, tmp_path):
  conformance.check_model(
      lambda: quick_models.ada_mml(**options), tmp_path, seed=tiny_models.SEED)


def test_random_gates_in_training_conform(tmp_path):
  conformance.check_model(
      lambda: quick_models.ada_mml(train_gate='random'), tmp_path,
      phases=(('policy',), ('recognition',)))


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


@pytest.mark.parametrize('policy', [{}, NO_LSTM], ids=['LSTM', 'no LSTM'])
@pytest.mark.parametrize('training', [False, True])
def test_a_joint_decision_holds_for_all_modalities(policy, training):
  model = quick_models.ada_mml(decisions='joint', policy=policy)
  assert model.policy.heads.units == 2
  batch = tiny_models.batch(model, videos=8)
  result = model(batch, training=training, seed=tiny_models.SEED)
  gates, logits = result.gates.numpy(), result.extras['gate_logits'].numpy()
  assert logits.shape == (8, tiny_models.SEGMENTS, 2, 2)
  np.testing.assert_array_equal(gates[..., 0], gates[..., 1])
  np.testing.assert_array_equal(logits[:, :, 0], logits[:, :, 1])
  if training:
    assert 0 < gates.mean() < 1
  else:
    np.testing.assert_array_equal(gates, logits[..., 1] > logits[..., 0])
  # What is not there does not run, though the decision is to run.
  present = np.ones([8, tiny_models.SEGMENTS, 2], np.float32)
  present[..., 1] = 0
  result = model({**batch, 'present': present}, training=training,
                 seed=tiny_models.SEED)
  np.testing.assert_array_equal(result.gates[..., 0], gates[..., 0])
  assert not result.ran[..., 1].numpy().any()


def test_without_an_lstm_a_segment_is_decided_by_itself():
  model = quick_models.ada_mml(policy=NO_LSTM)
  batch = tiny_models.batch(model, segments=3)
  turned = {v: batch[v][:, ::-1] for v in model.input_specs()}
  logits = model(batch).extras['gate_logits'].numpy()
  again = model({**batch, **turned}).extras['gate_logits'].numpy()
  np.testing.assert_allclose(again, logits[:, ::-1], rtol=1e-4, atol=1e-5)
  assert np.abs(logits[:, 0] - logits[:, 1]).max() > 1e-4
  cost = model.segment_cost().overhead
  assert cost.papers == cost.conv  # no LSTM product is charged


def test_fed_back_logits_are_not_read_without_an_lstm():
  policies = [quick_models.ada_mml(policy={**NO_LSTM, 'feed_back_logits': fed}).policy
              for fed in (True, False)]
  shapes = [[tuple(v.shape) for v in p.trainable_variables] for p in policies]
  assert shapes[0] == shapes[1]
  assert policies[0].cell is None


def gates_of(model, batch, number=0, **options):
  seed = tiny_models.SEED + number
  return model(batch, seed=seed, **options).gates.numpy()


def shut(model):
  """A policy that is sure to skip everything."""
  decisions = model.num_decisions
  model.policy.heads.bias.assign([50., -50.] * decisions)
  return model


def test_random_gates_train_recognition_and_the_policy_trains_its_own():
  model = shut(quick_models.ada_mml(train_gate='random', random_rate=.7))
  batch = tiny_models.batch(model, videos=60)
  random = gates_of(model, batch, training=True, frozen=('policy',))
  assert random.mean() == pytest.approx(.7, abs=.1)
  np.testing.assert_array_equal(
      random, gates_of(model, batch, training=True, frozen=('policy',)))
  assert (random != gates_of(model, batch, 1, training=True, frozen=('policy',))).any()
  # In the policy's phase, and in test, the policy decides.
  assert not gates_of(model, batch, training=True, frozen=('recognition',)).any()
  assert not gates_of(model, batch).any()


def test_a_policy_in_training_mode_beside_random_gates_is_refused():
  model = quick_models.ada_mml(train_gate='random')
  with pytest.raises(ValueError, match="frozen_batch_statistics = 'frozen'"):
    gates_of(model, tiny_models.batch(model), training=True)


def test_random_gates_reach_no_policy():
  model = quick_models.ada_mml(train_gate='random')
  batch = tiny_models.batch(model)
  policy = model.variable_groups()['policy']
  for frozen, reaches in (('policy', False), ('recognition', True)):
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(model(
          batch, training=True, frozen=(frozen,), seed=tiny_models.SEED).logits ** 2)
    gradients = tape.gradient(loss, policy)
    assert [g is not None for g in gradients] == [reaches] * len(policy)


@pytest.mark.parametrize('decisions', adamml.DECISIONS)
def test_random_gates_in_test(decisions):
  model = shut(quick_models.ada_mml(
      test_gate='random', random_rate=.3, decisions=decisions))
  batch = tiny_models.batch(model, videos=60)
  with pytest.raises(ValueError, match="test_gate='random' needs seed"):
    model(batch)
  gates = gates_of(model, batch)
  assert gates.mean() == pytest.approx(.3, abs=.1)
  np.testing.assert_array_equal(gates, gates_of(model, batch))
  assert (gates != gates_of(model, batch, 1)).any()
  same = (gates[..., 0] == gates[..., 1]).all()
  assert same == (decisions == 'joint')
  # Training is not touched by it.
  assert not gates_of(model, batch, training=True).any()


@pytest.mark.parametrize('options, message', [
    ({'test_gate': 'maybe'}, "test_gate is 'maybe'"),
    ({'train_gate': 'argmax'}, "train_gate is 'argmax'"),
    ({'decisions': 'all'}, "decisions is 'all'"),
    ({'random_rate': 0.}, 'random_rate is 0.0'),
    ({'random_rate': 1.1}, 'random_rate is 1.1'),
    ({'initial_temperature': 0.}, 'initial_temperature is 0.0'),
    ({'policy': {'lstm_units': 0}}, 'lstm_units is 0'),
    ({'policy': {'joint_dim': 0}}, 'joint_dim is 0')])
def test_bad_options_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    quick_models.ada_mml(**options)


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
