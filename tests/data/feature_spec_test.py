"""Features as the data of a training run."""

import numpy as np
import pytest

from tests.data import features_test
from tfmm.data import feature_spec


def spec(**options):
  return feature_spec.FeatureSpec(**{
      'dims': {'rgb': 3, 'audio': 2}, 'modalities': ('rgb', 'audio'),
      'num_segments': 2, 'eval_segments': 4, **options})


@pytest.fixture
def data_dir(tmp_path):
  features_test.write_all(tmp_path, steps=(4, 4, 4, 4, 4), absent=((1, 2),))
  return str(tmp_path)


def test_batches(data_dir):
  [batch] = spec().batches(data_dir, 'train', batch_size=5, training=False)
  assert {k: tuple(v.shape) for k, v in batch.items()} == {
      'rgb': (5, 4, 3), 'audio': (5, 4, 2), 'present': (5, 4, 2), 'label': (5,),
      'media_id': (5,), 'segment_times': (5, 4, 2)}
  second = list(batch['media_id'].numpy()).index(b'v1')
  np.testing.assert_array_equal(batch['rgb'][second, :, 0], [100, 101, 102, 103])
  np.testing.assert_array_equal(batch['present'][second, :, 0], [1, 1, 0, 1])
  np.testing.assert_allclose(batch['segment_times'][second, :, 1], [0, .5, 1, 1.5])
  for name, value in spec().view_specs().items():
    assert value.is_compatible_with(batch[name])


def test_training_draws_as_many_steps_as_asked(data_dir):
  batches = spec().batches(data_dir, 'train', batch_size=2, training=True, seed=1)
  batch = next(iter(batches))
  assert batch['rgb'].shape == [2, 2, 3] and batch['present'].shape == [2, 2, 2]


def test_a_preview_is_no_modality(data_dir):
  looks = spec(modalities=('audio',))
  [batch] = looks.batches(data_dir, 'train', batch_size=5, training=False)
  assert batch['present'].shape == [5, 4, 1] and 'rgb' in batch


def test_info_is_of_all_views(data_dir):
  info = spec().load_info(data_dir)
  assert info.data_dir == data_dir and info.num_classes == 3
  assert info.num_videos('train') == 5 and info.steps_per_epoch('train', 2) == 2
  files = {shard['file'] for shard in info.split('train')['shards']}
  assert {f.split('/')[0] for f in files} == {'rgb', 'audio'} and len(files) == 4
  assert info.options['audio']['dimensions'] == 2


def test_mistakes(data_dir):
  with pytest.raises(ValueError, match='has features of 3 numbers and dims says 7'):
    spec(dims={'rgb': 7, 'audio': 2}).load_info(data_dir)
  with pytest.raises(FileNotFoundError, match='motion holds no finished features'):
    spec(dims={'rgb': 3, 'motion': 7}, modalities=('rgb',)).load_info(data_dir)
  with pytest.raises(ValueError, match='give each modality the length'):
    spec(modalities=('rgb', 'motion'))
  with pytest.raises(ValueError, match='num_segments=0'):
    spec(num_segments=0)
