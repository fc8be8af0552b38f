"""What the mains share: a quiet start, and one line for a mistaken flag."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence

from absl import app
from absl import flags


def run(name: str, main: Callable[[Sequence[str]], int | None]):
  """Parses the flags, runs `main(arguments)` and ends with its exit code.

  Args:
    name: of the command, for messages.
    main: imports TensorFlow inside, so that help and mistakes answer at once.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  logging.getLogger('tensorflow').setLevel(logging.ERROR)
  warnings.filterwarnings('ignore', category=FutureWarning, module='google.*')
  app.run(lambda arguments: guarded(name, main, arguments),
          flags_parser=lambda argv: parse(name, argv))


def guarded(name: str, main: Callable[[Sequence[str]], int | None],
            arguments: Sequence[str]) -> int | None:
  """`main(arguments)`; Ctrl-C and a reader that went away cost no traceback."""
  try:
    result = main(arguments)
    sys.stdout.flush()
    return result
  except KeyboardInterrupt:
    sys.stderr.write(f'\n{name}: interrupted.\n')
    return 130  # as shells count SIGINT
  except BrokenPipeError:
    # As in `predict ... | head`. What is still buffered must not fail at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # as shells count SIGPIPE


def parse(name: str, argv: Sequence[str], values: flags.FlagValues = flags.FLAGS
          ) -> list[str]:
  """Arguments that are no flags, after the program's name; exits 1 on a mistake."""
  try:
    return values(argv)
  except flags.Error as error:
    sys.exit(f'{name}: {" ".join(str(error).split())} (--help shows all flags)')


def mistakes() -> tuple[type[BaseException], ...]:
  """What a main tells in one line: input that the user can mend, files, and data.

  TensorFlow's errors of files and records count once TensorFlow is there to raise
  them.
  """
  tensorflow = sys.modules.get('tensorflow')
  theirs = (tensorflow.errors.OpError,) if hasattr(tensorflow, 'errors') else ()
  return ValueError, OSError, *theirs


def one_line(error: BaseException) -> str:
  """An error's message without the account of calls that gin and graphs add."""
  text = str(error).split('\n  In call to configurable')[0]
  text = re.sub(r'\{\{.*?\}\}|\[\[.*?\]\]|\[Op:\w+\]( name:)?', '', text)
  return ' '.join(text.split()) or type(error).__name__
