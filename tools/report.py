r"""Puts several evaluated runs into one table and scores policies against the truth.

  python tools/report.py --videos=D RUN [RUN ...] [--split=test] [--json=OUT]
  python tools/report.py --videos=videos --average seed*/adamml seed*/fusion

reads RUN/eval_<split>.json and RUN/decisions_<split>.jsonl, which `python -m
tfmm.evaluate` wrote. With --videos, D/relevance.json (`tools/make_demo_videos.py`) is
the truth: a segment is relevant for a modality if evidence of a kind that the modality
can show (`modality_of_evidence`) covers at least half of the segment's window. A
relative D is looked for beside each RUN first, so that every seed can have its own.

Precision is the share of relevant segments among those in which the modality ran,
recall the share of the relevant segments in which it ran, both over all segments where
the modality is present. Beside them stands what a policy would get on average that
lets each modality run equally often but anywhere: its precision is the share of
relevant segments, its recall the share of segments in which the modality runs. Runs
that always compute everything have no such line.

--average joins runs of equal folder names: mean (least to most).
"""

from collections.abc import Mapping, Sequence
import json
import math
import os
import sys

from absl import flags
from tfmm import command_line

NEEDED = ('top1', 'selection_rate', 'gflops_per_video', 'gflops_all_modalities')
SCORES = ('precision', 'random_precision', 'recall', 'random_recall')


def covered(window: Sequence[float], spans: Sequence[Sequence[float]]) -> float:
  """Share of a window that spans cover.

  Args:
    window: (start, end) in seconds.
    spans: (start, end) in seconds, none overlapping another.
  """
  start, end = window
  overlap = sum(max(0., min(end, e) - max(start, s)) for s, e in spans)
  return overlap / (end - start) if end > start else 0.


def evidence_spans(video: Mapping, kinds: Sequence[str]) -> list[tuple[float, float]]:
  """Returns where one video of relevance.json has evidence of any of the kinds."""
  return [(s['start_s'], s['end_s']) for s in video['segments']
          if set(s['evidence']) & set(kinds)]


def score_policy(decisions: Sequence[Mapping], truth: Mapping) -> dict[str, dict]:
  """Scores what ran against where the evidence is.

  Args:
    decisions: the lines of decisions_<split>.jsonl.
    truth: the content of relevance.json.

  Returns:
    {modality: {'selection_rate', 'precision', 'random_precision', 'recall',
    'random_recall'}}; NaN where nothing ran or nothing is relevant. Empty if
    everything that is present ran, so that nothing was chosen.

  Raises:
    ValueError: the truth misses a video or a modality.
  """
  if all(d['ran'] == d['present'] for d in decisions):
    return {}
  scores = {}
  for m, modality in enumerate(decisions[0]['modalities']):
    if modality not in truth['modality_of_evidence']:
      raise ValueError(
          f'relevance.json says nothing about modality {modality!r}, only about '
          f'{", ".join(sorted(truth["modality_of_evidence"]))}')
    kinds = truth['modality_of_evidence'][modality]
    present = ran = relevant = hit = 0
    for decision in decisions:
      if decision['media_id'] not in truth['videos']:
        raise ValueError(
            f'relevance.json has no video {decision["media_id"]!r}; give the --videos '
            'that the run was evaluated on')
      spans = evidence_spans(truth['videos'][decision['media_id']], kinds)
      for window, runs, there in zip(
          decision['segment_times'], decision['ran'], decision['present']):
        if there[m]:
          matters = covered(window, spans) >= .5
          present += 1
          ran += bool(runs[m])
          relevant += matters
          hit += bool(runs[m]) and matters
    scores[modality] = {
        'selection_rate': _ratio(ran, present),
        'precision': _ratio(hit, ran),
        'random_precision': _ratio(relevant, present),
        'recall': _ratio(hit, relevant),
        'random_recall': _ratio(ran, present),
    }
  return scores


def _ratio(part, whole):
  return part / whole if whole else math.nan


def _read_json(path):
  with open(path, encoding='utf-8') as f:
    try:
      return json.load(f)
    except ValueError as error:
      raise ValueError(f'{path} is damaged ({error}); make it again') from None


def read_run(run: str, split: str, videos: str | None) -> dict:
  """Reads what evaluation left in a run directory.

  Args:
    run: directory with eval_<split>.json and decisions_<split>.jsonl.
    split: which of them.
    videos: folder with relevance.json, or None.

  Returns:
    The content of eval_<split>.json with 'method' (the folder's name), 'run', 'saved'
    (share of GFLOPs saved against all modalities; NaN with one modality),
    'policy' (`score_policy`, or {}) and 'budgets' ({limit as text: its metrics}).

  Raises:
    ValueError: the evaluation, or the truth, is missing.
  """
  run = run.rstrip('/')
  path = os.path.join(run, f'eval_{split}.json')
  if not os.path.exists(path):
    raise ValueError(f'{path} is missing; make it with python -m tfmm.evaluate '
                     f'--model_dir={run} --split={split}')
  result = _read_json(path)
  missing = [key for key in NEEDED if key not in result]
  if missing:
    raise ValueError(f'{path} has no entry {missing[0]!r}; make it again with python '
                     f'-m tfmm.evaluate --model_dir={run} --split={split}')
  several = len(result['selection_rate']) > 1
  result.update(
      method=os.path.basename(os.path.abspath(run)), run=run, policy={},
      saved=1 - result['gflops_per_video'] / result['gflops_all_modalities']
      if several else math.nan,
      budgets={f'{row["budget_gflops"]:g}': row for row in result.get('budgets', ())})
  if videos is None:
    return result
  with open(os.path.join(run, f'decisions_{split}.jsonl'), encoding='utf-8') as f:
    decisions = [json.loads(line) for line in f]
  places = [os.path.join(os.path.dirname(os.path.abspath(run)), videos), videos]
  truths = [p for p in places if os.path.exists(os.path.join(p, 'relevance.json'))]
  if not truths:
    raise ValueError(f'--videos={videos} has no relevance.json; give the folder that '
                     'tools/make_demo_videos.py wrote, or leave --videos out')
  truth = _read_json(os.path.join(truths[0], 'relevance.json'))
  result['policy'] = score_policy(decisions, truth)
  return result


