import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_shards
from tfmm.data import reader


def _parse(video, **options):
  options = {
      'labels': tuple('abcd'), 'multi_label': False, 'sample_rate': 8000, **options}
  return reader.parse(tf.constant(list(tiny_shards.examples(video))), **options)


def _same(one, other):
  for field in ('media_id', 'label', 'times', 'jpegs', 'waveform', 'sound_start'):
    np.testing.assert_array_equal(getattr(one, field), getattr(other, field), field)


def test_parse_gives_what_was_written():
  video = tiny_shards.noise_video('dir/a b.mp4', 12, labels=(2,))
  record = _parse(video)
  assert record.media_id == b'dir/a b.mp4' and record.label == 2
  np.testing.assert_allclose(record.times, np.arange(12) / 10)
  np.testing.assert_array_equal(record.waveform, [video.waveform])
  np.testing.assert_allclose(record.sound, [[[0, 1.2]]])


def test_clips_of_a_video_are_merged():
  whole = _parse(tiny_shards.noise_video('a', 25))
  merged = _parse(tiny_shards.noise_video('a', 25, clip_frames=10))
  _same(whole, merged)
  assert merged.sound.shape == (1, 3, 2)
  assert merged.runs.end == [25] and list(merged.clips.end) == [10, 20, 25]


def test_pcm16_equals_floats_to_half_a_step():
  floats = _parse(tiny_shards.noise_video('a'))
  pcm = _parse(tiny_shards.noise_video('a', pcm16=True, clip_frames=7))
  np.testing.assert_allclose(pcm.waveform, floats.waveform, atol=.5 / 32768 + 1e-9)


def test_no_real_sound_is_an_empty_interval():
  record = _parse(tiny_shards.noise_video('a', has_audio=False))
  assert (record.sound[..., 0] == record.sound[..., 1]).numpy().all()


def test_several_labels_become_multi_hot():
  record = _parse(tiny_shards.noise_video('a', labels=(0, 3)), multi_label=True)
  np.testing.assert_array_equal(record.label, [1, 0, 0, 1])
  none = _parse(tiny_shards.noise_video('a', labels=()), multi_label=True)
  np.testing.assert_array_equal(none.label, [0, 0, 0, 0])


def test_clips_of_windows_are_runs():
  whole = tiny_shards.with_flow(tiny_shards.noise_video('a', 30))
  video = tiny_shards.segmented(
      whole, num_segments=3, segment_frames=5, margin=1, max_frames=12)
  assert [span[:2] for span in video.spans] == [[0, 6], [11, 18], [24, 30]]
  record = _parse(video, windows=True, flow=True)
  frames = [*range(6), *range(11, 18), *range(24, 30)]
  np.testing.assert_allclose(record.times, np.array(frames) / 10)
  np.testing.assert_array_equal(record.runs.begin, [0, 6, 13])
  np.testing.assert_array_equal(record.runs.end, [6, 13, 19])
  np.testing.assert_array_equal(record.windows, [[0, 5], [7, 12], [14, 19]])
  np.testing.assert_allclose(record.sound_start, [0, 1.1, 2.4])
  np.testing.assert_allclose(record.sound, [[[0, .6]], [[1.1, 1.8]], [[2.4, 3.]]])
  assert record.flows.shape == record.jpegs.shape == (19,)


@pytest.mark.parametrize('pcm16', [False, True])
def test_sound_of_runs_stands_in_rows(pcm16):
  video = tiny_shards.segmented(
      tiny_shards.noise_video('a', 30, pcm16=pcm16), num_segments=3, segment_frames=5,
      margin=1)
  record = _parse(video, windows=True)
  np.testing.assert_array_equal(record.num_samples, [4800, 5600, 4800])
  assert record.waveform.shape == (3, 5600)
  for row, (begin, end, _) in zip(record.waveform.numpy(), video.spans):
    count = (end - begin) * 800
    np.testing.assert_allclose(
        row[:count], video.waveform[begin * 800:end * 800], atol=1e-4 * pcm16)
    assert not row[count:].any()


def test_log_mels_count_the_patches_of_clips():
  video = tiny_shards.noise_video(
      'a', 25, clip_frames=12, log_mels=('yamnet', 'listen_to_look'))
  found = _parse(video, log_mels=('yamnet',), sample_rate=None).log_mels
  assert set(found) == {'yamnet'}
  np.testing.assert_array_equal(found['yamnet'].counts, [2, 2, 1])
  assert found['yamnet'].patches.shape == (5, 96, 64)
  np.testing.assert_array_equal(
      found['yamnet'].patches[:, 5, 7], [100, 101, 200, 201, 300])


def test_a_video_without_label_is_named():
  with pytest.raises(tf.errors.InvalidArgumentError, match='no known label'):
    _parse(tiny_shards.noise_video('a', labels=()))


def test_unwanted_lists_are_not_parsed():
  record = _parse(tiny_shards.noise_video('a'), sample_rate=None, pictures=False)
  assert record.jpegs is None and record.waveform is None and record.flows is None
  assert record.sound is None and not record.log_mels and record.windows is None
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
