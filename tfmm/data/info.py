"""What a prepared directory says of itself: `dataset_info.json`."""

import contextlib
import dataclasses
import hashlib
import json
from typing import Any, Mapping

import tensorflow as tf

from tfmm import schema

# What TensorFlow raises of records that are missing, cut, changed or no JPEGs.
_OF_RECORDS = (tf.errors.DataLossError, tf.errors.NotFoundError,
               tf.errors.FailedPreconditionError, tf.errors.InvalidArgumentError,
               tf.errors.OutOfRangeError)

# File systems that TensorFlow itself knows need no tensorflow-io.
_LOCAL = ('', 'file', 'ram')


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
  """A finished dataset.

  Attributes:
    data_dir: the directory, local or remote.
    labels: names of the classes, in the order of their indices.
    multi_label: whether a video may have several labels.
    splits: per split, `num_videos`, `num_clips`, `per_label`, `shards`, ...
    options: how it was prepared: `frame_rate`, `short_side`, `sample_rate`, ...
    made_by: command that makes its shards.
  """

  data_dir: str
  labels: tuple[str, ...]
  multi_label: bool
  splits: Mapping[str, Mapping[str, Any]]
  options: Mapping[str, Any]
  made_by: str = 'prepare_videos'

  @property
  def num_classes(self):
    return len(self.labels)

  def split(self, name):
    """The entry of a split that has videos.

    Raises:
      ValueError: if there is no such split or it is empty.
    """
    if not self.splits.get(name, {}).get('num_videos'):
      filled = [s for s, entry in self.splits.items() if entry.get('num_videos')]
      raise ValueError(f'{self.data_dir} has no videos in split {name!r}; splits with '
                       f'videos: {", ".join(filled) or "none"}')
    return self.splits[name]

  def num_videos(self, split):
    return self.split(split)['num_videos']

  def steps_per_epoch(self, split, batch_size):
    """Whole batches in one epoch; the remainder is dropped.

    Raises:
      ValueError: if the split does not fill one batch.
    """
    videos = self.num_videos(split)
    if batch_size < 1:
      raise ValueError(f'batch_size={batch_size} must be at least 1')
    if videos < batch_size:
      raise ValueError(
          f'split {split!r} of {self.data_dir} has {videos} videos, fewer than '
          f'batch_size={batch_size}; lower it: --gin_param=BATCH_SIZE={videos}')
    return videos // batch_size


def register_file_systems(data_dir):
  """Loads tensorflow-io's file systems if the path needs them (s3://, http://, ...)."""
  scheme = data_dir.split('://')[0] if '://' in data_dir else ''
  if scheme in _LOCAL:
    return
  try:
    import tensorflow_io  # pylint: disable=g-import-not-at-top,unused-import
  except ImportError as error:
    raise ValueError(f'{data_dir} needs tensorflow-io for {scheme}:// paths, which '
                     f'does not load ({error}); install it or copy the data') from None


def load_info(data_dir):
  """Reads `dataset_info.json` of a finished dataset.

  Args:
    data_dir: output directory of prepare_videos.

  Returns:
    A `DatasetInfo`.

  Raises:
    FileNotFoundError: if the directory is missing or not finished.
    OSError: if a remote directory cannot be reached.
    ValueError: if the file is not what this version writes.
  """
  data_dir = str(data_dir)
  register_file_systems(data_dir)
  for name in (schema.COMPLETED, schema.DATASET_INFO):
    try:
      found = tf.io.gfile.exists(tf.io.gfile.join(data_dir, name))
    except tf.errors.OpError as error:
      raise OSError(f'{data_dir} cannot be read: {error.message}') from None
    if not found:
      raise FileNotFoundError(
          f'{data_dir} is not a finished dataset (no {name}); make it: python -m '
          'beam_pipelines.prepare_videos --manifest=MANIFEST.csv '
          f'--output_dir={data_dir}')
  path = tf.io.gfile.join(data_dir, schema.DATASET_INFO)
  with tf.io.gfile.GFile(path) as file:
    try:
      content = json.load(file)
    except json.JSONDecodeError as error:
      raise ValueError(f'{path} is not JSON ({error}); prepare it again') from None
  version = content.get('schema_version') if isinstance(content, dict) else None
  if version != schema.VERSION:
    raise ValueError(f'{path} has schema_version {version}, this tfmm reads '
                     f'{schema.VERSION}; prepare the videos again')
  try:
    return DatasetInfo(
        data_dir=data_dir,
        labels=tuple(content['labels']),
        multi_label=content.get('multi_label', False),
        splits=content['splits'],
        options=content['options'],
    )
  except KeyError as error:
    raise ValueError(f'{path} has no entry {error}; prepare it again') from None


@contextlib.contextmanager
def reading(info):
  """Around whatever reads records: says which shard is damaged, and how to mend it.

  Shards are looked at only when TensorFlow has failed, whose errors name no file.

  Args:
    info: the `DatasetInfo` of what is read.

  Raises:
    OSError: a shard is missing or is not what prepare_videos wrote.
  """
  try:
    yield
  except _OF_RECORDS as error:
    damaged = next(_damaged_shards(info), None)
    if damaged is None:
      raise
    if info.options.get('foreign'):
      raise OSError(f'{damaged}; mend the shard that it came from and run adopt_shards '
                    'again into another directory') from error
    raise OSError(
        f'{damaged}; delete that file, if it is there, and give the {info.made_by} '
        f'command of {info.data_dir} again: it makes that shard alone') from error


def _damaged_shards(info):
  """What is wrong with shards, by the checksums beside them."""
  for split in info.splits.values():
    for shard in split['shards']:
      path = tf.io.gfile.join(info.data_dir, shard['file'])
      if not tf.io.gfile.exists(path):
        yield f'{path} is missing'
        continue
      sidecar = tf.io.gfile.join(info.data_dir, schema.sidecar_name(shard['file']))
      if not tf.io.gfile.exists(sidecar):
        continue
      with tf.io.gfile.GFile(sidecar) as file:
        expected = json.load(file)['sha256']
      digest = hashlib.sha256()
      with tf.io.gfile.GFile(path, 'rb') as file:
        while block := file.read(1 << 20):
          digest.update(block)
      if digest.hexdigest() != expected:
        yield f'{path} is damaged: its content is not what was written'
