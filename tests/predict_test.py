"""The command line of `predict`: text, JSON, bad videos among good ones."""

import json
import shutil

import cv2
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from tests import tiny_videos
from tests.export import tiny_export
from tfmm import predict
from tfmm.export import record as serving_record


@pytest.fixture(scope='module', name='saved_model')
def saved_model_fixture(tmp_path_factory):
  return tiny_export.exported(tmp_path_factory).directory


@pytest.fixture(scope='module', name='videos')
def videos_fixture(tmp_path_factory):
  """Paths by name: a video with sound, one without, an animation, junk."""
  folder = tmp_path_factory.mktemp('to_predict')
  junk = folder / 'junk.mp4'
  junk.write_bytes(b'this is no video')
  return {
      'sound': tiny_videos.make(folder / 'sound.mp4', seconds=2.0),
      'silent': tiny_videos.make(folder / 'silent.mp4', seconds=2.0, sound=False),
      'gif': tiny_export.write_gif(folder / 'a.gif'),
      'junk': str(junk),
  }


def run(saved_model, *paths, **options):
  flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(saved_model=saved_model, **options):
    return predict.main(['predict', *paths])


def test_text_names_classes_segments_and_cost(saved_model, videos, capsys):
  assert run(saved_model, videos['sound'], top_k=2) == 0
  out, err = capsys.readouterr()
  lines = out.splitlines()
  assert lines[0] == videos['sound'] and not err
  assert sum('label' in line for line in lines) == 2
  assert lines[-3].split()[0] == 'rgb' and lines[-2].split()[0] == 'audio'
  assert lines[-3].endswith('of 4') and 'GFLOPs' in lines[-1]


def test_json_without_sound(saved_model, videos, capsys):
  paths = [videos['silent'], videos['gif']]
  assert run(saved_model, *paths, json=True) == 0
  for path, line in zip(paths, capsys.readouterr().out.splitlines(), strict=True):
    answer = json.loads(line)
    assert answer['video'] == path
    assert answer['modalities'] == ['rgb', 'audio']
    assert np.array(answer['present'])[:, 1].sum() == 0
    assert np.array(answer['ran'])[:, 1].sum() == 0
    assert len(answer['segment_times']) == 4 and len(answer['top']) == 5
    assert sum(t['probability'] for t in answer['top']) == pytest.approx(1, abs=1e-5)


def test_a_bad_video_costs_one_line(saved_model, videos, capsys):
  paths = [videos['junk'], videos['sound'], videos['sound'] + '.gone']
  assert run(saved_model, *paths, json=True) == 1
  out, err = capsys.readouterr()
  assert [json.loads(line)['video'] for line in out.splitlines()] == [videos['sound']]
  first, second = err.splitlines()
  assert videos['junk'] in first and 'open' in first
  assert 'missing' in second


def test_a_model_that_reads_flow(videos, tmp_path_factory, capsys):
  saved_model = tiny_export.exported(tmp_path_factory, 'difference').directory
  assert run(saved_model, videos['silent'], videos['gif']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines[-3:-1]] == ['rgb', 'flow']
  assert all(line.endswith('of 4') for line in lines[-3:-1])


@pytest.fixture(scope='module', name='steps')
def steps_fixture(tmp_path_factory):
  return tiny_export.exported(tmp_path_factory, 'steps')


def test_budgets(steps, videos, capsys):
  assert run(steps.directory, videos['sound'], json=True) == 0
  free = json.loads(capsys.readouterr().out)
  assert free['gflops'] > steps.record.least_budget
  limit = .9 * free['gflops']
  assert run(steps.directory, videos['sound'], json=True, budget_gflops=limit) == 0
  limited = json.loads(capsys.readouterr().out)
  assert limited['gflops'] <= limit
  assert 0 < np.sum(limited['ran']) < np.sum(free['ran'])


def test_impossible_budgets_are_one_line(saved_model, steps, videos):
  with pytest.raises(SystemExit, match='predict: this model .* takes no budget_gflops'):
    run(saved_model, videos['sound'], budget_gflops=80.)
  least = serving_record.rounded_up(steps.record.least_budget)
  with pytest.raises(SystemExit, match=f'predict: .*; give {least} or more') as error:
    run(steps.directory, videos['sound'], budget_gflops=1e-7)
  assert '\n' not in str(error.value)


def test_a_model_on_features_is_one_line(videos, tmp_path_factory):
  saved_model = tiny_export.exported(tmp_path_factory, 'features').directory
  with pytest.raises(SystemExit, match='predict: .*`views` can be called') as error:
    run(saved_model, videos['sound'])
  assert '\n' not in str(error.value)


def test_flow_that_this_opencv_lacks_is_one_line(
    videos, tmp_path, tmp_path_factory, monkeypatch, capsys):
  monkeypatch.delattr(cv2, 'optflow', raising=False)
  saved_model = tiny_export.exported(tmp_path_factory, 'flow').directory
  shutil.copytree(saved_model, tmp_path / 'model')
  path = tmp_path / 'model' / '1' / 'assets.extra' / 'tfmm.json'
  path.write_text(path.read_text().replace('dis_fast', 'tvl1'))
  assert run(str(tmp_path / 'model'), videos['sound']) == 1
  out, err = capsys.readouterr()
  line, = err.splitlines()
  assert not out and videos['sound'] in line and 'python -m pip' in line


def test_wrong_directories_and_no_video(saved_model, videos, tmp_path):
  with pytest.raises(SystemExit, match='predict: .* holds no SavedModel'):
    run(str(tmp_path), videos['sound'])
  (tmp_path / 'saved_model.pb').write_bytes(b'')
  with pytest.raises(SystemExit, match='tfmm.json does not exist'):
    run(str(tmp_path), videos['sound'])
  with pytest.raises(SystemExit, match='no video given'):
    run(saved_model)


@pytest.mark.parametrize('text, says', [
    ('{', 'tfmm.json is damaged'), ('[]', "tfmm.json has no entry 'frame_rate'")])
def test_a_damaged_record_is_one_line(saved_model, videos, tmp_path, text, says):
  shutil.copytree(saved_model, tmp_path / 'model')
  (tmp_path / 'model' / '1' / 'assets.extra' / 'tfmm.json').write_text(text)
  with pytest.raises(SystemExit, match=f'predict: .*{says}.*export the run again'):
    run(str(tmp_path / 'model'), videos['sound'])


@pytest.mark.parametrize('name', ['saved_model.pb', 'variables/variables.index',
                                  'variables/variables.data-00000-of-00001'])
def test_a_damaged_export_is_one_line(saved_model, videos, tmp_path, name):
  shutil.copytree(saved_model, tmp_path / 'model')
  path = tmp_path / 'model' / '1' / name
  path.write_bytes(path.read_bytes()[:200])
  with pytest.raises(SystemExit, match='predict: .*is damaged .*export the run again'):
    run(str(tmp_path / 'model'), videos['sound'])
