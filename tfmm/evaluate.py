"""Measures a trained run: python -m tfmm.evaluate --model_dir=RUN --split=test

Prints a table and writes RUN/eval_<split>.json, and RUN/decisions_<split>.jsonl with
what ran in which segment of every video. With --gin_file or --gin_param the run is
measured in another way than it was trained, such as with random gates or on fewer
segments; the results then go to --output_dir.
"""

import os
import sys

from absl import flags

from tfmm import command_line

_MODEL_DIR = flags.DEFINE_string(
    'model_dir', None, 'Run directory of tfmm.train.', required=True)
_SPLIT = flags.DEFINE_enum(
    'split', 'test', ['train', 'validation', 'test'], 'What to measure on.')
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Data of the run, if it has moved since training.')
_CHECKPOINT = flags.DEFINE_enum(
    'checkpoint', 'last', ['last', 'best'],
    'The last checkpoint, or the best validated one of the last stage.')
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 8, 'Videos at a time.', lower_bound=1)
_SKIP = flags.DEFINE_enum(
    'skip', 'gather', ['gather', 'mask'],
    'How decisions are computed; both give the same and both are timed.')
_TIMED_BATCHES = flags.DEFINE_integer(
    'timed_batches', 4, 'Batches that are timed both ways; 0 times nothing.',
    lower_bound=0)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Of gates that are sampled at test time.')
_BUDGETS = flags.DEFINE_list(
    'budget_gflops', [],
    'Also under these limits of GFLOPs for each video, such as 80,120,160: mAP and '
    'top-1 of a model with steps as far as each limit lets it come.')
_PLOT = flags.DEFINE_string(
    'plot', None, 'A file, such as curve.png or curve.svg, for mAP over GFLOPs.')
_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', [], "Stronger than the run's recipe; may be repeated.")
_GIN_PARAM = flags.DEFINE_multi_string(
    'gin_param', [], "'name = value', stronger still; may be repeated.")
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Where results go; the run itself if not given.')


def main(argv):
  if len(argv) > 1:
    sys.exit(f'evaluate: unexpected argument {argv[1]!r}; flags start with --.')
  try:
    _evaluate()
  except command_line.mistakes() as error:
    sys.exit(f'evaluate: {command_line.one_line(error)}')


def _evaluate():
  budgets = _budgets()
  import tensorflow as tf
  from tfmm import trained_run
  from tfmm.training import checkpoints, curve, evaluation
  output_dir = _OUTPUT_DIR.value or _MODEL_DIR.value
  if (_GIN_FILE.value or _GIN_PARAM.value) and not _OUTPUT_DIR.value:
    raise ValueError(
        "results of another configuration would take the place of the run's own; give "
        f'--output_dir, such as {os.path.normpath(_MODEL_DIR.value)}_other.')
  if _PLOT.value:
    curve.check(_PLOT.value)
  run = trained_run.load(
      _MODEL_DIR.value, _CHECKPOINT.value, data_dir=_DATA_DIR.value,
      gin_files=_GIN_FILE.value, gin_params=_GIN_PARAM.value)
  total = run.dataset.load_info(run.data_dir).num_videos(_SPLIT.value)

  def on_batch(done):
    if sys.stderr.isatty():
      sys.stderr.write(f'\r{done} of {total} videos')
      sys.stderr.flush()

  metrics, decisions = evaluation.evaluate(
      run, split=_SPLIT.value, batch_size=_BATCH_SIZE.value, skip=_SKIP.value,
      seed=_SEED.value, timed_batches=_TIMED_BATCHES.value, budgets=budgets,
      on_batch=on_batch)
  if sys.stderr.isatty():
    sys.stderr.write('\n')
  tf.io.gfile.makedirs(output_dir)
  result = os.path.join(output_dir, f'eval_{_SPLIT.value}.json')
  lines = evaluation.decision_lines(decisions, run.model)
  checkpoints.write_text(
      os.path.join(output_dir, f'decisions_{_SPLIT.value}.jsonl'),
      ''.join(f'{line}\n' for line in lines))
  checkpoints.write_json(result, metrics)
  print(evaluation.table(metrics))
  if budgets:
    print(evaluation.budget_table(metrics))
  if _PLOT.value:
    curve.draw(_PLOT.value, {os.path.basename(os.path.normpath(output_dir)): metrics})
    print(f'written: {_PLOT.value}')
  print(f'written: {result}')


def _budgets():
  """--budget_gflops as numbers, ascending."""
  budgets = []
  for text in _BUDGETS.value:
    try:
      budgets.append(float(text))
    except ValueError:
      raise ValueError(
          f'--budget_gflops={",".join(_BUDGETS.value)}: {text!r} is no number; give '
          'limits such as 80,120,160.') from None
  if _PLOT.value and not budgets:
    raise ValueError(
        f'--plot={_PLOT.value} draws what --budget_gflops asks for; give both.')
  return sorted(set(budgets))


if __name__ == '__main__':
  command_line.run('evaluate', main)
