import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_shards
from tfmm import schema
from tfmm.data import augment, dataset
from tfmm.data import spectrogram

_RGB = dataset.RgbFrames(
    num_frames=3, stride=2, size=16, short_side=24, scale_range=(24, 28))
_PREVIEW = dataset.RgbPreview(frames=(0, 2), size=8)
_SOUND = dataset.LogSpectrogram(
    sample_rate=8000, seconds=.16, n_fft=31, window=30, hop=40)


def _spec(**options):
  return dataset.DatasetSpec(**{
      'views': (_RGB, _PREVIEW, _SOUND), 'num_segments': 3, 'eval_segments': 4,
      'shuffle_buffer': 5, **options})


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """13 training videos in 3 shards, one in three clips; 5 test videos."""
  directory = tmp_path_factory.mktemp('data')
  videos = [tiny_shards.noise_video(
      f'v{k}.mp4', 12 + k, seed=k, labels=(k % 3,),
      clip_frames=5 if k == 4 else None) for k in range(13)]
  tiny_shards.write(directory, videos, num_shards=3)
  test = [tiny_shards.noise_video(f't{k}', 15, seed=50 + k) for k in range(5)]
  return tiny_shards.write(directory, test, split='test', num_shards=2)


def _train(data_dir, steps, spec=None, **options):
  options = {'batch_size': 4, 'training': True, 'seed': 3, **options}
  batches = dataset.make_dataset(spec or _spec(), data_dir, 'train', **options)
  return list(batches.take(steps).as_numpy_iterator())


def _equal(one, other):
  assert one.keys() == other.keys()
  for key in one:
    np.testing.assert_array_equal(one[key], other[key], key)


def _ids(batches):
  return [name.decode() for batch in batches for name in batch['media_id']]


def test_a_batch_is_what_the_specs_promise(data_dir):
  spec = _spec()
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
  for name, label in zip(_ids([batch_np(batch)]), batch['label'].numpy()):
    assert label == int(name[1:-4]) % 3


def batch_np(batch):
  return {key: value.numpy() for key, value in batch.items()}


def test_same_seed_same_batches_whatever_the_global_seed(data_dir):
  tf.random.set_seed(1)
  first = _train(data_dir, 7)
  tf.random.set_seed(2)
  for one, other in zip(first, _train(data_dir, 7)):
    _equal(one, other)
  assert _ids(first) != _ids(_train(data_dir, 7, seed=4))


def test_an_epoch_is_whole_batches_of_distinct_videos_in_new_order(data_dir):
  ids = _ids(_train(data_dir, 6))
  epochs = ids[:12], ids[12:]
  assert all(len(set(epoch)) == 12 for epoch in epochs)
  assert epochs[0] != epochs[1]


@pytest.mark.parametrize('start', [1, 2, 3, 4, 7])
def test_resume_equals_the_undisturbed_stream(data_dir, start):
  whole = _train(data_dir, 8)
  for one, other in zip(whole[start:], _train(data_dir, 8 - start, start_step=start)):
    _equal(one, other)


def test_a_video_is_augmented_the_same_in_any_batch(data_dir):
  by_id = lambda batches: {
      name: {k: v[i] for k, v in batch.items()}
      for batch in batches for i, name in enumerate(batch['media_id'])}
  small = by_id(_train(data_dir, 3))
  large = by_id(_train(data_dir, 1, batch_size=12))
  assert len(set(small) & set(large)) >= 11
  for name in set(small) & set(large):
    _equal(small[name], large[name])


def test_segments_change_between_epochs(data_dir):
  batches = _train(data_dir, 2, batch_size=13)
  times = [dict(zip(b['media_id'], b['segment_times'].tolist())) for b in batches]
  assert sum(times[0][name] != times[1][name] for name in times[0]) >= 8


def test_evaluation_keeps_stored_order_and_the_last_part(data_dir):
  options = {'batch_size': 2, 'training': False}
  read = lambda **more: list(dataset.make_dataset(
      _spec(), data_dir, 'test', **options, **more).as_numpy_iterator())
  whole = read(drop_remainder=False)
  # The two shards hold videos 0, 2, 4 and 1, 3.
  assert _ids(whole) == ['t0', 't2', 't4', 't1', 't3']
  assert [len(b['label']) for b in whole] == [2, 2, 1]
  assert _ids(read()) == ['t0', 't2', 't4', 't1']
  assert whole[0]['rgb'].shape == (2, 4, 3, 16, 16, 3)


