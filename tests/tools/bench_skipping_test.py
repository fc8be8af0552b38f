"""Tests of tools/bench_skipping.py at a size that says nothing about time."""

import bench_skipping
import numpy as np
import pytest

TINY = ['--batch_size=1', '--num_segments=4', '--num_frames=1', '--depth=18',
        '--size=32', '--preview_size=32', '--spectrogram_size=32', '--repeats=1']


def test_prints_a_row_for_every_rate(capsys):
  assert bench_skipping.main([*TINY, '--tolerance=100']) == 0
  lines = capsys.readouterr().out.splitlines()
  rows = [line.split() for line in lines if '%' in line]
  assert [row[0] for row in rows] == ['0%', '25%', '50%', '75%', '100%']
  assert float(rows[-1][3]) == 1.0
  counted = [float(row[3]) for row in rows]
  # The policy's share is spent at 0 %, the rest is proportional.
  np.testing.assert_allclose(np.diff(counted), (1 - counted[0]) / 4, atol=2e-3)


def test_gates_are_open_at_the_rate_in_each_modality():
  for rate in bench_skipping.RATES:
    gates = bench_skipping.make_gates(rate, 2, 10, 3)
    np.testing.assert_array_equal(gates.sum(axis=(0, 1)), [rate / 5] * 3)


@pytest.mark.parametrize('argument, says', [
    ('--repeats=0', 'repeats=0 is below 1'), ('--depth=19', 'use 18, 34, 50')])
def test_mistakes_are_one_line(argument, says):
  with pytest.raises(SystemExit, match=f'bench_skipping: .*{says}'):
    bench_skipping.main([*TINY, argument])
