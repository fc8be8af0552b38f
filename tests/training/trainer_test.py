import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny_run
from tfmm.data import dataset
from tfmm.losses import efficiency, recognition
from tfmm.training import optimizers, phases, trainer

CROSS_ENTROPY = recognition.CrossEntropy()


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(tmp_path_factory.mktemp('data'))


def make(data_dir, plan, *, model=tiny_run.ada_mml, seed=0, term=None, **rates):
  tf.keras.utils.set_random_seed(1)
  model = model(3)
  groups = model.variable_groups()
  step = tf.Variable(0, dtype=tf.int64)
  spec = tiny_run.spec(tiny_run.FRAMES, tiny_run.PREVIEW, tiny_run.SOUND)
  made = trainer.Trainer(
      model=model, plan_phases=plan.phases(), global_step=step, seed=seed, batch_size=4,
      optimizers={g: optimizers.OptimizerSpec(
          learning_rate=rates.get(g, .1)).build(groups[g]) for g in plan.groups()},
      make_batches=lambda start, context: dataset.make_dataset(
          spec, data_dir, 'train', batch_size=4, training=True, start_step=start),
      strategy=tf.distribute.get_strategy())
  return made, model, step


def adamml(**options):
  return phases.adamml_phases(
      loss=CROSS_ENTROPY, warm_up_epochs=1, alternating_epochs=2, fine_tune_epochs=1,
      penalty=efficiency.SelectionPenalty(weights={'rgb': 1., 'audio': .05}), **options)


def snapshot(model):
  """{'recognition' or 'policy', 'weights' or 'statistics': values}."""
  policy = {v.ref() for v in model.policy.variables}
  trainable = {v.ref() for v in model.trainable_variables}
  parts = {}
  for v in model.variables:
    key = ('policy' if v.ref() in policy else 'recognition',
           'weights' if v.ref() in trainable else 'statistics')
    if 'temperature' not in v.name:
      parts.setdefault(key, []).append(v.numpy())
  return parts


def changed(before, after):
  return {k for k in before
          if any((a != b).any() for a, b in zip(before[k], after[k]))}


@pytest.mark.parametrize('mode', phases.BATCH_STATISTICS)
def test_a_phase_moves_its_groups_and_nothing_else(data_dir, mode):
  plan = adamml(frozen_batch_statistics=mode)
  made, model, step = make(data_dir, plan)
  for span in plan.spans(1)[:3]:
    made.set_span(span)
    before = snapshot(model)
    values = made.train(tf.constant(2))
    moves = span.phase.moves[0]
    expected = {(moves, 'weights'), (moves, 'statistics')}
    if mode == 'update':
      expected |= {('recognition', 'statistics'), ('policy', 'statistics')}
    assert changed(before, snapshot(model)) == expected
    terms = [v for k, v in values.items() if k.startswith('loss/')]
    assert values['loss'] == pytest.approx(sum(terms), rel=1e-5)
    assert len(terms) == len(span.phase.losses)
    assert 0 <= values['selection/rgb'] <= 1 and values['temperature'] == 5.
  assert step.numpy() == 6


def test_equal_phases_share_a_graph_and_rates_trace_none(data_dir):
  plan = adamml()
  made, model, _ = make(data_dir, plan)
  calls = []
  real = model.recognize
  model.recognize = lambda *a, **k: (calls.append(1), real(*a, **k))[1]
  for span in plan.spans(1):
    made.set_span(span)
    assert made.train(tf.constant(1))['temperature'] == pytest.approx(
        span.epoch.temperature)
  assert len(calls) == 2


def test_the_same_step_draws_the_same_numbers(data_dir):
  plan = adamml()
  results = []
  for seed in (5, 5, 6):
    made, model, _ = make(data_dir, plan, seed=seed)
    made.set_span(plan.spans(1)[0])
    made.train(tf.constant(3))
    results.append(model.encoders['rgb'].backbone.conv.kernel.numpy())
  np.testing.assert_array_equal(results[0], results[1])
  assert (results[0] != results[2]).any()


def test_a_variable_without_gradient_is_named(data_dir):
  def only_gates(batch, result):
    return tf.reduce_mean(result.gates, [1, 2])

  phase = phases.Phase(name='odd', moves=('policy', 'recognition'),
                       losses={'only_gates': only_gates})
  plan = phases.Plan((phases.Epoch(phase=phase, stage='odd', number=0),))
  made, _, _ = make(data_dir, plan)
  made.set_span(plan.spans(1)[0])
  with pytest.raises(ValueError, match="moves 'recognition', but no gradient reaches "):
    made.train(tf.constant(1))


def test_a_loss_term_must_be_per_video(data_dir):
  plan = phases.single_phase(loss=lambda b, r: tf.reduce_mean(r.logits), epochs=1)
  made, _, _ = make(data_dir, plan)
  made.set_span(plan.spans(1)[0])
  with pytest.raises(ValueError, match=r"is of shape \(\); it must be one number per"):
    made.train(tf.constant(1))


def test_a_loss_that_is_not_finite_stops_the_run(data_dir):
  plan = phases.single_phase(loss=CROSS_ENTROPY, epochs=1)
  made, model, _ = make(data_dir, plan)
  model.classifiers['rgb'].bias.assign([np.nan, 0., 0.])
  made.set_span(plan.spans(1)[0])
  with pytest.raises(ValueError, match="the loss is nan near step 1 of phase 'train'"):
    made.train(tf.constant(1))


def test_phases_must_fit_the_model(data_dir):
  def unimodal(num_classes):
    return tiny_run.unimodal(num_classes)
  with pytest.raises(ValueError, match=r"names the variable group 'policy'"):
    plan = adamml()
    trainer.Trainer(
        model=unimodal(3), plan_phases=plan.phases(), optimizers={},
        make_batches=None, strategy=tf.distribute.get_strategy(),
        global_step=tf.Variable(0), seed=0, batch_size=1)


@pytest.mark.slow
def test_two_replicas_do_what_one_device_does(data_dir, tmp_path, children):
  weights = {}
  for name, execution in (('one', {}),
                          ('two', {'strategy': 'mirrored', 'virtual_cpus': 2})):
    run = str(tmp_path / name)
    assert children(tiny_run.train_to_file, data_dir, run, **execution) == 0
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(run))
    weights[name] = {k: reader.get_tensor(k)
                     for k in reader.get_variable_to_shape_map()
                     if k.startswith(('model/', 'step', 'optimizers/'))}
  assert weights['one'].keys() == weights['two'].keys()
  for key, value in weights['one'].items():
    np.testing.assert_allclose(weights['two'][key], value, atol=1e-4, err_msg=key)
  assert weights['two']['step/.ATTRIBUTES/VARIABLE_VALUE'] == 8
