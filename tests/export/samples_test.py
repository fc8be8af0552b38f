"""Made-up requests."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfmm.export import record as serving_record
from tfmm.export import samples

_RECORD = serving_record.ServingRecord(
    labels=('a', 'b'), modalities=('rgb', 'audio'), sources=('image', 'waveform'),
    num_segments=3, segment_frames=4, frame_rate=10., short_side=24,
    pictures=(
        serving_record.PictureInput(
            name='image', reads='jpegs', offsets=(0, 2), run=None),
        serving_record.PictureInput(
            name='flow', reads='flow', offsets=(0, 2), run=5)),
    sample_rate=8000, seconds=.16, samples=1280)


def test_all_present_first_then_each_modality_missing():
  present = np.array([r['present'][0, 0] for r in samples.requests(_RECORD)])
  np.testing.assert_array_equal(present, [[1, 1], [1, 1], [1, 1], [0, 1], [1, 0]])


def test_pictures_and_sounds_have_the_sizes_of_the_record():
  requests = list(samples.requests(_RECORD))
  for request in requests:
    assert request['present'].shape == (1, 3, 2)
    assert request['image'].shape == (1, 3, 2)
    assert request['flow'].shape == (1, 3, 2, 5)
    for jpeg in request['image'][0, 2, 1], request['flow'][0, 2, 1, 4]:
      assert tf.io.decode_jpeg(jpeg).shape == (24, 32, 3)
    assert request['waveform'].shape == (1, 3, 1280)
    assert request['waveform'].dtype == np.float32
    assert abs(request['waveform']).max() <= .5
  assert len({r['image'][0, 0, 0] for r in requests}) == len(requests)
  assert not requests[2]['waveform'].any()  # the black one is silent


@pytest.mark.parametrize('fields, missing', [
    ({'pictures': _RECORD.pictures[1:]}, 'image'),
    ({'pictures': _RECORD.pictures[:1]}, 'flow'), ({'samples': 0}, 'waveform')])
def test_only_what_the_model_takes(fields, missing):
  record = dataclasses.replace(_RECORD, **fields)
  assert missing not in next(samples.requests(record))


def test_features_and_budgets():
  record = serving_record.ServingRecord(
      labels=('a', 'b'), modalities=('rgb',), sources=(), num_segments=3,
      segment_frames=0, frame_rate=0., short_side=0, least_budget=.5,
      features={'rgb': {'dimensions': 7}, 'rgb_preview': {'dimensions': 2}})
  requests = list(samples.requests(record))
  assert len(requests) == 4
  for request in requests:
    assert {k: v.shape for k, v in request.items()} == {
        'rgb': (1, 3, 7), 'rgb_preview': (1, 3, 2), 'present': (1, 3, 1),
        'budget_gflops': (1,)}
    assert all(v.dtype == np.float32 for v in request.values())
    assert request['budget_gflops'] == np.inf
  two = samples.limited(requests[0], np.array([9.], np.float32))
  np.testing.assert_allclose(two['budget_gflops'], [3, 6])
  np.testing.assert_array_equal(two['rgb'][1], requests[0]['rgb'][0])


def test_a_seed_gives_the_same_requests():
  one, two = (list(samples.requests(_RECORD, seed=4)) for _ in range(2))
  for a, b in zip(one, two, strict=True):
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])
  other = next(samples.requests(_RECORD, seed=5))
  assert (other['waveform'] != one[0]['waveform']).any()
