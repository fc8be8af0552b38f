import functools

import pytest

from tests.training import tiny_run
from tfmm.losses import efficiency, recognition
from tfmm.models import adamml as adamml_model
from tfmm.models import fusion, random_policy
from tfmm.training import loop, optimizers, phases

LOSS = recognition.CrossEntropy()
PENALTY = efficiency.SelectionPenalty(weights={'rgb': 1., 'audio': .05})


def adamml(**options):
  return phases.adamml_phases(loss=LOSS, penalty=PENALTY, **options)


def test_the_papers_plan_has_5_then_20_times_2_then_10_epochs():
  spans = adamml().spans(steps_per_epoch=7)
  names = [s.phase.name for s in spans]
  assert names == (
      ['warm-up'] * 5 + ['alternating recognition', 'alternating policy'] * 20
      + ['fine-tuning'] * 10)
  assert [s.end for s in spans] == [7 * (i + 1) for i in range(55)]
  assert [s.start for s in spans] == [7 * i for i in range(55)]
  assert spans[5].label == 'alternating recognition 1/20'
  assert spans[44].label == 'alternating policy 20/20'


def test_who_moves_on_which_terms():
  by_name = {p.name: p for p in adamml().phases()}
  for name in ('warm-up', 'alternating recognition', 'fine-tuning'):
    assert by_name[name].moves == ('recognition',)
    assert by_name[name].frozen == ('policy',)
    assert dict(by_name[name].losses) == {'cross_entropy': LOSS}
  policy = by_name['alternating policy']
  assert policy.moves == ('policy',) and policy.frozen == ('recognition',)
  assert dict(policy.losses) == {'cross_entropy': LOSS, 'selection_penalty': PENALTY}
  assert adamml().groups() == ('recognition', 'policy')
  updating = adamml(frozen_batch_statistics='update').phases()
  assert all(p.frozen == () for p in updating)


def test_rates_of_paper_and_official_code():
  def rates(**options):
    return [e.rate for e in adamml(**options).epochs if e.stage == 'alternating'][::2]
  assert rates() == pytest.approx([1.] * 10 + [.1] * 5 + [.01] * 5)
  assert rates(lr_decay='official') == [1.] * 20
  fine = [e for e in adamml(fine_tune_rate=.5).epochs if e.stage == 'fine-tuning']
  assert [e.rate for e in fine] == [.5] * 10


def test_temperature_anneals_in_the_alternating_stage_only():
  official = adamml().epochs
  assert [e.temperature for e in official[:5]] == [5.] * 5
  assert [e.temperature for e in official[5:45:2]] == pytest.approx(
      [5 * .965 ** i for i in range(20)])
  assert [e.temperature for e in official[6:45:2]] == pytest.approx(
      [5 * .965 ** i for i in range(20)])
  assert [e.temperature for e in official[45:]] == pytest.approx(
      [2.4520] * 10, abs=1e-4)
  paper = adamml(temperature_schedule='paper', final_temperature=.5).epochs
  assert paper[5].temperature == 5. and paper[45].temperature == pytest.approx(.5)
  assert paper[25].temperature == pytest.approx((5 * .5) ** .5)  # half way, geometric
  constant = adamml(temperature_schedule='constant').epochs
  assert {e.temperature for e in constant} == {5.}


def temperatures(**options):
  """Of the warm-up's last epoch, the alternating ones and the first of fine-tuning."""
  epochs = adamml(**options).epochs
  return [e.temperature for e in (*epochs[4:45:2], epochs[45])]


@pytest.mark.parametrize('initial', [0, .5, 5, 10])
@pytest.mark.parametrize('schedule', phases.TEMPERATURE_SCHEDULES)
def test_any_initial_temperature_of_the_ablation_runs(initial, schedule):
  found = temperatures(initial_temperature=initial, temperature_schedule=schedule)
  assert found[0] == max(initial, .1)
  assert min(found) >= .1 * (1 - 1e-9)
  assert found == sorted(found, reverse=True)
  if initial == 10:
    assert found[-1] == pytest.approx(
        {'official': 10 * .965 ** 20, 'paper': .1, 'constant': 10}[schedule])


