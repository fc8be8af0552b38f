"""Tests of beam_pipelines.feature_records: batches across videos, and one record."""

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import feature_records
from beam_pipelines import feature_rows


def _video(name, steps, labels=(1,)):
  return feature_rows.Video(
      media_id=name.encode(), data_path=b'path/' + name.encode(),
      label_index=list(labels), label_text=[b'abc'[k:k + 1] for k in labels], start=0,
      end=1_000_000, times=[100 * k for k in range(steps)])


def _chunks(videos, size=2):
  """Row k of all rows is the number k."""
  number = 0
  for name, present in videos:
    video = _video(name, len(present))
    for k in range(0, len(present), size):
      there = np.array(present[k:k + size], np.float32)
      rows = np.arange(number, number + len(there), dtype=np.float32)[:, None]
      number += len(there)
      yield feature_rows.Chunk(video, rows, there)


class _Encode:
  """x -> (x, -x); notes the batches."""

  def __init__(self):
    self.batches = []

  def __call__(self, rows):
    self.batches.append(rows[:, 0].tolist())
    return np.concatenate([rows, -rows], 1)


def _run(videos, batch_size, size=2):
  encode = _Encode()
  done = list(feature_records.encode_videos(
      _chunks(videos, size), encode, dimensions=2, batch_size=batch_size))
  return done, encode.batches


@pytest.mark.parametrize('batch_size', [1, 2, 3, 4, 7, 100])
@pytest.mark.parametrize('size', [1, 2, 5])
def test_batches_span_videos_and_order_is_kept(batch_size, size):
  videos = [('a', [1] * 5), ('b', [1]), ('c', [1] * 3), ('d', [1] * 2)]
  done, batches = _run(videos, batch_size, size)
  assert [x for batch in batches for x in batch] == list(range(11))
  assert {len(batch) for batch in batches[:-1]} <= {batch_size}
  assert [f.video.media_id for f in done] == [b'a', b'b', b'c', b'd']
  rows = np.concatenate([f.floats for f in done])
  np.testing.assert_array_equal(rows[:, 0], np.arange(11))
  np.testing.assert_array_equal(rows[:, 1], -np.arange(11))
  assert [len(f.present) for f in done] == [5, 1, 3, 2]


def test_what_is_not_present_is_not_encoded():
  videos = [('a', [0, 0]), ('b', [1, 0, 1, 0, 0]), ('c', [0]), ('d', [1, 1]),
            ('e', [0, 0, 0])]
  done, batches = _run(videos, 3)
  assert batches == [[2, 4, 8], [9]]
  assert [f.video.media_id for f in done] == [b'a', b'b', b'c', b'd', b'e']
  assert done[1].present.tolist() == [1, 0, 1, 0, 0]
  assert done[1].floats[:, 0].tolist() == [2, 0, 4, 0, 0]
  assert not done[0].floats.any() and not done[4].present.any()


def test_numbers_that_are_none_count_as_missing():
  chunks = list(_chunks([('a', [1, 1, 1])], size=3))
  [done] = feature_records.encode_videos(
      chunks, lambda rows: np.array([[1, 2], [np.nan, 2], [np.inf, 0]], np.float32),
      dimensions=2, batch_size=8)
  assert done.present.tolist() == [1, 0, 0] and done.not_finite == 2
  assert done.floats.tolist() == [[1, 2], [0, 0], [0, 0]]


def test_a_record_has_the_keys_of_media_sequence():
  features = feature_records.Features(
      _video('v.mp4#1-2', 2, labels=(0, 2)), np.array([[1, 2], [3, 4]], np.float32),
      np.array([1, 0]), 0)
  example = tf.train.SequenceExample.FromString(
      feature_records.record(features, 'MOTION', 2.0))
  assert example.SerializeToString(deterministic=True) == (
      feature_records.record(features, 'MOTION', 2.0))
  context = {key: [*f.bytes_list.value, *f.int64_list.value, *f.float_list.value]
             for key, f in example.context.feature.items()}
  assert context == {
      'example/id': [b'v.mp4#1-2'], 'clip/media_id': [b'v.mp4#1-2'],
      'clip/data_path': [b'path/v.mp4#1-2'],
      'clip/start/timestamp': [0], 'clip/end/timestamp': [1_000_000],
      'clip/label/index': [0, 2], 'clip/label/text': [b'a', b'c'],
      'clip/label/string': [b'a', b'c'], 'tfmm/schema_version': [1],
      'MOTION/feature/dimensions': [2], 'MOTION/feature/rate': [2.0],
      'tfmm/present/motion': [1, 0]}
  lists = {key: [[*f.int64_list.value, *f.float_list.value] for f in value.feature]
           for key, value in example.feature_lists.feature_list.items()}
  assert lists == {'MOTION/feature/floats': [[1, 2], [3, 4]],
                   'MOTION/feature/timestamp': [[0], [100]]}
  steps = tf.train.SequenceExample.FromString(
      feature_records.record(features, 'MOTION', None))
  assert 'MOTION/feature/rate' not in steps.context.feature
