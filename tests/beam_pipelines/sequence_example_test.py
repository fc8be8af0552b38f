"""Tests of beam_pipelines.sequence_example against TensorFlow's message and parser."""

import numpy as np
import pytest

from beam_pipelines import sequence_example
from tfmm import schema
from tfmm.media import clips
from tfmm.media import container


def _clip(**changes):
  rng = np.random.default_rng(0)
  return clips.Clip(**{
      'index': 0, 'is_last': True, 'start_s': 1.0, 'end_s': 1.3,
      'timestamps': 1.0 + np.arange(3) / 10, 'frames': [b'one', b'two', b'\xff\xd8'],
      'height': 36, 'width': 48,
      'waveform': rng.uniform(-1, 1, 2400).astype(np.float32),
      'audio_start_s': 1.0, 'audio_end_s': 1.2,
      'counts': container.Counts(decoded_frames=3), **changes})


def _record(clip, waveform='float'):
  return sequence_example.from_clip(
      clip, media_id='dir/vidéo 视频.mp4', labels=['b', 'a'], label_indices=[1, 0],
      frame_rate=29.97, sample_rate=8000, waveform=waveform)


@pytest.mark.parametrize('waveform', schema.WAVEFORMS)
def test_bytes_equal_tensorflows_deterministic_serialisation(waveform):
  import tensorflow as tf
  record = _record(_clip(), waveform)
  message = tf.train.SequenceExample.FromString(record)
  assert message.SerializeToString(deterministic=True) == record
  assert len(message.context.feature) >= 24


def test_tensorflow_reads_all_of_it():
  import tensorflow as tf
  clip = _clip()
  kinds = {'bytes': tf.string, 'int64': tf.int64, 'float': tf.float32}
  present = tf.train.SequenceExample.FromString(_record(clip))
  context, lists = tf.io.parse_single_sequence_example(
      _record(clip),
      {k: tf.io.VarLenFeature(kinds[schema.CONTEXT_KINDS[k]])
       for k in present.context.feature},
      {k: tf.io.VarLenFeature(kinds[schema.LIST_KINDS[k]])
       for k in present.feature_lists.feature_list})
  context = {k: v.values.numpy().tolist() for k, v in context.items()}
  name = 'dir/vidéo 视频.mp4'.encode()
  assert context[schema.EXAMPLE_ID] == context[schema.MEDIA_ID] == [name]
  assert context[schema.CLIP_START] == [1_000_000]
  assert context[schema.CLIP_END] == [1_300_000]
  assert context[schema.LABEL_INDEX] == [1, 0]
  assert context[schema.LABEL_TEXT] == context[schema.LABEL_STRING] == [b'b', b'a']
  assert context[schema.HAS_AUDIO] == [1]
  assert context[schema.AUDIO_END] == [1_200_000]
  assert context[schema.WAVEFORM_NUM_SAMPLES] == [2400]
  assert context[schema.IMAGE_FRAME_RATE] == [pytest.approx(29.97)]
  assert lists[schema.IMAGE_ENCODED].values.numpy().tolist() == clip.frames
  assert lists[schema.IMAGE_TIMESTAMP].values.numpy().tolist() == [
      1_000_000, 1_100_000, 1_200_000]
  waveform = tf.sparse.to_dense(lists[schema.WAVEFORM_FLOATS])
  assert waveform.shape == (1, 2400)  # one Feature
  np.testing.assert_array_equal(waveform[0], clip.waveform)


