"""Tests of tools/count_flops.py."""

import count_flops


def test_all_constants_of_the_authors_are_met(capsys):
  assert count_flops.main([]) == 0
  lines = capsys.readouterr().out.splitlines()
  rows = {line[:40].strip(): line[40:].split() for line in lines}
  assert rows['RGB ResNet-50, 8x224x224'][:2] == ['14,135,984,128'] * 2
  assert rows['RGB + audio: policy'] == [
      '759,544,704', '759,544,704', '768,987,008', '7.5954']
  # Table 1 prints 145.17 for weighted fusion.
  assert rows['RGB + audio: weighted fusion'][-1] == '145.1772'
