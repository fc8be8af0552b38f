"""Tests of tools/bench_adamml.py."""

import argparse

import bench_adamml
import pytest

from tfmm.encoders import mobilenet
from tfmm.encoders import resnet


def test_each_step_can_be_taken(monkeypatch):
  monkeypatch.setattr(
      mobilenet, 'STAGES', ((1, 16, 1, 2, False), (6, 24, 1, 2, True)))
  monkeypatch.setitem(resnet.DEPTHS, 50, ((1, 1, 1, 1), True))
  steps = bench_adamml._tfmm_steps(
      argparse.Namespace(batch_size=2, videos=1, size=32))
  for what in ('recognition', 'policy', 'skipping', 'dense', 'skipping'):
    steps[what]()


class FakeSide:
  """Answers with what `answers` has for it."""

  answers = {}

  def __init__(self, name, options):
    del options
    self.name = name

  def ask(self, what):
    return {'seconds': self.answers[self.name, what], 'gib': 8.5}

  def close(self):
    pass


@pytest.mark.parametrize('skipping, code', [(.51, 0), (.53, 1)])
def test_goals_decide_the_exit_code(monkeypatch, capsys, skipping, code):
  FakeSide.answers = {
      ('tfmm', 'recognition'): 24., ('tfmm', 'policy'): 20., ('tfmm', 'dense'): 10.,
      ('tfmm', 'skipping'): 10 * skipping, ('torch', 'recognition'): 25.,
      ('torch', 'policy'): 24., ('torch', 'dense'): 12.}
  monkeypatch.setattr(bench_adamml, 'Side', FakeSide)
  assert bench_adamml.main([]) == code
  said = capsys.readouterr().out
  assert 'step: 24 core-seconds, goal at most 25.0: met' in said
  assert ('MISSED' in said) == bool(code)
  assert f'{10 * skipping / 12:.3f} of PyTorch' in said
  assert bench_adamml.main(['--ours']) == code
  assert 'PyTorch' not in capsys.readouterr().out


def test_a_side_that_cannot_start_is_one_line(monkeypatch):
  monkeypatch.setattr(bench_adamml.os.path, 'abspath', lambda path: 'no_file.py')
  with pytest.raises(SystemExit, match='bench_adamml: the tfmm process ended with'):
    bench_adamml.main(['--ours', '--repeats=1'])
  with pytest.raises(SystemExit, match='--repeats=0 is below 1'):
    bench_adamml.main(['--repeats=0'])
