import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_dataset
from tests.data import tiny_shards
from tfmm import schema
from tfmm.data import dataset

_RGB, _PREVIEW, _SOUND = tiny_dataset.RGB, tiny_dataset.PREVIEW, tiny_dataset.SOUND


def test_a_batch_is_what_the_specs_promise(data_dir):
  spec = tiny_dataset.spec()
  batches = dataset.make_dataset(
      spec, data_dir, 'train', batch_size=4, training=True, seed=1)
  batch = next(iter(batches))
  assert set(batch) == {'rgb', 'rgb_preview', 'spectrogram', 'present', 'label',
                        'media_id', 'segment_times'}
  for name, promised in spec.view_specs().items():
    assert promised.is_compatible_with(batch[name])
    assert batches.element_spec[name].shape[:2] == (4, 3)
  assert batch['present'].shape == (4, 3, 2) and batch['present'].dtype == tf.float32
  assert batch['label'].shape == (4,) and batch['label'].dtype == tf.int32
  assert batch['segment_times'].shape == (4, 3, 2)
  for name, label in zip(batch['media_id'].numpy(), batch['label'].numpy()):
    assert label == int(name[1:-4]) % 3


def test_a_video_is_augmented_the_same_in_any_batch(data_dir):
  by_id = lambda batches: {
      name: {k: v[i] for k, v in batch.items()}
      for batch in batches for i, name in enumerate(batch['media_id'])}
  small = by_id(tiny_dataset.train(data_dir, 3))
  large = by_id(tiny_dataset.train(data_dir, 1, batch_size=12))
  assert len(set(small) & set(large)) >= 11
  for name in set(small) & set(large):
    tiny_dataset.equal(small[name], large[name])


def test_segments_change_between_epochs(data_dir):
  batches = tiny_dataset.train(data_dir, 2, batch_size=13)
  times = [dict(zip(b['media_id'], b['segment_times'].tolist())) for b in batches]
  assert sum(times[0][name] != times[1][name] for name in times[0]) >= 8


@pytest.mark.parametrize('training', [False, True])
def test_clips_of_one_video_read_like_the_whole(tmp_path, training):
  videos = lambda **more: [
      tiny_shards.noise_video(f'v{k}', 23, seed=k, **(more if k else {}))
      for k in range(3)]
  batches = []
  for name, options in (('whole', {}), ('clips', {'clip_frames': 6})):
    directory = tiny_shards.write(tmp_path / name, videos(**options))
    found = dataset.make_dataset(
        tiny_dataset.spec(), directory, 'train', batch_size=3, training=training,
        seed=5)
    batches.append(next(found.as_numpy_iterator()))
  tiny_dataset.equal(*batches)


def _windows_of(directory, videos, *, num_segments, segment_frames, margin, **options):
  """Writes videos as windows, margin in frames; returns what is written."""
  videos = [tiny_shards.segmented(
      video, num_segments=num_segments, segment_frames=segment_frames, margin=margin,
      **options) for video in videos]
  tiny_shards.write(
      directory, videos, frames='segments', num_segments=num_segments,
      segment_frames=segment_frames, flow='dis_fast',
      segment_margin_seconds=margin / tiny_shards.FRAME_RATE)
  return videos


@pytest.mark.parametrize('segments, margin, max_frames', [
    (4, 0, 1000),  # runs far apart, no margin
    (5, 2, 1000),  # runs of short videos touch and become one clip
    (8, 3, 14)])  # clips overlap in time
def test_windows_read_like_the_whole_video(tmp_path, segments, margin, max_frames):
  """Also videos as long as a window, and shorter ones."""
  videos = [
      tiny_shards.with_flow(tiny_shards.noise_video(
          f'v{total}', total, seed=total, pcm16=total % 2 == 0, sound=(.4, 7.)))
      for total in (90, 41, 33, 7, 6, 4)]
  flow = dataset.FlowFrames(  # reads as far as the window reaches
      num_frames=3, stride=2, fields=2, size=16, short_side=24, scale_range=(24, 28))
  spec = tiny_dataset.spec(
      views=(_RGB, _PREVIEW, flow, _SOUND), modalities=('rgb', 'flow', 'audio'),
      eval_segments=segments)
  tiny_shards.write(tmp_path / 'dense', videos, flow='dis_fast')
  written = _windows_of(
      tmp_path / 'windows', videos, num_segments=segments, segment_frames=6,
      margin=margin, max_frames=max_frames)
  assert len(written[0].spans) == segments
  dense, windows = (
      tiny_dataset.evaluate(tmp_path / name, spec, batch_size=6)[0]
      for name in ('dense', 'windows'))
  assert dense.keys() == windows.keys()
  for key in ('rgb', 'rgb_preview', 'flow', 'present', 'label', 'media_id'):
    np.testing.assert_array_equal(windows[key], dense[key], key)
  for key in ('spectrogram', 'segment_times'):
    np.testing.assert_allclose(windows[key], dense[key], atol=1e-5, err_msg=key)


