"""Tests of tfmm.data.features, on shards written directly."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_shards
from tfmm import schema
from tfmm.data import features

_DIM = {'rgb': 3, 'audio': 2}


def _value(modality, video, step):
  """What all numbers of a step are."""
  return 1000 * (modality == 'audio') + 100 * video + step


def write(directory, modality, steps, *, dim=None, num_shards=2, multi_label=False,
          absent=()):
  """Features of videos v0, v1, ... with so many steps each; returns the directory."""
  os.makedirs(directory)
  shards, dim, name = [], dim or _DIM[modality], modality.upper()
  for index in range(num_shards):
    mine = range(index, len(steps), num_shards)
    file = schema.shard_name('train', index, num_shards)
    with tf.io.TFRecordWriter(os.path.join(directory, file)) as writer:
      for k in mine:
        example = tf.train.SequenceExample()
        context = example.context.feature
        context[schema.MEDIA_ID].bytes_list.value.append(b'v%d' % k)
        context[schema.LABEL_INDEX].int64_list.value.extend(
            [0, 2] if multi_label else [k % 3])
        context[schema.present_key(name)].int64_list.value.extend(
            int((k, s) not in absent) for s in range(steps[k]))
        lists = example.feature_lists.feature_list
        floats, times = (
            lists[schema.feature_key(name, what)] for what in ('floats', 'timestamp'))
        for s in range(steps[k]):
          floats.feature.add().float_list.value.extend([_value(modality, k, s)] * dim)
          times.feature.add().int64_list.value.append(500_000 * s)
        writer.write(example.SerializeToString())
    shards.append({
        'file': file, 'num_videos': len(mine), 'clips_per_video': [1] * len(mine),
        'steps': [steps[k] for k in mine]})
  info = {'schema_version': schema.VERSION, 'labels': ['a', 'b', 'c'],
          'multi_label': multi_label,
          'options': {'frames': 'features', 'name': name, 'dimensions': dim},
          'splits': {'train': {'num_videos': len(steps), 'shards': shards}}}
  (directory / schema.DATASET_INFO).write_text(json.dumps(info))
  (directory / schema.COMPLETED).write_text('')
  return str(directory)


def write_all(tmp_path, steps, **options):
  """One directory for each modality; -> {modality: directory}."""
  return {m: write(tmp_path / m, m, steps, **options) for m in ('rgb', 'audio')}


def _read(dirs, **options):
  options = {'batch_size': 2, 'training': False, 'drop_remainder': False, **options}
  return features.make_feature_dataset(dirs, 'train', **options)


def test_stored_order_with_all_steps_filled_up(tmp_path):
  dirs = write_all(tmp_path, [2, 4, 3], absent=[(1, 3)])
  one, two = _read(dirs).as_numpy_iterator()  # v0 and v2, then v1
  assert one['media_id'].tolist() == [b'v0', b'v2'] and one['label'].tolist() == [0, 2]
  assert one['rgb'].shape == (2, 3, 3) and one['audio'].shape == (2, 3, 2)
  assert one['rgb'][..., 0].tolist() == [[0, 1, 0], [200, 201, 202]]
  assert one['audio'][..., 1].tolist() == [[1000, 1001, 0], [1200, 1201, 1202]]
  assert one['present'].tolist() == [[[1, 1], [1, 1], [0, 0]], [[1, 1]] * 3]
  assert two['present'].tolist() == [[[1, 1]] * 3 + [[0, 0]]]
  assert two['times'].tolist() == [[0, .5, 1, 1.5]]
  assert {k: v.dtype.name for k, v in one.items() if k != 'media_id'} == {
      'rgb': 'float32', 'audio': 'float32', 'present': 'float32', 'times': 'float32',
      'label': 'int32'}


def test_fewer_steps_are_spread_evenly(tmp_path):
  dirs = write_all(tmp_path, [9, 2])
  [batch] = _read(dirs, num_steps=3).as_numpy_iterator()
  assert batch['rgb'][..., 0].tolist() == [[0, 4, 8], [100, 100, 101]]
  assert _read(dirs, num_steps=3).element_spec['rgb'].shape == [None, 3, 3]


def test_training_is_a_function_of_seed_and_step(tmp_path):
  dirs = write_all(tmp_path, [12] * 9, num_shards=3)
  options = dict(training=True, num_steps=3, batch_size=2, seed=5)

  def take(count, **changes):
    return list(_read(dirs, **{**options, **changes}).take(count).as_numpy_iterator())

  whole = take(10)  # two epochs and a half
  for batch, again in zip(whole[3:], take(7, start_step=3), strict=True):
    for key, value in batch.items():
      np.testing.assert_array_equal(value, again[key])
  for epoch in (whole[:4], whole[4:8]):
    names = [n for batch in epoch for n in batch['media_id']]
    assert len(set(names)) == 8
  assert [b['media_id'].tolist() for b in whole[:4]] != (
      [b['media_id'].tolist() for b in whole[4:8]])
  rgb = np.concatenate([b['rgb'][..., 0] for b in whole])
  audio = np.concatenate([b['audio'][..., 0] for b in whole])
  np.testing.assert_array_equal(rgb + 1000, audio)  # the same steps of each
  steps = rgb % 100
  assert (steps // 4 == [0, 1, 2]).all()  # one of each third
  assert len(set(map(tuple, steps))) > 5
  assert any((a['rgb'] != b['rgb']).any() for a, b in zip(whole, take(10, seed=6)))


def test_several_labels(tmp_path):
  directory = write(tmp_path / 'rgb', 'rgb', [1, 1], multi_label=True)
  [batch] = _read({'rgb': directory}).as_numpy_iterator()
  assert batch['label'].tolist() == [[1, 0, 1]] * 2
  assert batch['present'].shape == (2, 1, 1)


def test_input_pipelines_share_a_batch(tmp_path):
  dirs = write_all(tmp_path, [2] * 8)
  parts = [list(_read(dirs, batch_size=4, input_context=tf.distribute.InputContext(
      2, k, 2)).as_numpy_iterator()) for k in range(2)]
  whole = list(_read(dirs, batch_size=4).as_numpy_iterator())
  for step, batch in enumerate(whole):
    np.testing.assert_array_equal(
        np.concatenate([part[step]['rgb'] for part in parts]), batch['rgb'])


def test_mistakes(tmp_path):
  rgb = write(tmp_path / 'rgb', 'rgb', [2, 2, 2])
  other = write(tmp_path / 'other', 'audio', [2, 2, 3])
  data = tiny_shards.write(tmp_path / 'D', [tiny_shards.noise_video('a', 8)])
  for error, dirs, says, options in (
      (ValueError, {'rgb': rgb, 'audio': other}, 'are of other videos or steps', {}),
      (ValueError, {'rgb': data}, 'holds videos, not features; make features of them: '
       f'python -m beam_pipelines.extract_features --data_dir={data}', {}),
      (FileNotFoundError, {'rgb': str(tmp_path / 'none')}, 'no finished features', {}),
      (ValueError, {}, 'feature_dirs is empty', {}),
      (ValueError, {'rgb': rgb}, 'fewer than batch_size=4',
       {'batch_size': 4, 'training': True})):
    with pytest.raises(error) as raised:
      _read(dirs, **options)
    assert says in str(raised.value)


def test_directories_of_other_videos_fail(tmp_path):
  dirs = {'rgb': write(tmp_path / 'rgb', 'rgb', [2, 2])}
  dirs['audio'] = write(tmp_path / 'audio', 'audio', [2, 2])
  shards = sorted((tmp_path / 'audio').glob('*.tfrecord'))
  shards[0].rename(tmp_path / 'x')
  shards[1].rename(shards[0])
  (tmp_path / 'x').rename(shards[1])
  with pytest.raises(tf.errors.InvalidArgumentError, match='other videos'):
    list(_read(dirs))
