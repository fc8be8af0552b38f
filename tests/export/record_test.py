"""The file beside an export, and which pictures it asks a client for."""

import dataclasses
import json
import os

import numpy as np
import pytest

from tfmm.export import record as serving_record

_FLOW = serving_record.PictureInput(
    name='flow', reads='flow', offsets=(0, 4), run=3)
_RECORD = serving_record.ServingRecord(
    labels=('a', 'b'), modalities=('flow',), sources=('flow',), num_segments=3,
    segment_frames=8, frame_rate=10., short_side=24, flow='dis_fast', pictures=(_FLOW,))


def test_written_and_read(tmp_path):
  serving_record.write(str(tmp_path), _RECORD)
  assert serving_record.read(str(tmp_path)) == _RECORD


@pytest.mark.parametrize('change, says', [
    (lambda values: values.pop('labels'), "no entry 'labels'"),
    (lambda values: values.update(more=1, tfmm_version='9'),
     r"unknown entries \['more'\].*tfmm 9"),
    (lambda values: values['pictures'][0].pop('run'), "no entry 'run'"),
    (lambda values: values['pictures'][0].update(zoom=1), r"entries \['zoom'\]")])
def test_other_entries(tmp_path, change, says):
  serving_record.write(str(tmp_path), _RECORD)
  path = serving_record.path_of(str(tmp_path))
  with open(path) as f:
    values = json.load(f)
  change(values)
  with open(path, 'w') as f:
    json.dump(values, f)
  with pytest.raises(ValueError, match=says):
    serving_record.read(os.fspath(tmp_path))


def test_budgets():
  _RECORD.check_budget(float('inf'))
  with pytest.raises(ValueError, match='takes no budget_gflops'):
    _RECORD.check_budget(80.)
  steps = dataclasses.replace(_RECORD, least_budget=float(np.float32(.0712341)))
  steps.check_budget(float('inf'))
  steps.check_budget(.0712341)  # the nearest float32 is the same
  for least in .0712, float('nan'), -1.:
    with pytest.raises(ValueError, match='give 0.07124 or more'):
      steps.check_budget(least)
  steps.check_budget(.07124)


@pytest.mark.parametrize('value, text', [
    (.0712341, '0.07124'), (1.9170001905877143e-06, '1.918e-06'), (80., '80'),
    (79.999, '80'), (12345.6, '1.235e+04')])
def test_what_messages_ask_for_is_enough(value, text):
  assert serving_record.rounded_up(value) == text and float(text) >= value


def test_pictures_of_segments():
  np.testing.assert_array_equal(
      _FLOW.indices([0, 5], 11),
      [[[0, 1, 2], [4, 5, 6]], [[5, 6, 7], [9, 10, 10]]])
  image = serving_record.PictureInput(
      name='image', reads='jpegs', offsets=(0, 4), run=None)
  assert image.shape == (2,) and _FLOW.shape == (2, 3)
  np.testing.assert_array_equal(image.indices([0, 5], 7), [[0, 4], [5, 6]])
  assert _RECORD.sees('flow') and not _RECORD.sees('jpegs')
