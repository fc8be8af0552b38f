"""Other readers of MediaSequence get from our records what they expect.

What they do is stated here anew, in a few lines each, from their sources: dmvr
(modalities.py, processors.py), scenic's MBT (datasets/dataset_utils.py), mediapipe
(util/sequence/media_sequence.py). The way back, their records in our reader, is in
adopt_shards_test.py.
"""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import sequence_example
from tests import tiny_videos
from tfmm import schema
from tfmm.media import clips
from tfmm.media import flow as flow_lib
from tfmm.media import video

ONSET_S = 1.5  # of the tone, in videos of 3 s


def _records(path, *, frame_rate=10.0, sample_rate=8000, **options):
  """(clip, record) of each clip of a file, with all that a record can hold."""
  method = flow_lib.Flow('dis_fast')
  for clip in clips.stream_clips(
      path, frame_rate=frame_rate, short_side=48, sample_rate=sample_rate,
      encode=video.encode_jpeg,
      flow=lambda first, second: flow_lib.encode(method(first, second)), **options):
    yield clip, sequence_example.from_clip(
        clip, media_id='dir/a.mp4', labels=['run', 'eat'], label_indices=[3, 1],
        frame_rate=frame_rate, sample_rate=sample_rate, waveform='float',
        flow_algorithm=method.name, log_mels=['mbt', 'yamnet'])


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  """Frame k is grey of a level of its own; silence, then a tone."""
  return tiny_videos.make(
      tmp_path_factory.mktemp('videos') / 'a.mp4', seconds=3.0, frame_rate=10,
      sound_start_s=ONSET_S)


# --- dmvr ------------------------------------------------------------------------


def _dmvr_parse(record):
  """Labels, JPEGs, flow JPEGs and sound, by the specs of dmvr's add_* functions."""
  steps = tf.io.FixedLenSequenceFeature((), tf.string)
  context, lists = tf.io.parse_single_sequence_example(
      record, {'clip/label/index': tf.io.VarLenFeature(tf.int64),
               'clip/label/text': tf.io.VarLenFeature(tf.string)},
      {'image/encoded': steps, 'FORWARD_FLOW/image/encoded': steps,
       'WAVEFORM/feature/floats': tf.io.VarLenFeature(tf.float32)})
  return (tf.sparse.to_dense(context['clip/label/index']).numpy().tolist(),
          tf.sparse.to_dense(context['clip/label/text']).numpy().tolist(),
          lists['image/encoded'], lists['FORWARD_FLOW/image/encoded'],
          tf.sparse.to_dense(lists['WAVEFORM/feature/floats'])[0])


def _dmvr_offset(first, of_first, second):
  """Where dmvr starts in a second list, given the place that it drew in the first."""
  proportion = np.float32(of_first) / np.float32(len(first))
  return int(np.round(proportion * np.float32(len(second))))


def _dmvr_linspace(sequence, windows, steps):
  """Where dmvr starts its windows at test time."""
  last = max(0, len(sequence) - steps)
  return np.linspace(0, last, windows).astype(np.int32)


@pytest.mark.parametrize('options', [
    {}, {'clip_seconds': 1.7}, {'frame_rate': 7.3, 'sample_rate': 11025},
    {'keep': clips.Windows(count=3, frames=6, margin_seconds=.2), 'clip_seconds': 1.0}])
