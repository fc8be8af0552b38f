"""Shards of extract_features to batches; the record is described in `tfmm.schema`."""

from collections.abc import Mapping

import tensorflow as tf

from tfmm import schema
from tfmm.data import info as info_lib
from tfmm.data import order
from tfmm.data import reader
from tfmm.data import segments

_COMMAND = ('python -m beam_pipelines.extract_features --data_dir={data_dir} '
            '--output_dir={output_dir} --encoder=... --steps=...')


def load_info(feature_dir: str) -> info_lib.DatasetInfo:
  """Reads what a finished directory of extract_features says of itself.

  Raises:
    FileNotFoundError: if it is missing or not finished.
    ValueError: if it holds no features.
  """
  try:
    info = info_lib.load_info(feature_dir)
  except FileNotFoundError:
    raise FileNotFoundError(
        f'{feature_dir} holds no finished features; make them: '
        f'{_COMMAND.format(data_dir="DATA", output_dir=feature_dir)}') from None
  if info.options.get('frames') != schema.FEATURES:
    raise ValueError(
        f'{feature_dir} holds videos, not features; make features of them: '
        f'{_COMMAND.format(data_dir=feature_dir, output_dir="FEATURES")}')
  return info


def make_feature_dataset(feature_dirs: Mapping[str, str], split: str, *,
                         batch_size: int, training: bool, num_steps: int | None = None,
                         seed: int = 0, start_step: int = 0, shuffle_buffer: int = 256,
                         drop_remainder: bool = True,
                         input_context: tf.distribute.InputContext | None = None
                        ) -> tf.data.Dataset:
  """Batches of one split, from one directory of extract_features or several.

  A batch is one flat dict: float32 [B, S, D] for each modality; `present` float32
  [B, S, M] in the order of `feature_dirs`; `times` float32 [B, S], the middles of the
  steps in seconds, those of the first modality; `label` int32 [B], or float32 [B, C] if
  the dataset is multi-label; `media_id` string [B].

  Order and chance are functions of (seed, epoch) and of (seed, epoch, media_id), as in
  `dataset.make_dataset`.

  Args:
    feature_dirs: {modality: directory}, made from one data set with as many steps.
    split: 'train', 'validation' or 'test'.
    batch_size: videos per step, over all replicas.
    training: True: endless and shuffled. False: one pass in stored order.
    num_steps: S: steps spread evenly, or in training one drawn from each S-th part of
      the video; a video with fewer repeats some. None: all; shorter videos of a batch
      are filled up with zeros that are not present.
    seed: the run's seed; only used in training.
    start_step: training starts at this global step.
    shuffle_buffer: videos held for shuffling.
    drop_remainder: for evaluation; False gives a smaller last batch.
    input_context: this pipeline's slice of every global batch.

  Raises:
    FileNotFoundError: if a directory is not finished.
    ValueError: if directories do not belong together, or the split is too small.
  """
  infos = {name: load_info(path) for name, path in feature_dirs.items()}
  _check_alike(infos, split)

  def read(*entries):
    return _video(entries, infos, num_steps, seed if training else None)

  return order.batches(
      list(infos.values()), split, read, batch_size=batch_size, training=training,
      seed=seed, start_step=start_step, buffer=shuffle_buffer,
      drop_remainder=drop_remainder, input_context=input_context, padded=True)


def _check_alike(infos, split):
  """Refuses directories that are not of the same videos and steps."""
  if not infos:
    raise ValueError('feature_dirs is empty; give {modality: directory}')
  (first, info), *others = infos.items()
  entry = info.split(split)
  for name, other in others:
    shards = other.splits.get(split, {}).get('shards')
    if other.labels != info.labels or shards != entry['shards']:
      raise ValueError(
          f'the features {name!r} of {other.data_dir} and {first!r} of {info.data_dir} '
          f'are of other videos or steps in split {split!r}; extract both from one '
          'data set with the same --steps or --every_seconds')


def _video(entries, infos, num_steps, seed):
  """One video's entries of a batch.

  Args:
    entries: (epoch, string [1]) of each modality.
    infos: {modality: its `DatasetInfo`}.
    num_steps: S or None.
    seed: of the run; None spreads steps evenly.
  """
  parsed = {name: _parse(serialized[0], infos[name])
            for name, (_, serialized) in zip(infos, entries, strict=True)}
  first = next(iter(parsed.values()))
  checks = [tf.debugging.assert_equal(
      p['media_id'], first['media_id'], 'directories of features hold other videos')
            for p in parsed.values()]
  with tf.control_dependencies(checks):
    chosen = tf.range(tf.size(first['times']))
  if num_steps is not None:
    chance = None
    if seed is not None:
      chance = order.chance(seed, entries[0][0], first['media_id'])
    # A step is a window of one step.
    chosen = segments.window_starts(tf.size(chosen), 1, num_steps, seed=chance)
    chosen = tf.ensure_shape(chosen, [num_steps])
  present = tf.stack([p['present'] for p in parsed.values()], -1)  # [S, M]
  return {
      **{name: tf.gather(p['floats'], chosen) for name, p in parsed.items()},
      'present': tf.gather(present, chosen),
      'times': tf.gather(first['times'], chosen),
      'label': first['label'],
      'media_id': first['media_id'],
  }


def _parse(serialized, info):
  """string [] -> floats [S, D], present [S], times [S], label, media_id."""
  name, size = info.options['name'], info.options['dimensions']
  floats, times = (schema.feature_key(name, k) for k in ('floats', 'timestamp'))
  context, lists = tf.io.parse_single_sequence_example(
      serialized,
      {schema.MEDIA_ID: tf.io.FixedLenFeature([], tf.string),
       schema.LABEL_INDEX: tf.io.VarLenFeature(tf.int64),
       schema.present_key(name): tf.io.VarLenFeature(tf.int64)},
      {floats: tf.io.FixedLenSequenceFeature([size], tf.float32),
       times: tf.io.FixedLenSequenceFeature([], tf.int64)})
  return {
      'floats': lists[floats],
      'present': tf.cast(context[schema.present_key(name)].values, tf.float32),
      'times': tf.cast(lists[times] / schema.MICROSECONDS, tf.float32),
      'label': reader.label(context[schema.LABEL_INDEX].values, info.num_classes,
                            info.multi_label, context[schema.MEDIA_ID]),
      'media_id': context[schema.MEDIA_ID],
  }
