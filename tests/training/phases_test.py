import pytest

from tfmm.losses import efficiency, recognition
from tfmm.training import phases

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
    ({'warm_up_epochs': 0, 'alternating_epochs': 0, 'fine_tune_epochs': 0}, '0 epochs'),
])
def test_bad_options(options, message):
  with pytest.raises(ValueError, match=message):
    adamml(**options)


def test_a_batch_larger_than_the_data():
  with pytest.raises(ValueError, match='steps_per_epoch is 0'):
    adamml().spans(steps_per_epoch=0)
