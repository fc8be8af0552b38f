"""Tests of beam_pipelines.feature_rows."""

import math

import numpy as np
import pytest

from beam_pipelines import feature_config
from beam_pipelines import feature_rows
from beam_pipelines import feature_views
from tests.data import tiny_shards
from tfmm.data import dataset

_FRAMES = dataset.RgbFrames(
    num_frames=2, stride=3, size=16, short_side=24, scale_range=(24, 24))
_SHARD = 'train-00000-of-00001.tfrecord'


def _reader(data_dir, view=_FRAMES, window=6, **options):
  config = feature_config.FeatureConfig(encoder='SM', **options)
  return feature_rows.Reader(dataset.load_info(data_dir), [view], window, config)


def _videos(reader, shard=_SHARD):
  """{media_id: (video, rows [S, ...], present [S])}."""
  found = {}
  for chunk in reader.chunks(shard):
    found.setdefault(chunk.video.media_id, []).append(chunk)
  return {name: (chunks[0].video, np.concatenate([c.rows for c in chunks]),
                 np.concatenate([c.present for c in chunks]))
          for name, chunks in found.items()}


def _from_make_dataset(data_dir, view, window, steps):
  spec = dataset.DatasetSpec(views=(view,), modalities=(view.modality,),
                             segment_frames=window, eval_segments=steps)
  batches = dataset.make_dataset(spec, data_dir, 'train', batch_size=1, training=False)
  return list(batches.as_numpy_iterator())


@pytest.mark.parametrize('steps', [1, 4, 20])
def test_rows_are_those_of_the_reader_of_training(tmp_path, steps):
  videos = [tiny_shards.noise_video('a', 30, seed=1, labels=(2,)),
            tiny_shards.noise_video('b', 4, seed=2),
            tiny_shards.noise_video('c', 25, seed=3, clip_frames=7)]
  data_dir = tiny_shards.write(tmp_path, videos)
  found = _videos(_reader(data_dir, steps=steps))
  batches = _from_make_dataset(data_dir, _FRAMES, 6, steps)
  assert list(found) == [b'a', b'b', b'c']
  for (video, rows, present), batch in zip(found.values(), batches, strict=True):
    np.testing.assert_array_equal(rows, batch['rgb'][0])
    np.testing.assert_allclose(
        np.array(video.times) / 1e6, batch['segment_times'][0].mean(1), atol=1e-5)
    assert present.tolist() == [1] * steps
  assert found[b'a'][0] == feature_rows.Video(
      media_id=b'a', data_path=b'a', label_index=[2], label_text=[b'c'], start=0,
      end=3_000_000, times=found[b'a'][0].times)
  assert found[b'c'][0].end == 2_500_000


def test_windows_of_a_data_set_of_segments(tmp_path):
  whole = tiny_shards.noise_video('a', 60, seed=1)
  dense = tiny_shards.write(tmp_path / 'dense', [whole])
  few = tiny_shards.write(
      tmp_path / 'few', [tiny_shards.segmented(
          whole, num_segments=4, segment_frames=6, margin=1)],
      frames='segments', num_segments=4, segment_frames=6, segment_margin_seconds=.1)
  [(video, rows, _)] = _videos(_reader(dense, steps=4)).values()
  [(again, same, _)] = _videos(_reader(few, steps=4)).values()
  np.testing.assert_array_equal(rows, same)
  assert video.times == again.times
  with pytest.raises(ValueError, match='give --steps, or prepare with --frames=dense'):
    _reader(few, every_seconds=1.0)


def test_flow_is_read_as_in_training(tmp_path):
  video = tiny_shards.with_flow(tiny_shards.noise_video('a', 20, seed=1))
  data_dir = tiny_shards.write(tmp_path, [video], flow='dis_fast')
  config = feature_config.FeatureConfig(
      encoder='SM', steps=3, view='flow', fields=2, size=16, short_side=24)
  view = feature_views.of_config(config)
  reader = feature_rows.Reader(dataset.load_info(data_dir), [view], 4, config)
  [(_, rows, _)] = _videos(reader).values()
  [batch] = _from_make_dataset(data_dir, view, 4, 3)
  assert rows.shape == (3, 1, 16, 16, 4)
  np.testing.assert_array_equal(rows, batch['flow'][0])


def test_sound_is_cut_and_resampled(tmp_path):
  video = tiny_shards.noise_video('a', 40, seed=1)
  silent = tiny_shards.noise_video('b', 40, seed=2, has_audio=False)
  half = tiny_shards.noise_video('c', 40, seed=3, sound=(0, 2))
  data_dir = tiny_shards.write(tmp_path, [video, silent, half])
  view = feature_views.Waveform(sample_rate=8000, seconds=.5)
  found = _videos(_reader(data_dir, view, 5, every_seconds=1.0))
  _, rows, present = found[b'a']
  assert rows.shape == (4, 4000) and present.tolist() == [1, 1, 1, 1]
  for k, row in enumerate(rows):
    middle = found[b'a'][0].times[k] * 8000 // 1_000_000
    np.testing.assert_array_equal(row, video.waveform[middle - 2000:middle + 2000])
  assert not found[b'b'][1].any() and not found[b'b'][2].any()
  assert found[b'c'][2].tolist() == [1, 1, 0, 0]
  other = feature_views.Waveform(sample_rate=16000, seconds=.5)
  [(_, wide, _), *_] = _videos(_reader(data_dir, other, 5, every_seconds=1.0)).values()
  assert wide.shape == (4, 8000)
  np.testing.assert_allclose(wide[:, 1000:-1000:2], rows[:, 500:-500], atol=.05)


@pytest.mark.parametrize('total, window, seconds, rate', [
    (100, 8, 1.0, 10.0), (104, 8, 1.0, 10.0), (106, 1, 1.0, 10.0), (3, 8, 1.0, 10.0),
    (300, 32, .5, 29.97), (7, 1, 2.0, 10.0), (100, 32, .32, 10.0)])
def test_steps_in_each_so_many_seconds(total, window, seconds, rate):
  starts = feature_rows.starts_every(total, window, seconds, rate).numpy()
  middles = [(k + .5) * seconds for k in range(1000)]
  inside = [m for m in middles if m < total / rate - 1e-9] or middles[:1]
  assert len(starts) == len(inside)
  for start, middle in zip(starts, inside):
    wanted = math.floor(middle * rate - window / 2 + .5)
    assert start == min(max(wanted, 0), max(total - window, 0))


def test_an_empty_shard_and_a_short_one(tmp_path):
  videos = [tiny_shards.noise_video('a', 8)]
  data_dir = tiny_shards.write(tmp_path, videos, num_shards=2)
  reader = _reader(data_dir, steps=2)
  assert not list(reader.chunks('train-00001-of-00002.tfrecord'))
  (tmp_path / 'train-00000-of-00002.tfrecord').write_bytes(b'')
  with pytest.raises(Exception, match='expected to contain 1 element'):
    list(reader.chunks('train-00000-of-00002.tfrecord'))


def test_what_records_do_not_hold_is_told_before(tmp_path):
  data_dir = tiny_shards.write(tmp_path, [tiny_shards.noise_video('a', 8)])
  with pytest.raises(ValueError, match='without optical flow'):
    _reader(data_dir, dataset.FlowFrames(num_frames=1, stride=1), 5, steps=2)