def average(results: Sequence[Mapping]) -> list[dict]:
  """Joins runs of equal methods.

  Returns:
    The same entries as `read_run` gives, in order of first appearance, with each
    number as {'mean', 'least', 'most'} and 'run' as a list.
  """
  groups = {}
  for result in results:
    groups.setdefault(result['method'], []).append(result)
  return [{'method': method, **_join(group)} for method, group in groups.items()]


def _join(values):
  """Joins dictionaries of equal shape key by key, numbers by mean and range."""
  first = values[0]
  if isinstance(first, Mapping):
    return {key: _join([v[key] for v in values]) for key in first
            if key != 'method' and all(key in v for v in values)}
  if isinstance(first, (int, float)):
    return {'mean': sum(values) / len(values), 'least': min(values),
            'most': max(values)}
  return list(values)


def _show(value, scale=1., digits=1):
  """Formats a number, or a mean with its range; '-' for NaN or a missing value."""
  if isinstance(value, Mapping):
    mean, *ends = (_show(value[k], scale, digits) for k in ('mean', 'least', 'most'))
    return mean if mean == '-' else f'{mean} ({ends[0]} to {ends[1]})'
  if value is None or math.isnan(value):
    return '-'
  return f'{value * scale:.{digits}f}'


def _digits(results):
  """Enough decimals that the smallest GFLOPs figure keeps three digits."""
  values = [v['mean'] if isinstance(v, Mapping) else v
            for v in (r['gflops_per_video'] for r in results)]
  least = min((v for v in values if v > 0), default=1.)
  return max(0, 2 - math.floor(math.log10(least)))


def format_table(results: Sequence[Mapping]) -> str:
  """Returns the table of all runs and, below, the scores of those that choose."""
  modalities = list(dict.fromkeys(m for r in results for m in r['selection_rate']))
  digits = _digits(results)
  rows = [['method', 'top-1 %', *(f'{m} %' for m in modalities), 'GFLOPs/video',
           'saved %', 'ms masked', 'ms gathered']]
  for r in results:
    rows.append([
        r['method'], _show(r['top1'], 100),
        *(_show(r['selection_rate'].get(m), 100) for m in modalities),
        _show(r['gflops_per_video'], digits=digits), _show(r['saved'], 100),
        # evaluate --timed_batches=0 leaves times out.
        *(_show(r.get(f'ms_per_video_{how}')) for how in ('masked', 'gathered'))])
  blocks = [_align(rows)]
  rows = [['policy', 'modality', 'selected %', 'precision %', 'random', 'recall %',
           'random']]
  for r in results:
    for m, score in r['policy'].items():
      rows.append([r['method'], m, _show(score['selection_rate'], 100),
                   *(_show(score[k], 100) for k in SCORES)])
  if len(rows) > 1:
    blocks.append(_align(rows))
  rows = [['under a budget', 'GFLOPs', 'mAP %', 'top-1 %', 'GFLOPs/video']]
  for r in results:
    for limit, row in r['budgets'].items():
      rows.append([
          r['method'], f'<{limit}', _show(row['mAP'], 100), _show(row['top1'], 100),
          _show(row['gflops_per_video'], digits=digits)])
  if len(rows) > 1:
    blocks.append(_align(rows))
  return '\n\n'.join(blocks)


def _align(rows):
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  lines = ['  '.join(cell.rjust(w) if i else cell.ljust(w)
                     for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
           for row in rows]
  return '\n'.join([lines[0], '-' * max(map(len, lines)), *lines[1:]])


def _without_nan(value):
  """JSON has no NaN: null instead."""
  if isinstance(value, Mapping):
    return {k: _without_nan(v) for k, v in value.items()}
  if isinstance(value, list):
    return [_without_nan(v) for v in value]
  return None if isinstance(value, float) and math.isnan(value) else value


def main(argv):
  values = flags.FLAGS
  try:
    if len(argv) < 2:
      raise ValueError('no RUN given; usage: python tools/report.py --videos=D RUN ...')
    results = [read_run(run, values.split, values.videos) for run in argv[1:]]
    if values.average:
      results = average(results)
    if values.json:
      with open(values.json, 'w', encoding='utf-8') as f:
        json.dump(_without_nan({'split': values.split, 'runs': results}), f, indent=1)
    print(format_table(results))
  except (ValueError, OSError) as error:
    sys.exit(f'report: {error}')


if __name__ == '__main__':
  flags.DEFINE_string('videos', None, 'Folder with relevance.json; none: no scores.')
  flags.DEFINE_string('split', 'test', 'Which evaluation to read.')
  flags.DEFINE_string('json', None, 'File to write the same numbers to.')
  flags.DEFINE_bool('average', False, 'Join runs of equal folder names.')
  command_line.run('report', main)