def test_flow_windows_and_log_mels():
  import tensorflow as tf
  clip = _clip(flows=[b'f1', b'f2', b'f2'], windows=((0, 1), (1, 2)))
  record = sequence_example.from_clip(
      clip, media_id='v#1.000-1.300', data_path='v', labels=['a'], label_indices=[0],
      frame_rate=10, sample_rate=8000, waveform='float',
      flow_algorithm='dis_fast OpenCV 4', log_mels=('listen_to_look', 'adamml'))
  message = tf.train.SequenceExample.FromString(record)
  assert message.SerializeToString(deterministic=True) == record
  context, lists = message.context.feature, message.feature_lists.feature_list
  assert [f.bytes_list.value[0] for f in lists[schema.FLOW_ENCODED].feature] == [
      b'f1', b'f2', b'f2']
  assert [f.int64_list.value[0] for f in lists[schema.FLOW_TIMESTAMP].feature] == [
      1_000_000, 1_100_000, 1_200_000]
  assert context[schema.FLOW_SATURATION].float_list.value == [20.0]
  assert context[schema.SEGMENT_START].int64_list.value == [0, 1]
  assert context[schema.SEGMENT_END].int64_list.value == [1, 2]
  assert context[schema.SEGMENT_START_TIME].int64_list.value == [1_000_000, 1_100_000]
  assert context[schema.SEGMENT_END_TIME].int64_list.value == [1_100_000, 1_200_000]
  assert context[schema.DATA_PATH].bytes_list.value == [b'v']
  for name, count in (('listen_to_look', 101 * 40), ('adamml', 256 * 256)):
    [patch] = lists[schema.LOG_MEL_KEYS[name]].feature  # .3 s of sound
    assert len(patch.float_list.value) == count
  assert set(context) <= set(schema.CONTEXT_KINDS)
  assert set(lists) <= set(schema.LIST_KINDS)


@pytest.mark.parametrize('samples', [0, 1, 31, 32, 5000, 600000])
def test_floats_as_bytes_equal_floats_one_by_one(samples):
  values = np.random.default_rng(1).normal(size=samples).astype(np.float32)
  fast, slow = sequence_example.SequenceExample(), sequence_example.SequenceExample()
  sequence_example.set_floats(fast, schema.WAVEFORM_FLOATS, values)
  sequence_example.set_list(slow, schema.WAVEFORM_FLOATS, [values.tolist()])
  if samples:
    assert sequence_example.serialize(fast) == sequence_example.serialize(slow)
  [feature] = fast.feature_lists.feature_list[schema.WAVEFORM_FLOATS].feature
  np.testing.assert_array_equal(feature.float_list.value, values)


def test_pcm16():
  waveform = np.array([0, 1, -1, 0.5, 1e-6], np.float32)
  record = _record(_clip(waveform=waveform), 'pcm16')
  example = sequence_example.SequenceExample.FromString(record)
  [feature] = example.feature_lists.feature_list[schema.WAVEFORM_BYTES].feature
  samples = np.frombuffer(feature.bytes_list.value[0], '<i2')
  np.testing.assert_array_equal(samples, [0, 32767, -32768, 16384, 0])
  assert schema.WAVEFORM_FLOATS not in example.feature_lists.feature_list


@pytest.mark.parametrize('index, is_last, want', [
    (0, True, b''), (0, False, b'#0'), (2, True, b'#2')])
def test_example_id_numbers_the_clips_of_long_videos(index, is_last, want):
  record = _record(_clip(index=index, is_last=is_last))
  context = sequence_example.SequenceExample.FromString(record).context
  [name] = context.feature[schema.MEDIA_ID].bytes_list.value
  [example_id] = context.feature[schema.EXAMPLE_ID].bytes_list.value
  assert example_id == name + want


def test_every_key_of_a_record_is_in_the_schema():
  example = sequence_example.SequenceExample.FromString(_record(_clip()))
  assert set(example.context.feature) <= set(schema.CONTEXT_KINDS)
  assert set(example.feature_lists.feature_list) <= set(schema.LIST_KINDS)


def test_floats_come_back():
  for count in (0, 1, 31, 32, 40000):  # the length takes 1 to 3 bytes
    values = np.arange(count, dtype=np.float32) / 7
    example = sequence_example.SequenceExample()
    sequence_example.set_floats(example, schema.WAVEFORM_FLOATS, values)
    [feature] = example.feature_lists.feature_list[schema.WAVEFORM_FLOATS].feature
    np.testing.assert_array_equal(sequence_example.floats(feature), values)
