"""Trains a recipe: python -m tfmm.train --gin_file=gin_configs/adamml.gin ...

The same command goes on where a killed run stopped.
"""

import os
import sys
import warnings

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
warnings.filterwarnings('ignore', category=FutureWarning, module='google.*')

from absl import app  # pylint: disable=wrong-import-position
from absl import flags  # pylint: disable=wrong-import-position
from absl import logging  # pylint: disable=wrong-import-position

FLAGS = flags.FLAGS

_GIN_FILE = flags.DEFINE_string('gin_file', None, 'The recipe.', required=True)
_GIN_PARAM = flags.DEFINE_multi_string(
    'gin_param', [], "'name = value', stronger than the recipe; may be repeated.")
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Prepared data: the output of beam_pipelines.prepare_videos.')
_MODEL_DIR = flags.DEFINE_string(
    'model_dir', None, 'Where the run lives; a killed one goes on from there.')
_INIT_FROM = flags.DEFINE_list(
    'init_from', None, 'Runs to take encoders and classifiers from.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', None, 'Videos per step.')
_SEED = flags.DEFINE_integer('seed', None, 'Of everything random.')
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'One real step of each phase at batch 2, with the sizes of the '
    'recipe: parameters, GFLOPs, peak memory. Saves nothing.')


def main(argv):
  if len(argv) > 1:
    sys.exit(f'train: unexpected argument {argv[1]!r}; flags start with --.')
  from tfmm import config
  try:
    _train(config)
  except (ValueError, OSError) as error:
    sys.exit(f'train: {config.one_line(error)}')
  except KeyboardInterrupt:
    sys.stderr.write('\ntrain: interrupted; the same command goes on from the last '
                     'checkpoint.\n')
    sys.exit(130)


def _train(config):
  from tfmm.training import loop
  # After the imports, some of which turn on what orbit logs at every loop.
  if not FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  model_dir = _MODEL_DIR.value
  if _DRY_RUN.value and model_dir is None:
    model_dir = ''
  init_from = _INIT_FROM.value and tuple(_INIT_FROM.value)
  config.load(
      _GIN_FILE.value, _GIN_PARAM.value, configurable=loop.train, overrides=[
          config.Override('data_dir', 'DATA_DIR', 'data_dir', _DATA_DIR.value),
          config.Override('model_dir', 'MODEL_DIR', 'model_dir', model_dir),
          config.Override('init_from', 'INIT_FROM', 'init_from', init_from),
          config.Override('batch_size', 'BATCH_SIZE', 'batch_size', _BATCH_SIZE.value),
          config.Override('seed', 'SEED', 'seed', _SEED.value)])
  config.call(loop.train, dry_run=_DRY_RUN.value, recipe=config.recipe)


if __name__ == '__main__':
  app.run(main)
