"""Tests of tools/report.py against figures worked out by hand."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import report

TRUTH = {
    'segments_per_video': 4,
    'modality_of_evidence': {'rgb': ['sight', 'motion'], 'audio': ['sound']},
    'videos': {
        'a.mp4': {'label': 'x', 'duration_s': 4., 'segments': [
            {'start_s': 0., 'end_s': 1., 'evidence': ['sight']},
            {'start_s': 1., 'end_s': 2., 'evidence': ['motion', 'sound']},
            {'start_s': 2., 'end_s': 3., 'evidence': []},
            {'start_s': 3., 'end_s': 4., 'evidence': []}]},
        'b.mp4': {'label': 'y', 'duration_s': 4., 'segments': [
            {'start_s': 0., 'end_s': 1., 'evidence': []},
            {'start_s': 1., 'end_s': 2., 'evidence': ['sound']},
            {'start_s': 2., 'end_s': 3., 'evidence': ['sound']},
            {'start_s': 3., 'end_s': 4., 'evidence': ['sight']}]},
    },
}
WINDOWS = [[.1, .9], [1.1, 1.9], [2.1, 2.9], [3.1, 3.9]]
# rgb: relevant in a0, a1, b3; audio: in a1, b1, b2. b has no sound in its last segment.
DECISIONS = [
    {'media_id': 'a.mp4', 'label': 0, 'top1': 0, 'modalities': ['rgb', 'audio'],
     'segment_times': WINDOWS, 'present': [[1, 1]] * 4,
     'ran': [[1, 0], [0, 1], [1, 0], [0, 0]]},
    {'media_id': 'b.mp4', 'label': 1, 'top1': 0, 'modalities': ['rgb', 'audio'],
     'segment_times': WINDOWS, 'present': [[1, 1]] * 3 + [[1, 0]],
     'ran': [[0, 0], [0, 1], [1, 0], [1, 0]]},
]


def _evaluation(**changes):
  return {'num_videos': 2, 'top1': .5, 'top5': 1., 'mAP': .6,
          'selection_rate': {'rgb': .5, 'audio': .25}, 'gflops_per_video': .03,
          'gflops_all_modalities': .05, 'ms_per_video_masked': 12.,
          'ms_per_video_gathered': 7.5, **changes}


def _write_run(folder, decisions=DECISIONS, **changes):
  folder.mkdir(parents=True)
  (folder / 'eval_test.json').write_text(json.dumps(_evaluation(**changes)))
  (folder / 'decisions_test.jsonl').write_text(
      ''.join(json.dumps(d) + '\n' for d in decisions))
  return str(folder)


def test_covered_share_of_a_window():
  assert report.covered((0, 2), [(1, 3)]) == .5
  assert report.covered((0, 2), [(-1, .5), (1.5, 9)]) == .5
  assert report.covered((0, 2), [(2, 3)]) == 0
  assert report.covered((1, 1), [(0, 3)]) == 0


def test_precision_and_recall_by_hand():
  scores = report.score_policy(DECISIONS, TRUTH)
  # rgb ran in a0, a2, b2, b3 of 8; a0 and b3 of them matter, of 3 that do.
  assert scores['rgb'] == pytest.approx({
      'selection_rate': 4 / 8, 'precision': 2 / 4, 'random_precision': 3 / 8,
      'recall': 2 / 3, 'random_recall': 4 / 8})
  # audio ran in a1, b1 of the 7 segments with sound; both matter, of 3 that do.
  assert scores['audio'] == pytest.approx({
      'selection_rate': 2 / 7, 'precision': 2 / 2, 'random_precision': 3 / 7,
      'recall': 2 / 3, 'random_recall': 2 / 7})


def test_window_is_relevant_from_half_covered_on():
  def rates(window):
    decision = {**DECISIONS[0], 'segment_times': [window] * 4}
    return report.score_policy([decision], TRUTH)['rgb']['random_precision']
  assert rates([1.5, 2.5]) == 1  # half of it is evidence
  assert rates([1.6, 2.6]) == 0
  assert rates([0., 4.]) == 1  # two neighbouring segments count together


def test_random_choice_scores_what_the_columns_for_it_say():
  rng = np.random.default_rng(0)
  decisions = [
      {**DECISIONS[i % 2], 'present': [[1, 1]] * 4,
       'ran': (rng.random((4, 2)) < (.3, .6)).astype(int).tolist()}
      for i in range(4000)]
  for score in report.score_policy(decisions, TRUTH).values():
    assert score['precision'] == pytest.approx(score['random_precision'], abs=.02)
    assert score['recall'] == pytest.approx(score['random_recall'], abs=.02)


def test_run_that_computes_everything_has_no_policy():
  everything = [{**d, 'ran': d['present']} for d in DECISIONS]
  assert report.score_policy(everything, TRUTH) == {}


def test_policy_that_runs_nothing_has_no_precision():
  nothing = [{**d, 'ran': [[0, 0]] * 4} for d in DECISIONS]
  score = report.score_policy(nothing, TRUTH)['rgb']
  assert math.isnan(score['precision']) and score['recall'] == 0


def test_unknown_video_and_modality_are_named():
  with pytest.raises(ValueError, match="no video 'c.mp4'"):
    report.score_policy([{**DECISIONS[0], 'media_id': 'c.mp4'}], TRUTH)
  with pytest.raises(ValueError, match="modality 'depth'"):
    report.score_policy([{**DECISIONS[0], 'modalities': ['depth', 'audio']}], TRUTH)


def test_table_holds_the_figures(tmp_path):
  (tmp_path / 'videos').mkdir()
  (tmp_path / 'videos' / 'relevance.json').write_text(json.dumps(TRUTH))
  chosen = _write_run(tmp_path / 'adamml')
  everything = _write_run(
      tmp_path / 'rgb', [{**d, 'ran': d['present']} for d in DECISIONS],
      selection_rate={'rgb': 1.}, gflops_per_video=.05)
  results = [report.read_run(run, 'test', 'videos') for run in (everything, chosen)]
  lines = [line.split() for line in report.format_table(results).splitlines()]
  assert lines[2] == ['rgb', '50.0', '100.0', '-', '0.0500', '-', '12.0', '7.5']
  assert lines[3] == ['adamml', '50.0', '50.0', '25.0', '0.0300', '40.0', '12.0', '7.5']
  assert lines[-2:] == [
      ['adamml', 'rgb', '50.0', '50.0', '37.5', '66.7', '50.0'],
      ['adamml', 'audio', '28.6', '100.0', '42.9', '66.7', '28.6']]


def test_average_joins_equal_names_with_their_range(tmp_path):
  for seed, top1 in (('s0', .5), ('s1', .7)):
    (tmp_path / seed / 'videos').mkdir(parents=True)
    (tmp_path / seed / 'videos' / 'relevance.json').write_text(json.dumps(TRUTH))
    _write_run(tmp_path / seed / 'adamml', top1=top1)
  results = [report.read_run(str(tmp_path / seed / 'adamml'), 'test', 'videos')
             for seed in ('s0', 's1')]
  joined, = report.average(results)
  assert joined['method'] == 'adamml' and len(joined['run']) == 2
  assert joined['top1'] == pytest.approx({'mean': .6, 'least': .5, 'most': .7})
  assert joined['policy']['audio']['recall']['mean'] == pytest.approx(2 / 3)
  assert '60.0 (50.0 to 70.0)' in report.format_table([joined])


def test_command_writes_json_and_fails_in_one_line(tmp_path):
  run = _write_run(tmp_path / 'rgb', selection_rate={'rgb': 1.})
  out = tmp_path / 'out.json'
  done = subprocess.run([sys.executable, report.__file__, run, f'--json={out}'],
                        capture_output=True, text=True, check=False)
  assert done.returncode == 0 and done.stdout.startswith('method')
  entry, = json.loads(out.read_text())['runs']
  assert entry['method'] == 'rgb' and entry['saved'] is None
  done = subprocess.run([sys.executable, report.__file__, str(tmp_path / 'none')],
                        capture_output=True, text=True, check=False)
  assert done.returncode == 1
  line, = done.stderr.strip().splitlines()
  assert line.startswith('report: ') and 'tfmm.evaluate' in line


def test_damaged_and_incomplete_evaluations_are_named(tmp_path):
  run = _write_run(tmp_path / 'rgb', selection_rate={'rgb': 1.})
  path = tmp_path / 'rgb' / 'eval_test.json'
  whole = json.loads(path.read_text())
  for text, says in (('{', 'is damaged'), ('{}', "has no entry 'top1'")):
    path.write_text(text)
    with pytest.raises(ValueError, match=f'eval_test.json {says}.*again'):
      report.read_run(run, 'test', None)
  path.write_text(json.dumps(
      {k: v for k, v in whole.items() if not k.startswith('ms_per')}))
  last = report.format_table([report.read_run(run, 'test', None)]).splitlines()[-1]
  assert last.split()[-2:] == ['-', '-']  # evaluated without timing


def test_budgets_have_a_table_of_their_own(tmp_path):
  def rows(accuracy):
    return [{**_evaluation(mAP=accuracy, gflops_per_video=.01), 'budget_gflops': limit}
            for limit in (.5, 10.)]
  runs = [_write_run(tmp_path / seed / 'hms', budgets=rows(accuracy))
          for seed, accuracy in (('0', .4), ('1', .6))]
  results = report.average([report.read_run(run, 'test', None) for run in runs])
  text = report.format_table(results)
  lines = [line.split() for line in text.splitlines() if ' <' in line]
  assert [line[:2] for line in lines] == [['hms', '<0.5'], ['hms', '<10']]
  assert '50.0 (40.0 to 60.0)' in text
