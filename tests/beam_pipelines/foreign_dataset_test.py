"""Tests of beam_pipelines.foreign_dataset: labels, rates and side files."""

import hashlib

import pytest
import tensorflow as tf

from beam_pipelines import foreign_dataset
from beam_pipelines import foreign_records
from tests.beam_pipelines import tiny_foreign

dmvr, mediapipe = tiny_foreign.dmvr, tiny_foreign.mediapipe


def _found(*examples):
  return [foreign_records.examine(e.SerializeToString()) for e in examples]


def _numbered(number):
  example = dmvr(label=None)
  tiny_foreign.add_context(example, 'clip/label/index', number)
  return example


@pytest.mark.parametrize('examples, names', [
    ([dmvr(label='b', index=0), dmvr(label='a', index=1)], ['b', 'a']),
    # Numbers that contradict, or leave a gap: names alone count.
    ([dmvr(label='b', index=0), dmvr(label='a', index=0)], ['a', 'b']),
    ([dmvr(label='b', index=0), dmvr(label='a', index=2)], ['a', 'b']),
    ([_numbered(2), _numbered(0)], ['0', '1', '2']),
    ([_numbered(2), _numbered(0), dmvr(label='eat', index=2)], ['0', '1', 'eat'])])
def test_names_of_classes(examples, names):
  assert foreign_dataset.class_names(_found(*examples)) == names


def test_numbers_that_have_two_names():
  records = _found(_numbered(2), dmvr(label='a', index=2), dmvr(label='b', index=2))
  with pytest.raises(ValueError, match='1 of 3 records .* do not number their names'):
    foreign_dataset.class_names(records)


@pytest.mark.parametrize('rate', [16000, 48000])
def test_rates_that_only_the_length_tells(rate):
  made_with = foreign_dataset.options(_found(dmvr(rate=rate, frames=59)))
  assert made_with['sample_rate'] == rate and made_with['frame_rate'] == 30


def test_rates_that_nothing_tells():
  examples = [dmvr(rate=9000), dmvr(rate=0)]
  for example in examples:
    del example.context.feature['clip/end/timestamp']
  records = _found(*examples)
  with pytest.raises(ValueError, match='give --frame_rate.'):
    foreign_dataset.options(records)
  with pytest.raises(ValueError, match='9000 Hz, no usual rate; give --sample_rate'):
    foreign_dataset.options(records, frame_rate=10)
  made_with = foreign_dataset.options(records, frame_rate=10, sample_rate=9000)
  assert (made_with['frame_rate'], made_with['sample_rate']) == (10, 9000)


def test_rates_that_contradict():
  examples = [dmvr(), dmvr()]
  tiny_foreign.add_context(examples[0], 'WAVEFORM/feature/sample_rate', 8000.0)
  with pytest.raises(ValueError, match='records tell 8000 Hz; leave the flag out'):
    foreign_dataset.options(_found(*examples), sample_rate=16000)
  tiny_foreign.add_context(examples[1], 'WAVEFORM/feature/sample_rate', 16000.0)
  with pytest.raises(ValueError, match='sound of 8000 Hz, some of 16000 Hz'):
    foreign_dataset.options(_found(*examples))


def test_side_files_are_laid_out_as_ours(tmp_path):
  """Two clips of one video, and a video with sound: 0.4 + 0.4 s and 2 s."""
  path = str(tmp_path / 'x')
  with tf.io.TFRecordWriter(path) as writer:
    for example in (mediapipe(), mediapipe(start=400_000), dmvr(label='eat')):
      writer.write(example.SerializeToString())
  shard = foreign_dataset.read_shard(path)
  made_with = foreign_dataset.options(shard.records)
  name = 'test-00000-of-00001.tfrecord'
  sidecar = foreign_dataset.sidecar(shard, name, ['eat', 'run'], made_with)
  video = {'height': 36, 'width': 48, 'truncated': 0, 'corrupt_frames': 0}
  assert sidecar['videos'] == [
      {'media_id': 'm', 'clips': 2, 'seconds': 0.8, 'frames': 20, 'has_audio': 0,
       **video},
      {'media_id': 'a.mp4', 'clips': 1, 'seconds': 2.0, 'frames': 20, 'has_audio': 1,
       **video}]
  data = (tmp_path / 'x').read_bytes()
  assert (sidecar['bytes'], sidecar['sha256']) == (
      len(data), hashlib.sha256(data).hexdigest())
  assert (sidecar['num_videos'], sidecar['num_clips']) == (2, 3)
  assert sidecar['per_label'] == {'eat': 1, 'run': 1}
  info = foreign_dataset.info([sidecar], ['eat', 'run'], made_with, multi_label=False)
  test = info['splits'].pop('test')
  assert [entry['num_videos'] for entry in info['splits'].values()] == [0, 0]
  assert test['shards'] == [
      {'file': name, 'num_videos': 2, 'clips_per_video': [2, 1]}]
  assert (test['seconds'], test['frames'], test['without_audio']) == (2.8, 40, 1)
  assert test['frame_sizes'] == {'48x36': 2} and test['bytes'] == len(data)
