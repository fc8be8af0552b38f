"""Tests of extract_features from the command line, killed and not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.beam_pipelines import tiny_extraction

_ROOT = Path(__file__).resolve().parents[2]
_bytes = tiny_extraction.contents


def _call(command, *arguments):
  done = subprocess.run([sys.executable, '-m', f'beam_pipelines.{command}', *arguments],
                        cwd=_ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  return done


def _command(data_dir, out, encoder):
  return [f'--data_dir={data_dir}', f'--output_dir={out}', f'--encoder={encoder}',
          '--steps=4', '--size=16', '--short_side=24', '--batch_size=2']


@pytest.mark.slow
def test_killed_run_goes_on_and_ends_the_same(data_dir, tmp_path):
  encoder = 'new:resnet.ResNet(depth=18, width=4, num_frames=None, size=16)'
  process = subprocess.Popen(
      [sys.executable, '-m', 'beam_pipelines.extract_features',
       *_command(data_dir, tmp_path / 'out', encoder)], cwd=_ROOT,
      stderr=subprocess.PIPE)
  try:
    deadline = time.monotonic() + 120
    while not list((tmp_path / 'out').glob('t*.json')):
      assert process.poll() is None and time.monotonic() < deadline
      time.sleep(.002)
  finally:
    process.kill()  # SIGKILL; nothing if it has just ended
    process.communicate()
  kept = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').glob('t*.json')}
  assert 0 < len(kept) < 5 and not (tmp_path / 'out' / 'COMPLETED').exists()
  done = _call('extract_features', *_command(data_dir, tmp_path / 'out', encoder))
  assert 'Traceback' not in done.stderr and 'Exception' not in done.stderr
  assert {p: p.stat().st_mtime_ns for p in kept} == kept
  _call('extract_features', *_command(data_dir, tmp_path / 'whole', encoder),
        '--direct_running_mode=multi_processing', '--direct_num_workers=2')
  assert _bytes(tmp_path / 'out') == _bytes(tmp_path / 'whole')


def test_flags_answer_without_tensorflow():
  code = ('import sys; import beam_pipelines.extract_features; '
          'print("tensorflow" in sys.modules)')
  run = subprocess.run([sys.executable, '-c', code], cwd=_ROOT, capture_output=True,
                       text=True, check=True)
  assert run.stdout.strip() == 'False' and run.stderr == ''


@pytest.mark.parametrize('arguments, says', [
    (['--data_dir=D'], 'Flag --output_dir must have a value other than None'),
    (['--data_dir=D', '--output_dir=F', '--encoder=E', '--steps=1', '--seconds=1'],
     'error: --seconds has no effect with --encoder=E')])
def test_mistaken_flags_are_one_line(arguments, says):
  run = subprocess.run(
      [sys.executable, '-m', 'beam_pipelines.extract_features', *arguments],
      cwd=_ROOT, capture_output=True, text=True, check=False)
  assert run.returncode == 1 and says in run.stderr
  assert len(run.stderr.splitlines()) == 1
