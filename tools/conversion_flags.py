"""Command lines of the tools that convert weights; help comes without TensorFlow."""

import os
import sys
from collections.abc import Callable, Sequence

from absl import flags
from tfmm import command_line


def define_flags(values: flags.FlagValues, *, needs_recipe: bool = True):
  """Flags that all conversions have."""
  def define(kind, name, default, text, **options):
    kind(name, default, text, flag_values=values, **options)

  define(flags.DEFINE_string, 'output_dir', None, 'Run directory to write.',
         required=True)
  define(flags.DEFINE_multi_string, 'gin_file', None,
         'The recipe; repeated, a file that is stronger.'
         + ('' if needs_recipe else " By default the one of the file's modalities."),
         required=needs_recipe)
  define(flags.DEFINE_multi_string, 'gin_param', [],
         "'name = value', stronger than the recipe; may be repeated.")
  define(flags.DEFINE_string, 'data_dir', None,
         'Prepared data, whose classes the run gets.')
  define(flags.DEFINE_string, 'labels', None,
         'Text file of class names, one a line. With --data_dir too, these are the '
         'classes of the weights in their order, and the run gets the order of the '
         'data.')


def run(argv: Sequence[str], command: str,
        convert: Callable[[str, flags.FlagValues], None], values: flags.FlagValues):
  """Converts the file of a command line; a mistake is one line and exit code 1."""
  try:
    convert(_the_file(argv, command), values)
  except command_line.mistakes() as error:
    sys.exit(f'{command}: {command_line.one_line(error)}')


def _the_file(argv: Sequence[str], command: str) -> str:
  """The only argument that is no flag."""
  if len(argv) != 2:
    raise ValueError(
        f'{len(argv) - 1} files given; usage: python tools/{command}.py MODEL.pth '
        '--output_dir=RUN')
  if not os.path.isfile(argv[1]):
    raise OSError(f'there is no file {argv[1]}; give the path of a PyTorch file.')
  return argv[1]
