import json

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import quick_models
from tfmm.training import evaluation


def batches(model, count=2):
  made = [tiny_models.batch(model, videos=3, seed=s) for s in range(count)]
  stacked = {k: tf.concat([b[k] for b in made], 0) for k in made[0]}
  return tf.data.Dataset.from_tensor_slices(stacked).batch(3)


@pytest.fixture(scope='module')
def model():
  made = tiny_models.ada_mml()
  return tiny_models.settle(made, tiny_models.batch(made))


def test_decisions_are_those_of_the_model_in_stored_order(model):
  data = batches(model)
  decisions = evaluation.decide(model, data)
  direct = [model(b) for b in data]
  expected = np.concatenate([r.logits for r in direct])
  np.testing.assert_allclose(decisions.logits, expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(
      decisions.ran, np.concatenate([r.ran for r in direct]))
  assert decisions.media_id[0] == b'video-0'


def test_summary_agrees_with_a_count_by_hand(model):
  data = batches(model)
  decisions = evaluation.decide(model, data)
  found = evaluation.summarize(decisions, model)
  right = decisions.logits.argmax(1) == decisions.label
  assert found['num_videos'] == 6
  assert found['top1'] == pytest.approx(right.mean())
  cost = model.segment_cost()
  macs = [cost.modality[m].papers for m in model.modalities]
  spent = (decisions.ran * macs).sum() + 6 * tiny_models.SEGMENTS * cost.overhead.papers
  assert found['gflops_per_video'] == pytest.approx(spent / 6 / 1e9)
  assert found['gflops_all_modalities'] == pytest.approx(
      tiny_models.SEGMENTS * sum(macs) / 1e9)


def test_both_skip_modes_are_timed_and_the_mode_is_put_back(model):
  model.skip = 'mask'
  spent = evaluation.time_skip_modes(model, batches(model), batches=1, repeats=1)
  assert set(spent) == {'ms_per_video_masked', 'ms_per_video_gathered'}
  assert min(spent.values()) > 0
  assert model.skip == 'mask'


def test_decision_lines_hold_what_ran_where(model):
  decisions = evaluation.decide(model, batches(model))
  lines = [json.loads(line) for line in evaluation.decision_lines(decisions, model)]
  assert [line['media_id'] for line in lines[:3]] == ['video-0', 'video-1', 'video-2']
  for i, line in enumerate(lines):
    np.testing.assert_array_equal(line['ran'], decisions.ran[i])
    assert line['modalities'] == ['rgb', 'audio']
    assert line['top1'] == decisions.logits[i].argmax()
    assert line['segment_times'][1] == [1., 2.]


def test_an_empty_split_is_refused(model):
  with pytest.raises(ValueError, match='no video'):
    evaluation.decide(model, batches(model).take(0))


@pytest.fixture(scope='module')
def stepwise():
  tf.keras.utils.set_random_seed(0)
  made = quick_models.hms()
  made.levels[1].gate.bias.assign([0., 5.])  # sees all it can afford
  return made


def test_budgets(stepwise):
  data = batches(stepwise)
  free = evaluation.summarize(evaluation.decide(stepwise, data), stepwise)
  limits = [stepwise.least_budget(), free['gflops_per_video'] / 2, float('inf')]
  limits[:2] = [1.001 * limit for limit in limits[:2]]  # float32
  rows = [evaluation.summarize(
      evaluation.decide(stepwise, data, budget_gflops=limit), stepwise)
          for limit in limits]
  for limit, row in zip(limits, rows):
    assert 0 < row['gflops_per_video'] <= limit
  assert rows[0]['gflops_per_video'] == pytest.approx(stepwise.least_budget())
  assert rows[0]['selection_rate']['rgb'] == 0 < rows[1]['selection_rate']['rgb'] < 1
  assert rows[2] == free

  text = evaluation.budget_table({**free, 'budgets': [
      {**row, 'budget_gflops': limit} for limit, row in zip(limits, rows)]})
  lines = text.splitlines()
  assert lines[0].split() == ['GFLOPs', 'mAP', 'top-1', 'spent'] and len(lines) == 5
  assert lines[-1].split()[0] == '<inf'


def test_refused_budgets(model, stepwise):
  evaluation.check_budgets(model, [])
  with pytest.raises(ValueError, match='AdaMML takes no budget'):
    evaluation.check_budgets(model, [80.])
  least = stepwise.least_budget()
  evaluation.check_budgets(stepwise, [least, float('inf')])
  for limit in (.9 * least, float('nan')):
    with pytest.raises(ValueError, match='less than one step and the answer'):
      evaluation.check_budgets(stepwise, [limit])
