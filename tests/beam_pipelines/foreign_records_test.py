"""Tests of beam_pipelines.foreign_records: one record of another writer."""

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import foreign_records
from tests.beam_pipelines import tiny_foreign

_context = tiny_foreign.add_context
_SOUND = 'WAVEFORM/feature/floats'


def _examine(example, **uses):
  return foreign_records.examine(example.SerializeToString(), **uses)


def _list(example, key):
  return example.feature_lists.feature_list[key].feature


def _image(*data):
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=data))


def test_a_record_of_dmvr():
  found = _examine(tiny_foreign.dmvr(label='run', index=3))
  assert (found.media_id, found.name) == ('', 'a.mp4')
  assert (found.texts, found.indices, found.labels) == (('run',), (3,), ('run',))
  assert (found.frames, found.height, found.width) == (20, 36, 48)
  assert found.frame_rate is None and found.seconds == 2
  assert (found.samples, found.waveform, found.sample_rate) == (16000, 'float', None)
  assert (found.flow, found.has_mbt) == ('', False)


def test_a_record_of_mediapipe():
  example = tiny_foreign.mediapipe(('eat', 'run'), start=400_000)
  found = _examine(example)
  assert (found.media_id, found.name, found.labels) == ('m', 'm', ('eat', 'run'))
  assert (found.start, found.end, found.frame_rate) == (400_000, 800_000, 25)
  assert (found.samples, found.waveform) == (0, '')
  del example.context.feature['image/frame_rate']
  assert _examine(example).frame_rate == pytest.approx(25)  # as its times say


@pytest.mark.parametrize('change, follows', [
    ({}, True), ({'start': 400_000 + 39_000}, True), ({'start': 500_000}, False),
    ({'labels': ('eat',)}, False), ({'media_id': 'n'}, False),
    ({'media_id': ''}, False)])
def test_clips_of_one_video(change, follows):
  first = _examine(tiny_foreign.mediapipe())
  second = _examine(tiny_foreign.mediapipe(**{'start': 400_000, **change}))
  assert second.follows(first) == follows


@pytest.mark.parametrize('change, text', [
    (lambda e: e.context.feature.pop('clip/label/text')
     and e.context.feature.pop('clip/label/index'), 'it has no label'),
    (lambda e: e.feature_lists.feature_list.pop('image/encoded'),
     'it has no frames (image/encoded)'),
    (lambda e: _list(e, 'image/encoded')[5].CopyFrom(_image(b'\x89PNG')),
     'frame 5 of image/encoded is no JPEG'),
    (lambda e: _list(e, 'image/encoded')[0].CopyFrom(_image(b'\xff\xd8\xff')),
     'frame 0 of image/encoded cannot be decoded'),
    (lambda e: _context(e, 'clip/media_id', b'a', b'b'),
     'clip/media_id has 2 values; it must have one'),
    (lambda e: _context(e, 'image/frame_rate', 25),
     'image/frame_rate is of kind int64_list; it must be float_list'),
    (lambda e: e.context.feature['clip/label/text'].bytes_list.value.append(b'\xff'),
     'the text'),
    (lambda e: e.context.feature['clip/label/index'].int64_list.value.append(-1),
     'clip/label/index is [0, -1]: below 0'),
    (lambda e: _list(e, _SOUND)[0].float_list.value.append(float('nan')),
     'leave the sound out with --nosound'),
    (lambda e: _context(e, 'WAVEFORM/feature/num_channels', 2), 'has 2 channels'),
    (lambda e: _list(e, 'FORWARD_FLOW/image/encoded').add().CopyFrom(_image(b'x')),
     'it has 20 frames and 1 fields of flow'),
])
def test_records_that_cannot_be_used(change, text):
  bad = tiny_foreign.dmvr()
  change(bad)
  with pytest.raises(ValueError) as error:
    _examine(bad)
  assert text in str(error.value)


def test_what_is_not_used_is_not_looked_at():
  example = tiny_foreign.dmvr()
  _list(example, _SOUND)[0].float_list.value.append(np.inf)
  _list(example, 'FORWARD_FLOW/image/encoded').add().CopyFrom(_image(b'x'))
  found = _examine(example, sound=False, flow=False)
  assert (found.samples, found.waveform, found.flow) == (0, '', '')


def test_no_message_at_all():
  with pytest.raises(ValueError, match='it is no SequenceExample'):
    foreign_records.examine(b'\xff\xff no message')
