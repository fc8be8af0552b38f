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


def define_flags(values: flags.FlagValues):
  def define(kind, *arguments, **options):
    kind(*arguments, flag_values=values, **options)

  define(flags.DEFINE_string, 'model_dir', None, 'Run directory of tfmm.train.',
         required=True)
  define(flags.DEFINE_enum, 'split', 'test', ['train', 'validation', 'test'],
         'What to measure on.')
  define(flags.DEFINE_string, 'data_dir', None,
         'Data of the run, if it has moved since training.')
  define(flags.DEFINE_enum, 'checkpoint', 'last', ['last', 'best'],
         'The last checkpoint, or the best validated one of the last stage.')
  define(flags.DEFINE_integer, 'batch_size', 8, 'Videos at a time.', lower_bound=1)
  define(flags.DEFINE_enum, 'skip', 'gather', ['gather', 'mask'],
         'How decisions are computed; both give the same and both are timed.')
  define(flags.DEFINE_integer, 'timed_batches', 4,
         'Batches that are timed both ways; 0 times nothing.', lower_bound=0)
  define(flags.DEFINE_integer, 'seed', 0, 'Of gates that are sampled at test time.')
  define(flags.DEFINE_list, 'budget_gflops', [],
         'Also under these limits of GFLOPs for each video, such as 80,120,160: mAP '
         'and top-1 of a model with steps as far as each limit lets it come.')
  define(flags.DEFINE_string, 'plot', None,
         'A file, such as curve.png or curve.svg, for mAP over GFLOPs.')
  define(flags.DEFINE_multi_string, 'gin_file', [],
         "Stronger than the run's recipe; may be repeated.")
  define(flags.DEFINE_multi_string, 'gin_param', [],
         "'name = value', stronger still; may be repeated.")
  define(flags.DEFINE_string, 'output_dir', None,
         'Where results go; the run itself if not given.')


def main(argv, values: flags.FlagValues = flags.FLAGS):
  if len(argv) > 1:
    sys.exit(f'evaluate: unexpected argument {argv[1]!r}; flags start with --.')
  try:
    _evaluate(values)
  except command_line.mistakes() as error:
    sys.exit(f'evaluate: {command_line.one_line(error)}')


def _evaluate(values):
  budgets = _budgets(values)
  import tensorflow as tf
  from tfmm import trained_run
  from tfmm.training import checkpoints, curve, evaluation
  output_dir = values.output_dir or values.model_dir
  if (values.gin_file or values.gin_param) and not values.output_dir:
    raise ValueError(
        "results of another configuration would take the place of the run's own; give "
        f'--output_dir, such as {os.path.normpath(values.model_dir)}_other.')
  if values.plot:
    curve.check(values.plot)
  run = trained_run.load(
      values.model_dir, values.checkpoint, data_dir=values.data_dir,
      gin_files=values.gin_file, gin_params=values.gin_param)
  total = run.dataset.load_info(run.data_dir).num_videos(values.split)

  def on_batch(done):
    if sys.stderr.isatty():
      sys.stderr.write(f'\r{done} of {total} videos')
      sys.stderr.flush()

  metrics, decisions = evaluation.evaluate(
      run, split=values.split, batch_size=values.batch_size, skip=values.skip,
      seed=values.seed, timed_batches=values.timed_batches, budgets=budgets,
      on_batch=on_batch)
  if sys.stderr.isatty():
    sys.stderr.write('\n')
  tf.io.gfile.makedirs(output_dir)
  result = os.path.join(output_dir, f'eval_{values.split}.json')
  lines = evaluation.decision_lines(decisions, run.model)
  checkpoints.write_text(
      os.path.join(output_dir, f'decisions_{values.split}.jsonl'),
      ''.join(f'{line}\n' for line in lines))
  checkpoints.write_json(result, metrics)
  print(evaluation.table(metrics))
  if budgets:
    print(evaluation.budget_table(metrics))
  if values.plot:
    curve.draw(values.plot, {os.path.basename(os.path.normpath(output_dir)): metrics})
    print(f'written: {values.plot}')
  print(f'written: {result}')


def _budgets(values):
  """--budget_gflops as numbers, ascending."""
  budgets = []
  for text in values.budget_gflops:
    try:
      budgets.append(float(text))
    except ValueError:
      raise ValueError(
          f'--budget_gflops={",".join(values.budget_gflops)}: {text!r} is no number; '
          'give limits such as 80,120,160.') from None
  if values.plot and not budgets:
    raise ValueError(
        f'--plot={values.plot} draws what --budget_gflops asks for; give both.')
  return sorted(set(budgets))


if __name__ == '__main__':
  define_flags(flags.FLAGS)
  command_line.run('evaluate', main)