def test_any_annealing_factor_of_the_ablation_runs():
  at_once = temperatures(temperature_factor=0)
  assert at_once[:2] == [5., 5.] and set(at_once[2:]) == {.1}
  halved = temperatures(temperature_factor=.5)
  assert halved[1:] == pytest.approx([max(5 * .5 ** i, .1) for i in range(21)])
  assert temperatures(final_temperature=3.)[-1] == 3.


def test_optimisers_begin_once_per_stage_and_fine_tuning_starts_from_the_best():
  epochs = adamml().epochs
  assert [i for i, e in enumerate(epochs) if e.begins] == [0, 5, 6, 45]
  assert [i for i, e in enumerate(epochs) if e.starts_from_best] == [45]
  assert epochs[45].starts_from_best == 'alternating'
  assert not any(e.starts_from_best for e in adamml(start='last').epochs)
  assert not any(e.starts_from_best for e in adamml(alternating_epochs=0).epochs)


def test_single_phase_decays_at_20_40_50_of_60():
  plan = phases.single_phase(loss=LOSS)
  rates = [e.rate for e in plan.epochs]
  assert rates == pytest.approx([1.] * 20 + [.1] * 20 + [.01] * 10 + [.001] * 10)
  assert plan.groups() == ('recognition',)


def test_gates_learn_with_recognition_at_the_rates_of_hms():
  usage = efficiency.UsageTarget(targets={'rgb': .7, 'audio': None})
  plan = phases.gated_phases(loss=LOSS, penalty=usage, epochs=60)
  phase, = plan.phases()
  assert phase.moves == ('recognition',) and phase.frozen == ()
  assert dict(phase.losses) == {'cross_entropy': LOSS, 'usage_target': usage}
  assert [e.rate for e in plan.epochs[:3]] == pytest.approx([1., .92, .92 ** 2])
  temperatures = [e.temperature for e in plan.epochs]
  assert temperatures[:2] == [1., .982] and temperatures[-1] == .5
  assert [e.begins for e in plan.epochs] == [True] + [False] * 59


def test_gates_learn_at_the_rates_of_lite_eval():
  plan = phases.gated_phases(
      loss=LOSS, penalty=PENALTY, epochs=100, rate_factor=1., decay_epochs=(40, 80))
  assert [e.rate for e in plan.epochs] == pytest.approx(
      [1.] * 40 + [.1] * 40 + [.01] * 20)
  both = phases.gated_phases(
      loss=LOSS, penalty=PENALTY, epochs=4, rate_factor=.5, decay_epochs=(1, 3),
      decay_factor=.2)
  assert [e.rate for e in both.epochs] == pytest.approx([1., .1, .05, .005])


def test_encoders_that_move_may_keep_their_statistics():
  plan = phases.gated_phases(
      loss=LOSS, penalty=PENALTY, epochs=1, moves=['recognition', 'encoders'],
      frozen=['encoders'])
  phase, = plan.phases()
  assert phase.moves == plan.groups() == ('recognition', 'encoders')
  assert phase.frozen == ('encoders',)


@pytest.mark.parametrize('option, value', [
    ('epochs', -1), ('rate_factor', 0.), ('temperature_factor', 1.1),
    ('decay_factor', 0.), ('decay_factor', 10.),
    ('initial_temperature', 0.), ('final_temperature', -.5)])
def test_refused_options_of_gated_phases(option, value):
  with pytest.raises(ValueError, match=f'{option} is {value}'):
    phases.gated_phases(loss=LOSS, penalty=PENALTY, **{option: value})


def test_the_span_of_a_step_is_a_function_of_its_number():
  spans = adamml().spans(steps_per_epoch=3)
  for step in range(spans[-1].end):
    span = phases.span_at(spans, step)
    assert span.start <= step < span.end
  with pytest.raises(ValueError, match='step 165 is outside'):
    phases.span_at(spans, 165)


