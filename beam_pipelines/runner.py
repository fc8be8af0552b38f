"""What the pipelines' commands share: Beam's options, and mistakes told in one line.

Import it before Beam itself, whose optional parts complain when they are loaded.
"""

import difflib
import logging
import sys
import warnings
from collections.abc import Callable

# Beam's optional Google clients complain at import; nothing here needs them.
warnings.filterwarnings('ignore', category=FutureWarning, module=r'google\..*')
# A job service's messages, which hold tracebacks, also arrive as an exception.
logging.getLogger().addFilter(lambda record: 'crcmod' not in str(record.msg)
                              and record.module != 'portable_runner')

# pylint: disable=wrong-import-position
from absl import flags
from absl import logging as absl_logging
import apache_beam as beam
from apache_beam.options import pipeline_options

from beam_pipelines import watchdog

_LOCAL_DEFAULTS = ('--direct_running_mode=multi_threading', '--direct_num_workers=2')
# All code is in modules, and each thread of a worker has a decoding process of its own.
_DATAFLOW_DEFAULTS = ('--no_save_main_session', '--number_of_worker_harness_threads=1')

# They log with a traceback what also arrives as an exception, which we tell.
_TALKERS = ('apache_beam.runners.worker', 'apache_beam.runners.portability',
            'apache_beam.runners.common', 'google.auth', 'apache_beam.internal.gcp')

_Parser = pipeline_options._BeamArgumentParser  # pylint: disable=protected-access


class _BeamParser(_Parser):
  """Says a mistake in one line, without the usage of a hundred options."""

  def error(self, message):
    raise ValueError(f'{message} (an option of Beam).')


def beam_arguments(command: str, arguments: list[str]) -> list[str]:
  """Checks what is left for Beam and adds our defaults.

  Args:
    command: Whose arguments they are, for messages.
    arguments: Those that are no flags of the command.

  Raises:
    ValueError: On an option that neither the command nor Beam knows, a value that Beam
      does not take, or a runner that loses data.
  """
  parser = _BeamParser(allow_abbrev=False, add_help=False)
  for options in pipeline_options.PipelineOptions.__subclasses__():
    options._add_argparse_args(parser)  # pylint: disable=protected-access
  known, unknown = parser.parse_known_args(arguments)
  if unknown:
    ours = [f'--{name}' for name in flags.FLAGS]
    theirs = list(parser._option_string_actions)  # pylint: disable=protected-access
    near = difflib.get_close_matches(unknown[0].split('=')[0], ours + theirs, n=1)
    raise ValueError(
        f'{unknown[0]} is an option neither of {command} nor of Beam'
        + (f'; did you mean {near[0]}?' if near else '; see --help.'))
  given = vars(known)
  runner = given.get('runner') or ''
  if 'dask' in runner.lower():
    raise ValueError(
        f"runner {runner} is refused: of several outputs Beam's DaskRunner writes only "
        'one and reports success. Use FnApiRunner, DataflowRunner, or PortableRunner.')
  added = []
  if not runner:
    added.append('--runner=FnApiRunner')
  defaults = {'': _LOCAL_DEFAULTS, 'FnApiRunner': _LOCAL_DEFAULTS,
              'DataflowRunner': _DATAFLOW_DEFAULTS}.get(runner, ())
  text = ' '.join(arguments)
  added += [option for option in defaults if _stem(option) not in text]
  return [*arguments, *added]


def _stem(option):
  """The name of an option, without the `no_` of a switch."""
  return option.split('=')[0].removeprefix('--').removeprefix('no_')


def make_pipeline(command: str, arguments: list[str]) -> tuple[beam.Pipeline, bool]:
  """A pipeline with the options of a command line, and whether it is a dry run.

  To be called before anything is touched: it refuses bad options and addresses where
  nobody answers, and remote files are read with these options.
  """
  options = pipeline_options.PipelineOptions(beam_arguments(command, arguments))
  pipeline = beam.Pipeline(options=options)
  dry_run = options.view_as(pipeline_options.TestOptions).dry_run
  if dry_run and 'dataflow' not in type(pipeline.runner).__name__.lower():
    raise ValueError('--dry_run is for DataflowRunner; other runners would run all.')
  watchdog.check_endpoints(options)
  return pipeline, dry_run


def say(text: str):
  """A line for the user."""
  print(text, file=sys.stderr, flush=True)


def guarded(run: Callable[[list[str]], int], argv: list[str]) -> int:
  """`run(arguments for Beam)`; a mistake is one line and exit code 1, no traceback."""
  if not flags.FLAGS['verbosity'].present:
    absl_logging.set_verbosity(absl_logging.WARNING)  # Beam tells much at INFO
    for name in _TALKERS:
      logging.getLogger(name).setLevel(logging.CRITICAL)
  try:
    return run(argv[1:])
  except (ValueError, OSError) as error:
    say(f'error: {" ".join(str(error).split())}')
  except KeyboardInterrupt:
    say('stopped; finished shards are kept: the same command goes on from there.')
    return 130
  except Exception as error:  # pylint: disable=broad-exception-caught
    logging.debug('the pipeline stopped', exc_info=True)
    say(f'error: the pipeline stopped: {_cause(error)} (finished shards are kept: the '
        'same command goes on; --verbosity=1 shows more)')
  return 1


def _cause(error: Exception) -> str:
  """One line: the first of a message, but the last of a worker's traceback."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  if not lines[0].startswith('Traceback'):
    return lines[0]
  return lines[-1].removeprefix('RuntimeError: ')


def parse_flags(argv: list[str]) -> list[str]:
  """Parses our flags; returns the program's name and what is left for Beam."""
  flags.FLAGS.set_gnu_getopt(True)
  try:
    return flags.FLAGS(argv, known_only=True)
  except flags.Error as error:
    say(f'error: {" ".join(str(error).split())} (--help shows all flags)')
    sys.exit(1)