def test_evaluation_views_against_numpy(tmp_path):
  video = tiny_shards.noise_video('a', 21, height=24, width=32)
  tiny_shards.write(tmp_path, [video], split='test')
  batch, = dataset.make_dataset(
      _spec(), tmp_path, 'test', batch_size=1, training=False).as_numpy_iterator()
  starts = np.linspace(0, 21 - 6, 4).astype(int)
  np.testing.assert_allclose(
      batch['segment_times'][0], np.stack([starts, starts + 6], 1) / 10, rtol=1e-6)
  decoded = np.stack([
      tf.io.decode_jpeg(tiny_shards.jpeg(f), dct_method='INTEGER_ACCURATE').numpy()
      for f in video.frames])
  frames = decoded[starts[:, None] + [0, 2, 4]][:, :, 4:20, 8:24]
  np.testing.assert_array_equal(batch['rgb'][0], frames)
  # Halving with half-pixel centres is the mean of 2 x 2.
  small = frames[:, [0, 2]].reshape(4, 2, 8, 2, 8, 2, 3).mean((3, 5))
  np.testing.assert_allclose(batch['rgb_preview'][0], small, atol=1e-4)
  left = np.round((starts + 3) * 800 - 640).astype(int)
  sound = np.stack([video.waveform[k:k + 1280] for k in left])
  expected = spectrogram.log_power_spectrogram(sound, n_fft=31, window=30, hop=40)
  np.testing.assert_allclose(batch['spectrogram'][0, ..., 0], expected, atol=1e-3)


def test_preview_shows_the_augmented_crop(data_dir):
  for batch in _train(data_dir, 2):
    crops = batch['rgb'][:, :, [0, 2]].astype(np.float32)
    small = crops.reshape(4, 3, 2, 8, 2, 8, 2, 3).mean((4, 6))
    np.testing.assert_allclose(batch['rgb_preview'], small, atol=1e-3)


def test_frames_and_sound_of_a_segment_belong_together(tmp_path):
  """A tone at 6.0-6.8 s is loud in the segments around it alone."""
  t = np.arange(80000) / 8000
  tone = np.where((t >= 6) & (t < 6.8), np.sin(2 * np.pi * 1000 * t), 0)
  video = tiny_shards.flat_video('a', 100, waveform=tone.astype(np.float32))
  tiny_shards.write(tmp_path, [video])
  rgb = dataset.RgbFrames(
      num_frames=4, stride=2, size=16, short_side=16, scale_range=(16, 16))
  spec = dataset.DatasetSpec(
      views=(rgb, _SOUND), num_segments=10, eval_segments=12)
  for training in (False, True):
    batches = dataset.make_dataset(
        spec, tmp_path, 'train', batch_size=1, training=training)
    for batch in batches.take(3).as_numpy_iterator():
      heard = batch['spectrogram'][0, ..., 0].max((1, 2)) > 0
      begin, end = batch['segment_times'][0].T
      middle = (begin + end) / 2
      expected = (middle + .08 > 6) & (middle - .08 < 6.8)
      np.testing.assert_array_equal(heard, expected)
      levels = batch['rgb'][0].mean((2, 3, 4))
      frames = begin[:, None] * 10 + 2 * np.arange(4)
      np.testing.assert_allclose(
          levels, tiny_shards.frame_level(frames), atol=1.5)


def test_missing_sound_is_not_present_and_zero(tmp_path):
  videos = [
      tiny_shards.noise_video('silent', 20, has_audio=False),
      tiny_shards.noise_video('sounding', 20),
      tiny_shards.noise_video('half', 20, sound=(0, .7))]
  tiny_shards.write(tmp_path, videos)
  batch, = dataset.make_dataset(
      _spec(), tmp_path, 'train', batch_size=3, training=False).as_numpy_iterator()
  np.testing.assert_array_equal(batch['present'][..., 0], np.ones([3, 4]))
  np.testing.assert_array_equal(
      batch['present'][..., 1], [[0] * 4, [1] * 4, [1, 1, 0, 0]])
  absent = batch['present'][..., 1] == 0
  assert not batch['spectrogram'][absent].any()
  assert all(s.any() for s in batch['spectrogram'][~absent])


