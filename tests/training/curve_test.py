import pytest

from tfmm.training import curve

METRICS = {'gflops_per_video': 3., 'mAP': .9, 'budgets': [
    {'gflops_per_video': 1., 'mAP': .5}, {'gflops_per_video': 2., 'mAP': .8}]}


@pytest.mark.parametrize('ending, start', [
    ('.png', b'\x89PNG'), ('.pdf', b'%PDF'), ('.svg', b'<?xml')])
def test_draws(tmp_path, ending, start):
  path = tmp_path / f'curve{ending}'
  curve.draw(str(path), {'hms': METRICS, 'uniform': {**METRICS, 'mAP': .7}})
  content = path.read_bytes()
  assert content.startswith(start) and len(content) > 1000


def test_unknown_ending(tmp_path):
  with pytest.raises(ValueError, match='curve.doc does not end with one of .png'):
    curve.draw(str(tmp_path / 'curve.doc'), {'hms': METRICS})
