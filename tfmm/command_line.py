"""What the mains share: a quiet start, and one line for a mistaken flag."""

from __future__ import annotations

import os
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
  warnings.filterwarnings('ignore', category=FutureWarning, module='google.*')
  app.run(main, flags_parser=lambda argv: parse(name, argv))


def parse(name: str, argv: Sequence[str], values: flags.FlagValues = flags.FLAGS
          ) -> list[str]:
  """Arguments that are no flags, after the program's name; exits 1 on a mistake."""
  try:
    return values(argv)
  except flags.Error as error:
    sys.exit(f'{name}: {" ".join(str(error).split())} (--help shows all flags)')
