import json

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
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
