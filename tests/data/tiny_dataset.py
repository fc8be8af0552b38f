"""Small views and batches of small shards, for the tests of the reading side."""

import numpy as np

from tfmm.data import dataset

RGB = dataset.RgbFrames(
    num_frames=3, stride=2, size=16, short_side=24, scale_range=(24, 28))
PREVIEW = dataset.RgbPreview(frames=(0, 2), size=8)
SOUND = dataset.LogSpectrogram(
    sample_rate=8000, seconds=.16, n_fft=31, window=30, hop=40)


def spec(**options):
  """RGB, its preview and sound; 3 segments in training and 4 otherwise."""
  return dataset.DatasetSpec(**{
      'views': (RGB, PREVIEW, SOUND), 'num_segments': 3, 'eval_segments': 4,
      'shuffle_buffer': 5, **options})


def train(data_dir, steps, a_spec=None, **options):
  """The first batches of training, of 4 videos with seed 3 unless told otherwise."""
  options = {'batch_size': 4, 'training': True, 'seed': 3, **options}
  batches = dataset.make_dataset(a_spec or spec(), data_dir, 'train', **options)
  return list(batches.take(steps).as_numpy_iterator())


def evaluate(data_dir, a_spec=None, split='train', **options):
  """All batches of one pass, of one video each unless told otherwise."""
  options = {'batch_size': 1, 'training': False, **options}
  batches = dataset.make_dataset(a_spec or spec(), data_dir, split, **options)
  return list(batches.as_numpy_iterator())


def equal(one, other):
  """Asserts that two batches are bit-equal."""
  assert one.keys() == other.keys()
  for key in one:
    np.testing.assert_array_equal(one[key], other[key], key)


def ids(batches):
  return [name.decode() for batch in batches for name in batch['media_id']]