@pytest.mark.parametrize('training', [False, True])
def test_clips_of_one_video_read_like_the_whole(tmp_path, training):
  videos = lambda **more: [
      tiny_shards.noise_video(f'v{k}', 23, seed=k, **(more if k else {}))
      for k in range(3)]
  batches = []
  for name, options in (('whole', {}), ('clips', {'clip_frames': 6})):
    directory = tiny_shards.write(tmp_path / name, videos(**options))
    found = dataset.make_dataset(
        _spec(), directory, 'train', batch_size=3, training=training, seed=5)
    batches.append(next(found.as_numpy_iterator()))
  _equal(*batches)


def test_video_shorter_than_a_segment(tmp_path):
  tiny_shards.write(tmp_path, [tiny_shards.flat_video('a', 3)])
  rgb = dataset.RgbFrames(
      num_frames=3, stride=2, size=16, short_side=16, scale_range=(16, 16))
  spec = dataset.DatasetSpec(views=(rgb, _SOUND), eval_segments=2)
  batch, = dataset.make_dataset(
      spec, tmp_path, 'train', batch_size=1, training=False).as_numpy_iterator()
  levels = batch['rgb'][0].mean((2, 3, 4))
  np.testing.assert_allclose(
      levels, [[tiny_shards.frame_level(k) for k in (0, 2, 2)]] * 2, atol=1.5)
  np.testing.assert_allclose(batch['segment_times'][0], [[0, .3]] * 2, rtol=1e-6)


def test_several_labels(tmp_path):
  videos = [tiny_shards.noise_video('a', labels=(0, 2)),
            tiny_shards.noise_video('b', labels=(1,))]
  tiny_shards.write(tmp_path, videos, multi_label=True)
  batch, = dataset.make_dataset(
      _spec(), tmp_path, 'train', batch_size=2, training=False).as_numpy_iterator()
  np.testing.assert_array_equal(batch['label'], [[1, 0, 1], [0, 1, 0]])
  assert batch['label'].dtype == np.float32


def test_another_sound_rate_is_resampled(tmp_path):
  t = np.arange(16000) / 8000
  tone = np.sin(2 * np.pi * 500 * t).astype(np.float32)
  tiny_shards.write(tmp_path, [tiny_shards.flat_video('a', 20, waveform=tone)])
  sound = dataset.LogSpectrogram(
      sample_rate=4000, seconds=.32, n_fft=128, window=128, hop=64)
  spec = dataset.DatasetSpec(
      views=(sound,), modalities=('audio',), segment_frames=6, eval_segments=3)
  batch, = dataset.make_dataset(
      spec, tmp_path, 'train', batch_size=1, training=False).as_numpy_iterator()
  # 500 Hz is bin 16 of 128 points at 4 kHz.
  middle = batch['spectrogram'][0, :, :, 5, 0]
  np.testing.assert_array_equal(middle.argmax(1), [16] * 3)


def test_sound_alone_places_the_segments_of_the_visual_run(data_dir):
  alone = _spec(views=(_SOUND,), modalities=('audio',), segment_frames=6)
  for one, other in zip(_train(data_dir, 3, alone), _train(data_dir, 3)):
    for key in ('spectrogram', 'segment_times', 'media_id'):
      np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize('workers', [2, 4])
def test_workers_share_the_global_batches(data_dir, workers):
  whole = _train(data_dir, 5)
  parts = [
      _train(data_dir, 5, input_context=tf.distribute.InputContext(
          num_input_pipelines=workers, input_pipeline_id=k,
          num_replicas_in_sync=workers))
      for k in range(workers)]
  for step, batch in enumerate(whole):
    joined = {key: np.concatenate([part[step][key] for part in parts])
              for key in batch}
    _equal(joined, batch)


def test_replicas_of_one_worker_get_successive_parts(data_dir):
  context = tf.distribute.InputContext(
      num_input_pipelines=1, input_pipeline_id=0, num_replicas_in_sync=2)
  parts = _train(data_dir, 4, input_context=context)
  assert _ids(parts) == _ids(_train(data_dir, 2))
  context = tf.distribute.InputContext(num_replicas_in_sync=3)
  with pytest.raises(ValueError, match='batch_size=4 .* 3 replicas'):
    _train(data_dir, 1, input_context=context)


