"""Records of other MediaSequence writers, with exactly the keys that they write."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_dataset
from tests.data import tiny_shards
from tfmm import schema
from tfmm.data import dataset
from tfmm.data import reader

_OPTIONS = {'foreign': True}  # beside frame_rate, sample_rate and frames
_VIDEO = tiny_shards.noise_video('videos/a.mp4', 21, labels=(1,))


def _record(video, context, lists=(schema.IMAGE_ENCODED, schema.WAVEFORM_FLOATS)):
  """A record with the frames and the sound of a video and nothing else but `context`.

  Args:
    video: a `tiny_shards.Video`.
    context: {key: int, float, text, or list of texts}.
    lists: which of the video's lists are written.
  """
  whole = tf.train.SequenceExample.FromString(next(tiny_shards.examples(video)))
  record = tf.train.SequenceExample()
  for key in lists:
    record.feature_lists.feature_list[key].CopyFrom(
        whole.feature_lists.feature_list[key])
  for key, value in context.items():
    feature, values = record.context.feature[key], np.ravel(value).tolist()
    if isinstance(values[0], str):
      feature.bytes_list.value.extend(v.encode() for v in values)
    elif isinstance(values[0], float):
      feature.float_list.value.extend(values)
    else:
      feature.int64_list.value.extend(values)
  return record.SerializeToString()


def _dmvr(video, start=0, label='b', index=7):
  """As DMVR's generate_from_file; its numbers of labels change from run to run."""
  return _record(video, {
      'clip/label/index': index, 'clip/label/text': label,
      'video/filename': video.media_id, 'clip/start/timestamp': start,
      'clip/end/timestamp': start + 100000 * len(video.frames)})


def _mediapipe(video):
  """As mediapipe's media_sequence, with the frames' times and rate."""
  return _record(video, {
      'clip/media_id': video.media_id, 'clip/data_path': 'elsewhere', 'example/id': 'x',
      'clip/start/timestamp': 0, 'clip/end/timestamp': 100000 * len(video.frames),
      'clip/label/index': 1, 'clip/label/string': 'b', 'image/frame_rate': 10.,
      'image/format': 'JPEG', 'WAVEFORM/feature/sample_rate': 8000.},
      (schema.IMAGE_ENCODED, schema.IMAGE_TIMESTAMP, schema.WAVEFORM_FLOATS))


def _least(video):
  """Frames and their rate, sound, a name and a label's name."""
  return _record(video, {
      'example/id': video.media_id, 'image/frame_rate': 10., 'clip/label/string': 'b'})


@pytest.mark.parametrize('training', [False, True])
def test_foreign_records_read_like_ours(tmp_path, training):
  tiny_shards.write(tmp_path / 'ours', [_VIDEO])
  read = tiny_dataset.evaluate
  if training:
    read = lambda where: tiny_dataset.train(where, 2, batch_size=1)
  ours = read(tmp_path / 'ours')
  for write in (_dmvr, _mediapipe, _least):
    where = tiny_shards.write(tmp_path / write.__name__, [write(_VIDEO)], **_OPTIONS)
    for one, other in zip(ours, read(where), strict=True):
      tiny_dataset.equal(one, other)
      assert other['present'].all() and other['label'] == 1


def _parse(record, **options):
  return reader.parse(tf.constant([record]), **{
      'labels': ('a', 'b', 'c'), 'multi_label': False, 'sample_rate': 8000,
      'foreign': True, 'frame_rate': 5., **options})


@pytest.mark.parametrize('context, start, rate', [
    ({}, 0, 5), ({'image/frame_rate': 20.}, 0, 20),
    ({'clip/start/timestamp': 3000000}, 3, 5),
    ({'clip/start/timestamp': 3000000, 'image/frame_rate': 20.}, 3, 20)])
def test_times_are_counted_where_there_are_none(context, start, rate):
  record = _parse(_record(_VIDEO, {'clip/label/index': 0, **context}))
  np.testing.assert_allclose(record.times, start + np.arange(21) / rate)
  np.testing.assert_array_equal(record.sound_start, [start])
  np.testing.assert_array_equal(record.waveform, [_VIDEO.waveform])


