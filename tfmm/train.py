"""Trains a recipe: python -m tfmm.train --gin_file=gin_configs/adamml.gin ...

The same command goes on where a killed run stopped.
"""

import sys

from absl import flags
from absl import logging

from tfmm import command_line


def define_flags(values: flags.FlagValues):
  """Defined when run and not when imported: mains share names of flags."""
  def define(kind, name, default, text, **options):
    kind(name, default, text, flag_values=values, **options)

  define(flags.DEFINE_multi_string, 'gin_file', None,
         'The recipe; repeated, a file that is stronger: gin_configs/data/... for '
         'another corpus.', required=True)
  define(flags.DEFINE_multi_string, 'gin_param', [],
         "'name = value', stronger than the recipe; may be repeated.")
  define(flags.DEFINE_string, 'data_dir', None,
         'Prepared data: the output of beam_pipelines.prepare_videos.')
  define(flags.DEFINE_string, 'model_dir', None,
         'Where the run lives; a killed one goes on from there.')
  define(flags.DEFINE_list, 'init_from', None,
         'Runs to take encoders and classifiers from.')
  flags.DEFINE_enum(
      'stage', 'main', ['main', 'all'],
      'all: first the runs that the recipe starts from (AdaMML: one of each modality), '
      'each under MODEL_DIR/starts, then the recipe from them.', flag_values=values)
  define(flags.DEFINE_multi_string, 'starts_gin_param', [],
         'With --stage=all: --gin_param for the runs that the recipe starts from.')
  define(flags.DEFINE_integer, 'batch_size', None, 'Videos per step.')
  define(flags.DEFINE_integer, 'seed', None, 'Of everything random.')
  define(flags.DEFINE_boolean, 'dry_run', False,
         'One real step of each phase at batch 2, with the sizes of the recipe: '
         'parameters, GFLOPs, peak memory. Saves nothing.')


def main(argv, values: flags.FlagValues = flags.FLAGS):
  if len(argv) > 1:
    sys.exit(f'train: unexpected argument {argv[1]!r}; flags start with --.')
  from tfmm import config
  try:
    _train(config, values)
  except command_line.mistakes() as error:
    sys.exit(f'train: {command_line.one_line(error)}')
  except KeyboardInterrupt:
    sys.stderr.write('\ntrain: interrupted; the same command goes on from the last '
                     'checkpoint.\n')
    sys.exit(130)


def _train(config, values):
  from tfmm.training import loop
  # After the imports, some of which turn on what orbit logs at every loop.
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  model_dir = values.model_dir
  if values.dry_run and model_dir is None:
    model_dir = ''
  init_from = values.init_from and tuple(values.init_from)
  if values.stage == 'all' and init_from:
    raise ValueError('--stage=all makes the runs that --init_from would name; give '
                     'one of the two.')

  def load():
    config.load(
        values.gin_file, values.gin_param, configurable=loop.train, overrides=[
            config.Override('data_dir', 'DATA_DIR', 'data_dir', values.data_dir),
            config.Override('model_dir', 'MODEL_DIR', 'model_dir', model_dir),
            config.Override('init_from', 'INIT_FROM', 'init_from', init_from),
            config.Override(
                'batch_size', 'BATCH_SIZE', 'batch_size', values.batch_size),
            config.Override('seed', 'SEED', 'seed', values.seed)])

  load()
  if values.stage == 'all':
    init_from = _train_starts(config, values, loop)
    load()
  config.call(loop.train, dry_run=values.dry_run, recipe=config.recipe)


def _train_starts(config, values, loop):
  from tfmm.data import dataset
  from tfmm.training import stages
  bound = {name: config.bound(loop.train, name)
           for name in ('starts', 'data_dir', 'model_dir')}
  dataset.load_info(bound['data_dir'])  # a mistake here is told once
  arguments = [f'--gin_file={path}' for path in values.gin_file[1:]
               if config.is_of_data(path)]
  arguments += [f'--gin_param={param}' for param in values.starts_gin_param]
  arguments += [f'--data_dir={bound["data_dir"]}']
  arguments += [f'--{name}={values[name].value}' for name in ('batch_size', 'seed')
                if values[name].value is not None]
  if values.dry_run:
    arguments.append('--dry_run')
  runs = stages.train_starts(
      [config.find_file(path) for path in bound['starts'] or ()],
      bound['model_dir'], arguments,
      say=lambda text: print(text, file=sys.stderr, flush=True))
  return None if values.dry_run else runs


if __name__ == '__main__':
  define_flags(flags.FLAGS)
  command_line.run('train', main)