def test_masks_are_drawn_in_training_only(data_dir):
  spec = _spec(augment=augment.Augmentation(time_mask=20))
  masked, plain = _train(data_dir, 1, spec)[0], _train(data_dir, 1)[0]
  assert (masked['spectrogram'] != plain['spectrogram']).any()
  np.testing.assert_array_equal(masked['rgb'], plain['rgb'])
  read = lambda s: next(dataset.make_dataset(
      s, data_dir, 'test', batch_size=2, training=False).as_numpy_iterator())
  _equal(read(spec), read(_spec()))


def test_colours_are_a_function_of_the_seed(data_dir):
  spec = _spec(views=(_RGB,), modalities=('rgb',), augment=dataset.Augmentation(
      brightness=.2, contrast=.2, saturation=.2))
  plain = _spec(views=(_RGB,), modalities=('rgb',))
  first, = _train(data_dir, 1, spec)
  _equal(first, _train(data_dir, 1, spec)[0])
  assert (first['rgb'] != _train(data_dir, 1, plain)[0]['rgb']).any()


def test_unfinished_directory_is_one_line_with_the_command(data_dir, tmp_path):
  for name in (schema.COMPLETED, schema.DATASET_INFO):
    broken = tmp_path / name
    shutil.copytree(data_dir, broken)
    os.remove(broken / name)
    with pytest.raises(FileNotFoundError) as error:
      _train(str(broken), 1)
    assert '\n' not in str(error.value) and name in str(error.value)
    assert f'prepare_videos --manifest=MANIFEST.csv --output_dir={broken}' in str(
        error.value)


def test_data_that_does_not_fit_is_named(data_dir, tmp_path):
  with pytest.raises(ValueError, match='13 videos.*batch_size=14.*BATCH_SIZE=13'):
    _train(data_dir, 1, batch_size=14)
  with pytest.raises(ValueError, match="no videos in split 'validation'.*train, test"):
    dataset.make_dataset(
        _spec(), data_dir, 'validation', batch_size=1, training=False)
  for key, value, message in (('sample_rate', 0, 'without sound'),
                              ('frames', 'segments', "frames='segments'")):
    other = tiny_shards.write(
        tmp_path / key, [tiny_shards.noise_video('a')], **{key: value})
    with pytest.raises(ValueError, match=message):
      _train(other, 1, batch_size=1)


def test_shards_with_another_number_of_videos_fail(data_dir, tmp_path):
  broken = tmp_path / 'broken'
  shutil.copytree(data_dir, broken)
  path = broken / schema.DATASET_INFO
  info = json.loads(path.read_text())
  info['splits']['test']['num_videos'] = 6
  path.write_text(json.dumps(info))
  batches = dataset.make_dataset(
      _spec(), str(broken), 'test', batch_size=1, training=False)
  with pytest.raises(tf.errors.OpError, match='6'):
    list(batches)


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
    ({'views': (_SOUND,), 'modalities': ('audio',)}, 'set segment_frames'),
    ({'segment_frames': 5}, 'num_frames \\* stride = 6'),
    ({'num_segments': 0}, 'at least 1')])
def test_specs_that_make_no_sense(options, message):
  with pytest.raises(ValueError, match=message):
    _spec(**options)


@pytest.mark.parametrize('options, message', [
    ({'size': 300}, 'size=300'), ({'stride': 0}, 'stride=0'),
    ({'scale_range': (320, 256)}, 'lower bound first')])
def test_views_that_make_no_sense(options, message):
  with pytest.raises(ValueError, match=message):
    dataset.RgbFrames(**options)


def test_default_views_are_the_papers():
  shapes = {name: tuple(spec.shape[2:]) for name, spec in dataset.DatasetSpec(
      views=(dataset.RgbFrames(), dataset.RgbPreview(), dataset.LogSpectrogram())
  ).view_specs().items()}
  assert shapes == {'rgb': (8, 224, 224, 3), 'rgb_preview': (4, 160, 160, 3),
                    'spectrogram': (256, 256, 1)}
