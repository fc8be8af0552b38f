"""Tests of tools/count_flops.py."""

import pytest

import count_flops


@pytest.fixture(scope='module')
def counts():
  return count_flops.count()


def test_all_constants_of_the_authors_are_met(monkeypatch, capsys, counts):
  monkeypatch.setattr(count_flops, 'count', lambda: counts)
  assert count_flops.main([]) == 0
  lines = capsys.readouterr().out.splitlines()
  rows = {line[:40].strip(): line[40:].split() for line in lines}
  assert rows['RGB ResNet-50, 8x224x224'][:2] == ['14,135,984,128'] * 2
  assert rows['RGB + audio: policy'] == [
      '759,544,704', '759,544,704', '768,987,008', '7.5954']
  # Table 1 prints 145.17 for weighted fusion.
  assert rows['RGB + audio: weighted fusion'][-1] == '145.1772'
  follow = {name for name, row in rows.items()
            if name.startswith('Table') and 'follow:' not in row}
  assert follow == {'Table 2, AdaMML-Flow', 'Table 2, AdaMML-RGBDiff',
                    'Table 3, AdaMML-Flow', 'Table 3, AdaMML-RGBDiff'}


def by_hand(rates, proxy):
  """The authors' flops_computation, with its constants, for 10 segments."""
  main = {'rgb': 14135984128, 'flow': 16338911232, 'audio': 381739008}
  policy = {'rgb': 375446400, 'flow': 909283200, 'audio': 381739008}
  total = sum(10 * (main[m] * rate / 100 + policy[m]) for m, rate in rates.items())
  return (total + 10 * 2359296) / 1e9


@pytest.mark.parametrize('row', count_flops.PAPER_ROWS, ids=lambda row: row.name)
def test_totals_of_tables_1_to_3(row, counts):
  official = count_flops.paper_gflops(row, counts, official=True)
  assert official == pytest.approx(by_hand(row.rates, row.proxy), abs=1e-9)
  # Two printed figures do not follow from the printed rates.
  off = {76.45: .429, 94.01: 23.523}.get(row.printed)
  if off is None:
    assert abs(official - row.printed) <= count_flops.PRINTED_TO
  else:
    assert official - row.printed == pytest.approx(off, abs=.001)


def test_a_look_at_motion_costs_less_than_it_is_charged(counts):
  as_run = {row.printed: count_flops.paper_gflops(row, counts, official=False)
            for row in count_flops.PAPER_ROWS}
  expected = {76.45: 76.879, 94.01: 117.533, 151.54: 146.72, 137.03: 132.59,
              132.94: 128.12, 141.97: 137.52}
  assert as_run == pytest.approx(expected, abs=.006)
