"""A loaded export, and what it said of a video."""

import json
import types

import numpy as np
import pytest

from tfmm.export import predictor


@pytest.fixture(scope='module', name='loaded')
def loaded_fixture(exported):
  return predictor.Predictor(exported.directory)


def test_version_directory_or_its_parent(exported, loaded):
  assert loaded.version_dir == exported.version_dir == exported.directory + '/1'
  again = predictor.Predictor(exported.version_dir)
  assert again.version_dir == exported.version_dir and again.record == loaded.record


def test_what_is_no_export(tmp_path):
  with pytest.raises(ValueError, match='holds no SavedModel'):
    predictor.Predictor(str(tmp_path))


def test_an_answer_joins_request_and_outputs(exported, loaded):
  times = np.array([[0, 1], [1, 2], [2, 3], [3, 4.12345]], np.float32)
  outputs = loaded.call(exported.request)
  answer = loaded.answer(types.SimpleNamespace(
      inputs=exported.request, segment_times=times), outputs)
  assert answer.labels == exported.record.labels
  assert answer.modalities == ('rgb', 'audio')
  np.testing.assert_array_equal(answer.ran, outputs['ran'][0])
  np.testing.assert_array_equal(answer.present, np.ones([4, 2]))
  assert answer.gflops == outputs['gflops'][0] > 0 < answer.gflops_all_modalities

  best, second = answer.top(2)
  assert best[0] == answer.labels[answer.probabilities.argmax()]
  assert best[1] == answer.probabilities.max() >= second[1]
  plain = json.loads(json.dumps(answer.as_json(2)))
  assert [t['label'] for t in plain['top']] == [best[0], second[0]]
  assert plain['segment_times'][3] == pytest.approx([3, 4.123])
  assert plain['ran'] == answer.ran.astype(int).tolist()