@pytest.mark.parametrize('options, message', [
    ({'lr_decay': 'never'}, "lr_decay is 'never'"),
    ({'temperature_schedule': 'cosine'}, "temperature_schedule is 'cosine'"),
    ({'frozen_batch_statistics': True}, 'frozen_batch_statistics is True'),
    ({'start': 'first'}, "start is 'first'"),
    ({'warm_up_epochs': -1}, 'warm_up_epochs is -1'),
    ({'initial_temperature': -1.}, 'initial_temperature is -1.0; it must be 0 or more'),
    ({'temperature_factor': 1.5}, r'temperature_factor is 1.5; it must be in \[0, 1\]'),
    ({'temperature_factor': -.1}, 'temperature_factor is -0.1'),
    ({'final_temperature': 0}, 'final_temperature is 0; it must be above 0'),
    ({'final_temperature': float('nan')}, 'final_temperature is nan'),
    ({'warm_up_epochs': 0, 'alternating_epochs': 0, 'fine_tune_epochs': 0}, '0 epochs'),
])
def test_bad_options(options, message):
  with pytest.raises(ValueError, match=message):
    adamml(**options)


def test_a_batch_larger_than_the_data():
  with pytest.raises(ValueError, match='steps_per_epoch is 0'):
    adamml().spans(steps_per_epoch=0)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(tmp_path_factory.mktemp('data'), splits=(('train', 5),))


def one_step_of_each_phase(data_dir, **options):
  return loop.train(data_dir=data_dir, model_dir=None, dry_run=True, **{
      **tiny_run.adamml_options(), **options})['phases']


def test_training_without_efficiency_loss(data_dir):
  """Section 4.3: lambda and gamma 0; cross-entropy alone moves the policy."""
  free = efficiency.SelectionPenalty(
      weights={'rgb': 0., 'audio': 0.}, wrong_penalty=0.)
  found = one_step_of_each_phase(
      data_dir, phases=phases.adamml_phases(loss=LOSS, penalty=free))
  policy = found['alternating policy']
  assert policy['loss'] == pytest.approx(policy['loss/cross_entropy'])
  assert policy['loss/selection_penalty'] == 0


def test_training_from_temperature_0(data_dir):
  plan = phases.adamml_phases(
      loss=LOSS, penalty=PENALTY, initial_temperature=0., temperature_factor=0.)
  found = one_step_of_each_phase(data_dir, phases=plan)
  assert [step['temperature'] for step in found.values()] == pytest.approx([.1] * 4)


def options_of_ada_mml(num_classes, **options):
  """The tiny run's model with options of AdaMML."""
  policy = functools.partial(
      adamml_model.Policy, joint_dim=8, lstm_units=4, encoders={
          v.name: tiny_run.Backbone(row_spec=v.spec())
          for v in (tiny_run.PREVIEW, tiny_run.SOUND)})
  return adamml_model.AdaMML(
      encoders=encoders(), policy=policy, num_classes=num_classes, **options)


def encoders():
  return {'rgb': tiny_run.gated(tiny_run.FRAMES),
          'audio': tiny_run.gated(tiny_run.SOUND)}


@pytest.mark.parametrize('options', [
    {'train_gate': 'random'}, {'decisions': 'joint', 'test_gate': 'random'}], ids=str)
def test_options_of_the_ablations_take_all_phases(options, data_dir):
  found = one_step_of_each_phase(
      data_dir, model=functools.partial(options_of_ada_mml, **options))
  assert len(found) == 4


def test_random_gates_beside_a_policy_in_training_mode_are_refused(data_dir):
  model = functools.partial(options_of_ada_mml, train_gate='random')
  plan = adamml(frozen_batch_statistics='update')
  with pytest.raises(ValueError, match="frozen_batch_statistics = 'frozen'"):
    one_step_of_each_phase(data_dir, model=model, phases=plan)


@pytest.mark.parametrize('model', [
    functools.partial(fusion.LateFusion, fusion='class_weighted'),
    functools.partial(fusion.LateFusion, fusion='max'),
    functools.partial(fusion.FeatureFusion, joint_dim=8), random_policy.RandomPolicy])
def test_baselines_train_in_a_single_phase(model, data_dir):
  found = loop.train(
      data_dir=data_dir, model_dir=None, dry_run=True, batch_size=4,
      model=lambda num_classes: model(encoders=encoders(), num_classes=num_classes),
      dataset=tiny_run.spec(tiny_run.FRAMES, tiny_run.SOUND),
      phases=phases.single_phase(loss=LOSS, epochs=35, decay_epochs=()),
      optimizers={'recognition': optimizers.OptimizerSpec(learning_rate=.01)})
  assert found['phases']['train']['loss'] > 0