@pytest.mark.parametrize('asked, expected', [
    (1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (4, [0, 1, 3, 4]),
    (7, [0, 1, 1, 2, 3, 3, 4])])
def test_other_numbers_of_segments_take_the_nearest_windows(
    tmp_path, asked, expected):
  """Of windows of 10 frames the middle 6 are read; they start every 20 frames."""
  _windows_of(tmp_path, [tiny_shards.flat_video('a', 90)], num_segments=5,
              segment_frames=10, margin=2)
  batch, = tiny_dataset.evaluate(tmp_path, tiny_dataset.spec(
      views=(dataset.RgbFrames(
          num_frames=3, stride=2, size=16, short_side=16, scale_range=(16, 16)),
             _SOUND), eval_segments=asked))
  begin = 2. * np.array(expected) + .2
  np.testing.assert_allclose(
      batch['segment_times'][0], np.stack([begin, begin + .6], 1), rtol=1e-6)
  frames = np.rint(begin * 10)[:, None] + [0, 2, 4]
  np.testing.assert_allclose(
      batch['rgb'][0].mean((2, 3, 4)), tiny_shards.frame_level(frames), atol=1.5)


def test_random_segments_stay_in_their_runs(tmp_path):
  """They begin anywhere in the margins, and all their frames are of one run."""
  video, = _windows_of(
      tmp_path, [tiny_shards.flat_video('a', 90)], num_segments=4, segment_frames=6,
      margin=2)
  rgb = dataset.RgbFrames(
      num_frames=3, stride=2, size=16, short_side=16, scale_range=(16, 16))
  spec = tiny_dataset.spec(views=(rgb, _SOUND), num_segments=4)
  seen = set()
  for batch in tiny_dataset.train(tmp_path, 60, spec, batch_size=1):
    starts = np.rint(batch['segment_times'][0, :, 0] * 10).astype(int)
    for start, (begin, end, _) in zip(starts, video.spans):
      assert begin <= start <= end - 6
    np.testing.assert_allclose(
        batch['rgb'][0].mean((2, 3, 4)),
        tiny_shards.frame_level(starts[:, None] + [0, 2, 4]), atol=1.5)
    assert batch['present'].all()
    seen |= set(starts)
  # Runs of 8, 10, 10 and 8 frames leave 3, 5, 5 and 3 places.
  assert len(seen) == 16


def test_several_labels(tmp_path):
  videos = [tiny_shards.noise_video('a', labels=(0, 2)),
            tiny_shards.noise_video('b', labels=(1,))]
  tiny_shards.write(tmp_path, videos, multi_label=True)
  batch, = tiny_dataset.evaluate(tmp_path, batch_size=2)
  np.testing.assert_array_equal(batch['label'], [[1, 0, 1], [0, 1, 0]])
  assert batch['label'].dtype == np.float32


def test_sound_alone_places_the_segments_of_the_visual_run(data_dir):
  alone = tiny_dataset.spec(
      views=(_SOUND,), modalities=('audio',), segment_frames=6)
  for one, other in zip(
      tiny_dataset.train(data_dir, 3, alone), tiny_dataset.train(data_dir, 3)):
    for key in ('spectrogram', 'segment_times', 'media_id'):
      np.testing.assert_array_equal(one[key], other[key])


def test_unfinished_directory_is_one_line_with_the_command(data_dir, tmp_path):
  for name in (schema.COMPLETED, schema.DATASET_INFO):
    broken = tmp_path / name
    shutil.copytree(data_dir, broken)
    os.remove(broken / name)
    with pytest.raises(FileNotFoundError) as error:
      tiny_dataset.train(str(broken), 1)
    assert '\n' not in str(error.value) and name in str(error.value)
    assert f'prepare_videos --manifest=MANIFEST.csv --output_dir={broken}' in str(
        error.value)


def test_data_that_does_not_fit_is_named(data_dir, tmp_path):
  with pytest.raises(ValueError, match='13 videos.*batch_size=14.*BATCH_SIZE=13'):
    tiny_dataset.train(data_dir, 1, batch_size=14)
  with pytest.raises(ValueError, match="no videos in split 'validation'.*train, test"):
    tiny_dataset.evaluate(data_dir, split='validation')
  other = tiny_shards.write(
      tmp_path, [tiny_shards.noise_video('a')], sample_rate=0)
  with pytest.raises(ValueError, match='without sound.*--sample_rate=8000'):
    tiny_dataset.train(other, 1, batch_size=1)


def test_info(data_dir):
  info = dataset.load_info(data_dir)
  assert info.labels == ('a', 'b', 'c') and info.num_classes == 3
  assert info.num_videos('train') == 13 and info.num_videos('test') == 5
  assert info.steps_per_epoch('train', 4) == 3
  assert info.options['sample_rate'] == 8000


@pytest.mark.parametrize('options, message', [
    ({'modalities': 'rgb'}, 'is a string'),
    ({'modalities': ('rgb', 'flow', 'audio')}, "'flow' has no view"),
    ({'modalities': ('rgb',)}, "'spectrogram' is of modality 'audio'"),
    ({'views': (_RGB, _RGB, _SOUND)}, "'rgb' is taken"),
    ({'views': (_PREVIEW, _RGB, _SOUND)}, 'stand before'),
    ({'views': (_RGB, dataset.RgbPreview(frames=(0, 3)), _SOUND)}, 'wants frame 3'),
    ({'views': (_RGB, dataset.FlowPreview(
        source='rgb', modality='rgb', frames=(0,)), _SOUND)}, "10 channels.*'rgb' 3"),
    ({'views': (_SOUND,), 'modalities': ('audio',)}, 'set segment_frames'),
    ({'segment_frames': 5}, 'num_frames \\* stride = 6'),
    ({'num_segments': 0}, 'at least 1')])
def test_specs_that_make_no_sense(options, message):
  with pytest.raises(ValueError, match=message):
    tiny_dataset.spec(**options)
