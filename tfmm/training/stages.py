"""The runs that a recipe starts from (AdaMML 4.1: one of each modality), one by one.

Each is trained by a process of its own, with the command that a user would call: it
gives all of its memory back, and goes on by itself where it was stopped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

_FOLDER = 'starts'


def directory(model_dir: str, recipe: str) -> str:
  """Where the run of a start lives: 'RUN/starts/rgb' of 'gin_configs/rgb.gin'."""
  name = os.path.basename(recipe).removesuffix('.gin')
  return os.path.join(model_dir, _FOLDER, name)


def train_starts(starts: Sequence[str], model_dir: str, arguments: Sequence[str], *,
                 say: Callable[[str], None]) -> tuple[str, ...]:
  """Trains all starts of a recipe; one that is complete is left as it is.

  Args:
    starts: their recipes.
    model_dir: of the run that starts from them; '' for a dry run.
    arguments: further arguments of `python -m tfmm.train`.
    say: shows a line to the user.

  Returns:
    The runs' directories, for `init_from`.

  Raises:
    ValueError: there are none, or two have one name.
    OSError: one has failed; it has told why.
  """
  if not starts:
    raise ValueError(
        'the recipe starts from no other runs (loop.train.starts is empty), so there '
        'is one stage; leave --stage=all out.')
  runs = tuple(directory(model_dir, recipe) for recipe in starts)
  if len(set(runs)) < len(runs):
    raise ValueError(
        f'loop.train.starts names two recipes of one file name: {tuple(starts)}; '
        'rename one.')
  def tell(number: int, what: str, where: str):
    # A dry run leaves nothing anywhere.
    say(f'stage {number} of {len(starts) + 1}: {what}' + (
        f' -> {where}' if model_dir else ''))

  for number, (recipe, run) in enumerate(zip(starts, runs), 1):
    tell(number, recipe, run)
    done = subprocess.run(
        [sys.executable, '-m', 'tfmm.train', f'--gin_file={recipe}',
         f'--model_dir={run}', *arguments], check=False)
    if done.returncode:
      raise OSError(
          f'{recipe} ended with exit code {done.returncode}, see above; the same '
          'command goes on from there.')
  tell(len(starts) + 1, 'the recipe itself', model_dir)
  return runs
