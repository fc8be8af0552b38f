"""Exports a run: python -m tfmm.export_model --model_dir=RUN --output_dir=SM

Writes SM/<next version>/: a SavedModel of core TensorFlow operations that takes JPEGs
of frames and of optical flow, and sound, and computes only what the model's gates
open, requests that warm a server up, and the labels. A run on features is served by
the signature `views` alone, which takes features. The result is loaded again and
compared with the run.
"""

import sys

from absl import flags
from absl import logging

from tfmm import command_line


def define_flags(values: flags.FlagValues):
  flags.DEFINE_string('model_dir', None, 'Run directory of tfmm.train.', required=True,
                      flag_values=values)
  flags.DEFINE_string('output_dir', None, 'Numbered versions are written here.',
                      required=True, flag_values=values)
  flags.DEFINE_enum('checkpoint', 'last', ['last', 'best'],
                    'The last checkpoint, or the best validated one of the last stage.',
                    flag_values=values)


def main(argv, values: flags.FlagValues = flags.FLAGS):
  if len(argv) > 1:
    sys.exit(f'export_model: unexpected argument {argv[1]!r}; flags start with --.')
  logging.set_verbosity(logging.WARNING)
  try:
    _export(values)
  except command_line.mistakes() as error:
    sys.exit(f'export_model: {command_line.one_line(error)}')


def _export(values):
  from tfmm import trained_run
  from tfmm.export import saved_model
  run = trained_run.load(values.model_dir, values.checkpoint)
  # How the records or features were made, so that clients can make them as well.
  report = saved_model.export(
      run.model, run.dataset, values.output_dir, labels=run.labels,
      options=run.info['data_options'])
  print(saved_model.describe(report))


if __name__ == '__main__':
  define_flags(flags.FLAGS)
  command_line.run('export_model', main)