def test_dmvr_hears_and_sees_the_same_moment(path, options):
  """Its law: the same proportion of each list is the same moment."""
  rate = options.get('sample_rate', 8000)
  seen = heard = 0
  for clip, record in _records(path, **options):
    labels, texts, images, fields, sound = _dmvr_parse(record)
    assert labels == [3, 1] and texts == [b'run', b'eat']
    assert len(images) == len(fields) == len(clip.frames)
    for k in range(len(images)):
      time_s = clip.timestamps[k]
      assert _dmvr_offset(images, k, fields) == k
      at = _dmvr_offset(images, k, sound)
      assert abs(at / rate - (time_s - clip.start_s)) < 1.01 / rate
      picture = tf.io.decode_jpeg(images[k]).numpy()
      wanted = tiny_videos.level(int(time_s * 10 + 1e-6))
      assert abs(picture[:, 40:].mean() - wanted) < 4
      window = sound[at:at + rate // 20].numpy()
      if abs(time_s - ONSET_S) > .11 and len(window) > 100:  # a codec smears the onset
        assert (np.abs(window).max() > .2) == (time_s > ONSET_S)
        seen, heard = seen + 1, heard + (time_s > ONSET_S)
  assert seen > 8 and 3 < heard < seen - 3


def test_dmvr_at_test_time(path):
  """Windows of equal length in time, spread over each list, are the same moments."""
  [(_, record)] = _records(path)
  *_, images, fields, sound = _dmvr_parse(record)
  of_images = _dmvr_linspace(images, 4, 8)
  np.testing.assert_array_equal(_dmvr_linspace(fields, 4, 8), of_images)
  of_sound = _dmvr_linspace(sound, 4, 8 * 800)
  assert np.abs(of_sound / 8000 - of_images / 10).max() < .1  # less than a frame


def test_dmvr_reads_flow_in_pixels(tmp_path):
  """It maps JPEGs to [-1, 1], keeps two channels, and doubles with the picture."""
  texture = cv2.GaussianBlur(
      np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8), (0, 0), 2)
  texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
  moving = tiny_videos.make(
      tmp_path / 'm.mp4', seconds=.6, width=96,
      draw=lambda k, width, height: np.roll(texture, (-k, 2 * k), (0, 1)))
  [(_, record)] = _records(moving)
  *_, fields, _ = _dmvr_parse(record)
  flow = np.stack([tf.io.decode_jpeg(f, channels=3).numpy() for f in fields])
  flow = (flow.astype(np.float32) * (2 / 255) - 1)[..., :2] * 20
  middle = flow[:, 12:-12, 24:-24].mean((1, 2))
  np.testing.assert_allclose(middle, [[2, -1]] * 6, atol=.35)  # the last repeats


def test_dmvr_reads_videos_without_sound(tmp_path):
  """It takes row 0 of the sound, which must be there."""
  silent = tiny_videos.make(tmp_path / 's.mp4', seconds=1.0, sound=False)
  [(clip, record)] = _records(silent)
  *_, sound = _dmvr_parse(record)
  assert not clip.has_audio and sound.shape == (8000,) and not sound.numpy().any()


# --- scenic's MBT ----------------------------------------------------------------


def _mbt_rows(record):
  """The log-mel as one picture: float32 [rows of 10 ms, 128]."""
  _, lists = tf.io.parse_single_sequence_example(
      record, {}, {'melspec/feature/floats': tf.io.FixedLenSequenceFeature(
          (100, 128), tf.float32)})
  return tf.reshape(lists['melspec/feature/floats'], (-1, 128)).numpy()


def test_mbt_hears_and_sees_the_same_moment(path):
  [(clip, record)] = _records(path)
  rows = _mbt_rows(record)
  assert rows.shape == (300, 128)
  images = _dmvr_parse(record)[2]
  loudness = rows.max(1)
  for k in range(len(images)):
    at = _dmvr_offset(images, k, rows)
    assert at == round(100 * (clip.timestamps[k] - clip.start_s))
    if abs(clip.timestamps[k] - ONSET_S) > .11:
      assert (loudness[at] > 0) == (clip.timestamps[k] > ONSET_S)


def test_mbt_gets_whole_seconds(path):
  """The last second is filled up: proportions are then off by less than that."""
  for clip, record in _records(path, clip_seconds=1.7):
    seconds = clip.end_s - clip.start_s
    assert len(_mbt_rows(record)) == 100 * int(np.ceil(seconds - 1e-6))


# --- mediapipe -------------------------------------------------------------------

