import cv2
import numpy as np
import tensorflow as tf

from tests.data import tiny_shards
from tfmm.data import reader


def _parse(video, **options):
  options = {'num_classes': 4, 'multi_label': False, 'sample_rate': 8000, **options}
  return reader.parse(tf.constant(list(tiny_shards.examples(video))), **options)


def _same(one, other):
  for field in ('media_id', 'label', 'times', 'jpegs', 'waveform', 'sound_start'):
    np.testing.assert_array_equal(getattr(one, field), getattr(other, field), field)


def test_parse_gives_what_was_written():
  video = tiny_shards.noise_video('dir/a b.mp4', 12, labels=(2,))
  record = _parse(video)
  assert record.media_id == b'dir/a b.mp4' and record.label == 2
  np.testing.assert_allclose(record.times, np.arange(12) / 10)
  np.testing.assert_array_equal(record.waveform, video.waveform)
  np.testing.assert_allclose(record.sound, [[0, 1.2]])


def test_clips_of_a_video_are_merged():
  whole = _parse(tiny_shards.noise_video('a', 25))
  merged = _parse(tiny_shards.noise_video('a', 25, clip_frames=10))
  _same(whole, merged)
  assert merged.sound.shape == (3, 2)


def test_pcm16_equals_floats_to_half_a_step():
  floats = _parse(tiny_shards.noise_video('a'))
  pcm = _parse(tiny_shards.noise_video('a', pcm16=True, clip_frames=7))
  np.testing.assert_allclose(pcm.waveform, floats.waveform, atol=.5 / 32768 + 1e-9)


def test_no_real_sound_is_an_empty_interval():
  record = _parse(tiny_shards.noise_video('a', has_audio=False))
  assert (record.sound[:, 0] == record.sound[:, 1]).numpy().all()


def test_several_labels_become_multi_hot():
  record = _parse(tiny_shards.noise_video('a', labels=(0, 3)), multi_label=True)
  np.testing.assert_array_equal(record.label, [1, 0, 0, 1])
  none = _parse(tiny_shards.noise_video('a', labels=()), multi_label=True)
  np.testing.assert_array_equal(none.label, [0, 0, 0, 0])


def test_unwanted_lists_are_not_parsed():
  record = _parse(tiny_shards.noise_video('a'), sample_rate=None, pictures=False)
  assert record.jpegs is None and record.waveform is None
  assert record.times.shape == (20,)


def test_frames_are_decoded_once_and_bit_equal_to_opencv():
  video = tiny_shards.noise_video('a', 8)
  record = _parse(video)
  indices = tf.constant([[3, 5, 7, 7], [5, 7, 7, 7]])
  frames, places = reader.decode_frames(record.jpegs, indices)
  assert frames.shape == (3, 24, 32, 3)
  expected = np.stack([
      cv2.imdecode(np.frombuffer(j, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
      for j in record.jpegs.numpy()])
  np.testing.assert_array_equal(tf.gather(frames, places), expected[indices])
