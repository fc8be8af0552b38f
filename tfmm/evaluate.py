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
  import tensorflow as tf
  from tfmm import trained_run
  from tfmm.data import dataset
  from tfmm.training import checkpoints, evaluation
  output_dir = _OUTPUT_DIR.value or _MODEL_DIR.value
  if (_GIN_FILE.value or _GIN_PARAM.value) and not _OUTPUT_DIR.value:
    raise ValueError(
        "results of another configuration would take the place of the run's own; give "
        f'--output_dir, such as {os.path.normpath(_MODEL_DIR.value)}_other.')
  run = trained_run.load(
      _MODEL_DIR.value, _CHECKPOINT.value, data_dir=_DATA_DIR.value,
      gin_files=_GIN_FILE.value, gin_params=_GIN_PARAM.value)
  total = dataset.load_info(run.data_dir).num_videos(_SPLIT.value)

  def on_batch(done):
    if sys.stderr.isatty():
      sys.stderr.write(f'\r{done} of {total} videos')
      sys.stderr.flush()

  metrics, decisions = evaluation.evaluate(
      run, split=_SPLIT.value, batch_size=_BATCH_SIZE.value, skip=_SKIP.value,
      seed=_SEED.value, timed_batches=_TIMED_BATCHES.value, on_batch=on_batch)
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
  print(f'written: {result}')


if __name__ == '__main__':
  command_line.run('evaluate', main)