# Its getters by key: one value, a list in the context, or one feature per step.
_ONE = {
    tf.string: ('example/id', 'clip/media_id', 'clip/data_path', 'image/format',
                'image/colorspace', 'FORWARD_FLOW/image/format'),
    tf.int64: ('clip/start/timestamp', 'clip/end/timestamp', 'image/height',
               'image/width', 'image/channels', 'FORWARD_FLOW/image/height',
               'FORWARD_FLOW/image/width', 'FORWARD_FLOW/image/channels',
               'WAVEFORM/feature/num_samples', 'WAVEFORM/feature/num_channels'),
    tf.float32: ('image/frame_rate', 'FORWARD_FLOW/image/frame_rate',
                 'FORWARD_FLOW/image/saturation', 'WAVEFORM/feature/sample_rate'),
}
_SEVERAL = {
    tf.string: ('clip/label/string',),
    tf.int64: ('clip/label/index', 'segment/start/index', 'segment/end/index',
               'segment/start/timestamp', 'segment/end/timestamp'),
}
_STEPS = {
    tf.string: ('image/encoded', 'FORWARD_FLOW/image/encoded'),
    tf.int64: ('image/timestamp', 'FORWARD_FLOW/image/timestamp'),
}


def _mediapipe_parse(record):
  of = lambda table, make: {k: make(kind) for kind, keys in table.items() for k in keys}
  context, lists = tf.io.parse_single_sequence_example(
      record,
      {**of(_ONE, lambda kind: tf.io.FixedLenFeature((), kind)),
       **of(_SEVERAL, tf.io.VarLenFeature)},
      of(_STEPS, lambda kind: tf.io.FixedLenSequenceFeature((), kind)))
  dense = lambda value: (
      tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value)
  return {key: dense(value).numpy() for key, value in {**context, **lists}.items()}


def test_mediapipe_gets_what_its_keys_mean(path):
  keep = clips.Windows(count=2, frames=6, margin_seconds=.2)
  clip, record = list(_records(path, keep=keep))[-1]
  got = _mediapipe_parse(record)
  assert got['clip/media_id'] == got['clip/data_path'] == b'dir/a.mp4'
  assert got['example/id'] == b'dir/a.mp4#1'
  assert got['clip/label/string'].tolist() == [b'run', b'eat']
  assert got['clip/label/index'].tolist() == [3, 1]
  times = got['image/timestamp']
  np.testing.assert_array_equal(times, got['FORWARD_FLOW/image/timestamp'])
  np.testing.assert_array_equal(times, np.rint(clip.timestamps * 1e6))
  assert got['clip/start/timestamp'] == times[0]
  assert got['clip/end/timestamp'] == times[-1] + 100_000
  for prefix in ('', 'FORWARD_FLOW/'):
    assert got[prefix + 'image/format'] == b'JPEG'
    assert got[prefix + 'image/frame_rate'] == 10
    for data in got[prefix + 'image/encoded']:
      assert tf.io.decode_jpeg(data).shape == (
          got[prefix + 'image/height'], got[prefix + 'image/width'],
          got[prefix + 'image/channels'])
  assert got['FORWARD_FLOW/image/saturation'] == 20
  assert got['WAVEFORM/feature/num_samples'] == len(clip.waveform)
  # Start: the first frame at or after the time; end: the last at or before it.
  np.testing.assert_array_equal(
      got['segment/start/index'],
      np.searchsorted(times, got['segment/start/timestamp'], 'left'))
  np.testing.assert_array_equal(
      got['segment/end/index'],
      np.searchsorted(times, got['segment/end/timestamp'], 'right') - 1)
  assert got['segment/end/index'] - got['segment/start/index'] == [5]


def test_mediapipe_knows_the_kinds_of_all_keys(path):
  """Nothing in a record has a key of MediaSequence and another kind than it means."""
  [(_, record)] = _records(path)
  example = tf.train.SequenceExample.FromString(record)
  names = {tf.string: 'bytes_list', tf.int64: 'int64_list', tf.float32: 'float_list'}
  kinds = {key: names[kind] for table in (_ONE, _SEVERAL, _STEPS)
           for kind, keys in table.items() for key in keys}
  kinds |= {'clip/label/text': 'bytes_list', 'WAVEFORM/feature/floats': 'float_list'}
  kinds |= dict.fromkeys(schema.LOG_MEL_KEYS.values(), 'float_list')
  strangers = set()
  for key, feature in example.context.feature.items():
    if key.startswith('tfmm/'):
      continue
    strangers |= {key} - kinds.keys()
    assert feature.WhichOneof('kind') == kinds.get(key), key
  for key, features in example.feature_lists.feature_list.items():
    strangers |= {key} - kinds.keys()
    assert {f.WhichOneof('kind') for f in features.feature} == {kinds.get(key)}, key
  assert not strangers
