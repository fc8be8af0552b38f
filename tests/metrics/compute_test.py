import numpy as np
import pytest

from tfmm.layers import gflops
from tfmm.metrics import compute
from tfmm.models import base


def macs(count):
  return gflops.MacCount((gflops.OpMacs('conv', 'Conv2D', count),))


COST = base.SegmentCost({'rgb': macs(3e9), 'audio': macs(1e9)}, macs(5e8))
PRESENT = np.array([[[1, 1], [1, 1], [1, 1]], [[1, 0], [1, 0], [0, 0]]], np.float32)
RAN = np.array([[[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 0], [0, 0]]], np.float32)


def test_selection_rate_is_over_segments_that_hold_anything():
  rates = compute.selection_rate(RAN, PRESENT, ('rgb', 'audio'))
  assert rates == pytest.approx({'rgb': 3 / 5, 'audio': 2 / 5})


def test_gflops_by_hand():
  np.testing.assert_allclose(
      compute.video_gflops(RAN, PRESENT, COST, ('rgb', 'audio')),
      [2 * 3 + 2 * 1 + 3 * .5, 3 + 2 * .5])


def test_what_a_video_costs_once():
  cost = base.SegmentCost(COST.modality, COST.overhead, macs(7e9))
  names = ('rgb', 'audio')
  np.testing.assert_allclose(
      compute.video_gflops(RAN, PRESENT, cost, names),
      compute.video_gflops(RAN, PRESENT, COST, names) + 7)
  np.testing.assert_allclose(
      compute.all_modalities_gflops(PRESENT, cost, names), [3 * 3 + 3 * 1, 2 * 3])


def test_all_modalities_pay_no_policy():
  np.testing.assert_allclose(
      compute.all_modalities_gflops(PRESENT, COST, ('rgb', 'audio')),
      [3 * 3 + 3 * 1, 2 * 3])


def test_selection_rates_of_the_paper_give_its_gflops():
  """AdaMML Tables 2 and 3 to 0.02, from the authors' per-segment constants."""
  rgb, flow, audio = 14_135_984_128, 16_338_911_232, 381_739_008
  policy = {'rgb': 375_446_400, 'flow': 909_283_200, 'audio': 381_739_008}
  lstm = 2_359_296
  rows = [({'rgb': .5604, 'flow': .3639}, 151.54),
          ({'rgb': .4461, 'flow': .3740}, 137.03),
          ({'rgb': .5613, 'flow': .2031, 'audio': .9749}, 132.94),
          ({'rgb': .5506, 'flow': .2682, 'audio': .9512}, 141.97)]
  for rates, printed in rows:
    names = tuple(rates)
    cost = base.SegmentCost(
        {m: macs({'rgb': rgb, 'flow': flow, 'audio': audio}[m]) for m in names},
        macs(sum(policy[m] for m in names) + lstm))
    ran = np.array([[list(rates.values())] * 10])
    total = compute.video_gflops(ran, np.ones_like(ran), cost, names)[0]
    assert abs(total - printed) < .02
