import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance, quick_models
from tfmm.losses import efficiency

RGB, AUDIO = 0, 1
SEED = tiny_models.SEED


def test_conforms(tmp_path):
  conformance.check_model(
      quick_models.cascade, tmp_path, phases=(('policy',), ('recognition',)))


def test_conforms_with_the_first_modality_between_others_and_random_gates(tmp_path):
  conformance.check_model(
      lambda: quick_models.cascade(
          modalities=('rgb', 'audio', 'motion'), policy={'lstm_units': None},
          fusion='max', test_gate='random'), tmp_path, seed=SEED)


@pytest.fixture(scope='module', name='model')
def model_fixture():
  """Whose policy hears well and opens about half of all gates; tests leave it so."""
  model = made()
  tiny_models.settle(model, batch_of(model))
  rng = np.random.default_rng(2)
  for variable in model.policy.trainable_variables:
    variable.assign(rng.normal(size=variable.shape))
  logits = model(batch_of(model)).extras['gate_logits'].numpy()[:, :, RGB]
  model.policy.heads.bias.assign_add(
      [0., np.median(logits[..., 0] - logits[..., 1])])
  return model


def made():
  return quick_models.cascade(policy={'feed_back_logits': False})


def batch_of(model, videos=8, segments=4):
  """Noise that is loud in some segments and faint in others."""
  batch = tiny_models.batch(model, videos=videos, segments=segments)
  loud = np.random.default_rng(4).lognormal(sigma=2, size=[videos, segments, 1, 1, 1])
  return {**batch, 'spectrogram': batch['spectrogram'] * loud.astype(np.float32)}


def with_sound(batch, where):
  """The batch with sound in some segments alone: where [B, S]."""
  present = batch['present'].numpy()
  present[..., AUDIO] = where
  return {**batch, 'present': tf.constant(present)}


def some_sound(batch):
  videos, segments, _ = batch['present'].shape
  return np.random.default_rng(1).random([videos, segments]) > .5


def lean(model, amount):
  """The model's copy whose policy is sure to skip (< 0) or to run (> 0)."""
  copy = made()
  copy.set_weights(model.get_weights())
  copy.policy.heads.bias.assign([0., amount])
  return copy


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('amount', [-100., 100.])
def test_sound_runs_wherever_it_is_whatever_the_policy_says(model, amount, training):
  sure = lean(model, amount)
  batch = batch_of(model)
  heard = some_sound(batch)
  result = sure(with_sound(batch, heard), training=training, seed=SEED)
  np.testing.assert_array_equal(result.ran[..., AUDIO], heard)
  np.testing.assert_array_equal(result.gates[..., AUDIO], heard)
  # Segments without sound are decided, too, and pictures can be opened there.
  assert (result.ran[..., RGB].numpy() == (amount > 0)).all()
  # What is decided is of pictures; of sound there is nothing to say.
  assert not result.extras['gate_logits'][:, :, AUDIO].numpy().any()


def test_gates_follow_the_logits(model):
  result = model(batch_of(model))
  logits = result.extras['gate_logits'][:, :, RGB].numpy()
  np.testing.assert_array_equal(
      result.gates[..., RGB], logits[..., 1] > logits[..., 0])
  assert .25 < result.gates[..., RGB].numpy().mean() < .75


@pytest.mark.parametrize('training', [False, True])
def test_pictures_change_no_gate(model, training):
  batch = batch_of(model)
  changed = {**batch, 'rgb': tf.reverse(batch['rgb'], [0])}
  first, second = (model(b, training=training, frozen=('recognition', 'policy'),
                         seed=SEED) for b in (batch, changed))
  np.testing.assert_array_equal(first.gates, second.gates)
  np.testing.assert_array_equal(
      first.extras['gate_logits'], second.extras['gate_logits'])
  assert np.abs(first.logits - second.logits).max() > 1e-3


def test_a_gate_depends_on_sound_up_to_its_segment(model):
  batch = batch_of(model)
  spectrogram = batch['spectrogram']
  changed = {**batch, 'spectrogram': tf.concat(
      [spectrogram[:, :2], tf.reverse(spectrogram, [0])[:, 2:]], 1)}
  first, second = model(batch), model(changed)
  logits, others = (r.extras['gate_logits'][:, :, RGB].numpy() for r in (first, second))
  np.testing.assert_allclose(others[:, :2], logits[:, :2], rtol=1e-5, atol=1e-6)
  assert (first.gates[:, 2:, RGB] != second.gates[:, 2:, RGB]).numpy().any()


