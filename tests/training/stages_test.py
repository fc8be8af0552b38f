import subprocess
import sys

import pytest

from tfmm.training import stages


@pytest.fixture(name='commands')
def commands_fixture(monkeypatch):
  """What is run; a recipe named 'broken' fails."""
  found = []

  def run(command, check):
    assert not check
    found.append(command)
    return subprocess.CompletedProcess(command, int('broken' in command[3]))

  monkeypatch.setattr(subprocess, 'run', run)
  return found


def test_each_start_has_its_command_and_its_directory(commands):
  lines = []
  runs = stages.train_starts(
      ('gin_configs/rgb.gin', 'elsewhere/audio.gin'), 'RUN', ['--data_dir=D'],
      say=lines.append)
  assert runs == ('RUN/starts/rgb', 'RUN/starts/audio')
  assert commands == [
      [sys.executable, '-m', 'tfmm.train', f'--gin_file={recipe}',
       f'--model_dir={run}', '--data_dir=D']
      for recipe, run in zip(('gin_configs/rgb.gin', 'elsewhere/audio.gin'), runs)]
  assert lines[0] == 'stage 1 of 3: gin_configs/rgb.gin -> RUN/starts/rgb'
  assert lines[2] == 'stage 3 of 3: the recipe itself -> RUN'


def test_a_dry_run_names_no_directory(commands):
  lines = []
  stages.train_starts(('a.gin',), '', ['--dry_run'], say=lines.append)
  assert lines == ['stage 1 of 2: a.gin', 'stage 2 of 2: the recipe itself']
  assert len(commands) == 1


def test_a_start_that_fails_ends_it(commands):
  with pytest.raises(OSError, match='broken.gin ended with exit code 1, see above'):
    stages.train_starts(('broken.gin', 'b.gin'), 'RUN', (), say=lambda text: None)
  assert len(commands) == 1


def test_starts_that_make_no_sense(commands):
  with pytest.raises(ValueError, match='leave --stage=all out'):
    stages.train_starts((), 'RUN', (), say=lambda text: None)
  with pytest.raises(ValueError, match='two recipes of one file name'):
    stages.train_starts(('a/x.gin', 'b/x.gin'), 'RUN', (), say=lambda text: None)
  assert not commands