def test_sound_begins_with_the_first_frame_if_no_clip_start_tells():
  record = tf.train.SequenceExample.FromString(_record(
      _VIDEO, {'clip/label/index': 0, 'image/frame_rate': 20.}))
  for k in range(21):
    stamps = record.feature_lists.feature_list[schema.IMAGE_TIMESTAMP]
    stamps.feature.add().int64_list.value.append(2500000 + 40000 * k)
  record = _parse(record.SerializeToString())
  np.testing.assert_allclose(record.times, 2.5 + np.arange(21) / 25)
  np.testing.assert_array_equal(record.sound_start, [2.5])
  assert record.sound[0, 0, 0] < 0 and record.sound[0, 0, 1] > 1e6


@pytest.mark.parametrize('context, expected', [
    ({'video/filename': 'f', 'example/id': 'e', 'clip/data_path': 'd',
      'clip/media_id': 'm'}, b'm'),
    ({'video/filename': 'f', 'example/id': 'e', 'clip/data_path': 'd'}, b'd'),
    ({'video/filename': 'f', 'example/id': 'e'}, b'e'),
    ({'video/filename': 'f'}, b'f'), ({}, b'')])
def test_the_name_is_the_best_there_is(context, expected):
  record = _parse(_record(_VIDEO, {'clip/label/index': 0, **context}))
  assert record.media_id == expected


@pytest.mark.parametrize('context, expected', [
    ({'clip/label/text': 'c'}, 2), ({'clip/label/string': 'a'}, 0),
    ({'clip/label/text': 'unknown', 'clip/label/string': 'b'}, 1),
    ({'clip/label/index': 1}, 1), ({'clip/label/index': 0, 'clip/label/text': 'c'}, 2),
    ({'clip/label/index': 1, 'clip/label/text': 'display name'}, 1)])
def test_labels_are_found_by_name_or_number(context, expected):
  assert _parse(_record(_VIDEO, context)).label == expected


def test_several_labels_by_name():
  context = {'clip/label/text': ['c', 'a'], 'clip/label/string': ['c', 'a']}
  record = _parse(_record(_VIDEO, context), multi_label=True)
  np.testing.assert_array_equal(record.label, [1, 0, 1])


def test_a_label_that_the_data_set_does_not_know_is_an_error():
  with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)no known label.*'me'"):
    _parse(_record(_VIDEO, {'clip/label/text': 'unknown', 'example/id': 'me'}))


def test_sound_that_says_it_is_none_is_none(tmp_path):
  videos = [_record(_VIDEO, {'clip/label/text': 'a', 'tfmm/has_audio': 0}),
            _record(_VIDEO, {'clip/label/text': 'a'}, (schema.IMAGE_ENCODED,)),
            _record(_VIDEO, {'clip/label/text': 'a'})]
  tiny_shards.write(tmp_path, videos, **_OPTIONS)
  batch, = tiny_dataset.evaluate(tmp_path, batch_size=3)
  np.testing.assert_array_equal(batch['present'][..., 0], np.ones([3, 4]))
  np.testing.assert_array_equal(batch['present'][:, 0, 1], [0, 0, 1])


def test_flow_that_ends_a_field_early(tmp_path):
  """Between 21 frames there are 20 fields."""
  video = tiny_shards.with_flow(_VIDEO)
  record = tf.train.SequenceExample.FromString(_record(
      video, {'clip/label/text': 'a'}, (schema.IMAGE_ENCODED, schema.FLOW_ENCODED)))
  del record.feature_lists.feature_list[schema.FLOW_ENCODED].feature[-1]
  tiny_shards.write(
      tmp_path / 'theirs', [record.SerializeToString()], flow='theirs', **_OPTIONS)
  tiny_shards.write(tmp_path / 'ours', [video], flow='dis_fast')
  spec = tiny_dataset.spec(modalities=('flow',), views=(dataset.FlowFrames(
      num_frames=3, stride=2, size=16, short_side=24, scale_range=(24, 28)),))
  (ours,), (theirs,) = (
      tiny_dataset.evaluate(tmp_path / name, spec) for name in ('ours', 'theirs'))
  np.testing.assert_array_equal(ours['flow'], theirs['flow'])


def test_videos_without_a_name_have_chances_of_their_own(tmp_path):
  videos = [_record(dataclasses.replace(_VIDEO, frames=_VIDEO.frames[k:20 + k]),
                    {'clip/label/text': 'a'}) for k in range(2)]
  tiny_shards.write(tmp_path, videos, **_OPTIONS)
  draws = [tuple(batch['segment_times'].ravel())
           for batch in tiny_dataset.train(tmp_path, 8, batch_size=1)]
  # Four epochs of two videos: twice the same chance would be four draws.
  assert len(set(draws)) == 8