def test_what_stands_in_place_of_missing_sound_is_not_heard(model):
  batch = batch_of(model)
  heard = some_sound(batch)
  batch = with_sound(batch, heard)
  spectrogram = np.where(
      heard[..., None, None, None], batch['spectrogram'], np.float32(99.))
  first, second = (model({**batch, 'spectrogram': tf.constant(s)})
                   for s in (batch['spectrogram'], spectrogram))
  np.testing.assert_allclose(first.logits, second.logits, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(first.extras['gate_logits'], second.extras['gate_logits'],
                             rtol=1e-5, atol=1e-6)
  all_heard = model(batch_of(model)).extras['gate_logits']
  assert np.abs(first.extras['gate_logits'] - all_heard).max() > 1e-3


@pytest.mark.parametrize('training', [False, True])
def test_sound_is_encoded_once(training):
  model = quick_models.cascade()
  encoder = model.encoders['audio']
  encoder.backbone = conformance.RowCounter(encoder.backbone)
  model(batch_of(model), training=training, seed=SEED)
  assert encoder.backbone.rows == 8 * 4


def test_no_looks_are_paid_for():
  model = quick_models.cascade()
  assert set(model.input_specs()) == {'rgb', 'spectrogram'}
  cost, fused = model.segment_cost(), quick_models.late_fusion().segment_cost()
  for modality in model.modalities:
    assert cost.modality[modality].total == fused.modality[modality].total
  features, joint, units, logits = 4, 16, 8, 2
  lstm = 4 * units * (joint + units)
  fed_back = 4 * units * logits
  assert cost.overhead.conv == 0 and cost.overhead.papers == lstm
  assert cost.overhead.total == (
      (features + joint) * joint + lstm + fed_back + units * logits)


def test_the_policys_gradient_stays_out_of_recognition(model):
  batch = batch_of(model)
  groups = model.variable_groups()
  assert set(groups) == {'recognition', 'policy'}
  with tf.GradientTape(persistent=True) as tape:
    result = model(batch, training=True, frozen=('recognition',), seed=SEED)
    score = tf.reduce_sum(result.extras['gate_logits'] ** 2)
    loss = tf.reduce_sum(result.logits ** 2)
  assert all(g is None for g in tape.gradient(score, groups['recognition']))
  assert all(g is not None for g in tape.gradient(loss, groups['recognition']))
  # Through the gates, recognition teaches the policy what to look at.
  for gradient in tape.gradient(loss, groups['policy']):
    assert tf.reduce_any(gradient != 0)


def test_a_charge_for_sound_teaches_nothing(model):
  batch = batch_of(model)
  variables = model.variable_groups()['policy']

  def gradients(weight):
    with tf.GradientTape() as tape:
      spent = efficiency.SelectionPenalty(weights={'rgb': 1., 'audio': weight})(
          batch, model(batch, training=True, frozen=('recognition',), seed=SEED))
    return tape.gradient(spent, variables)

  for free, charged in zip(gradients(0.), gradients(.8)):
    np.testing.assert_array_equal(free, charged)


@pytest.mark.parametrize('options', [{'first': 'flow'}, {'modalities': ('audio',)}])
def test_a_cascade_needs_its_first_modality_and_another(options):
  with pytest.raises(ValueError, match='first is .* at least one more'):
    quick_models.cascade(**options)


def test_gates_that_are_drawn_need_a_seed():
  model = quick_models.cascade(test_gate='sample')
  with pytest.raises(ValueError, match="test_gate='sample' needs seed"):
    model(batch_of(model))


def test_an_unknown_number_of_segments_is_refused(model):
  spec = {**model.input_specs(), 'present': tf.TensorSpec([None, None, 2])}
  with pytest.raises(ValueError, match='number of segments must be static'):
    tf.function(model).get_concrete_function(spec)


def test_a_graph_for_any_number_of_videos(model):
  batch = {k: v for k, v in batch_of(model).items()
           if k in (*model.input_specs(), 'present')}
  spec = {k: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for k, v in batch.items()}
  graph = tf.function(model).get_concrete_function(spec)
  np.testing.assert_allclose(
      graph(batch).logits, model(batch).logits, rtol=1e-4, atol=1e-5)
