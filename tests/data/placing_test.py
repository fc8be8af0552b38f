"""Serialized clips to a video with its segments placed."""

import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_dataset
from tests.data import tiny_shards
from tfmm.data import dataset
from tfmm.data import placing

_VIDEO = tiny_shards.with_flow(tiny_shards.noise_video('a', 30, labels=(1,)))


def _placer(tmp_path, views, video=_VIDEO, **options):
  info = dataset.load_info(tiny_shards.write(tmp_path, [video], **options))
  return placing.Placer(info, views, 6, multi_label=False)


@pytest.mark.parametrize('view, has', [
    (tiny_dataset.RGB, 'jpegs'), (tiny_dataset.SOUND, 'waveform'),
    (dataset.FlowFrames(), 'flows'), (dataset.StoredLogMel(), 'log_mels')])
def test_only_what_the_views_read_is_parsed(tmp_path, view, has):
  video = _VIDEO if has != 'log_mels' else tiny_shards.noise_video(
      'a', 30, labels=(1,), log_mels=('yamnet',))
  record = _placer(tmp_path, (view,), video).parse(list(tiny_shards.examples(video)))
  lists = {name: getattr(record, name)
           for name in ('jpegs', 'waveform', 'flows', 'log_mels')}
  assert [k for k, v in lists.items() if tf.is_tensor(v) or v] == [has]
  assert record.label == 1


def test_segments_of_a_whole_video(tmp_path):
  placer = _placer(tmp_path, (tiny_dataset.RGB,))
  record = placer.parse(list(tiny_shards.examples(_VIDEO)))
  video = placer.place(record, placer.starts(record, 4))
  np.testing.assert_array_equal(video.starts, [0, 8, 16, 24])
  np.testing.assert_array_equal(video.ends, [30] * 4)
  np.testing.assert_allclose(video.times[:, 0], [0, .8, 1.6, 2.4])
  np.testing.assert_allclose(video.times[:, 1] - video.times[:, 0], [.6] * 4)
  assert video.window == 6 and video.draw is None


def test_segments_of_windows_keep_to_their_runs(tmp_path):
  video = tiny_shards.segmented(
      _VIDEO, num_segments=3, segment_frames=6, margin=2)
  placer = _placer(tmp_path, (tiny_dataset.RGB,), video, frames='segments',
                   segment_margin_seconds=.2)
  record = placer.parse(list(tiny_shards.examples(video)))
  even = placer.place(record, placer.starts(record, 3))
  # Runs of 8, 10 and 8 frames follow each other in the record.
  np.testing.assert_array_equal(even.starts, [0, 10, 20])
  np.testing.assert_array_equal(even.ends, [8, 18, 26])
  np.testing.assert_array_equal(even.runs, [0, 1, 2])
  np.testing.assert_allclose(even.times[:, 0], [0, 1.2, 2.4])
  drawn = np.stack([placer.starts(record, 3, seed=[k, 0]) for k in range(20)])
  np.testing.assert_array_equal(drawn.min(0), [0, 8, 18])
  np.testing.assert_array_equal(drawn.max(0), [2, 12, 20])


def test_records_of_other_programs_are_known_by_the_options(tmp_path):
  assert _placer(tmp_path, (tiny_dataset.RGB,), foreign=True).foreign
  assert not _placer(tmp_path / 'ours', (tiny_dataset.RGB,)).foreign
