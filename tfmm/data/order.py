"""Which videos come when, and their batches.

Position in the data is the global step and nothing else: an epoch permutes shards,
interleaves and shuffles serialized records by (seed, epoch) alone, and a resume skips
on the serialized strings, before anything is parsed or decoded.
"""

import tensorflow as tf

from tfmm.data import augment

# Shards read side by side in training. Part of the order of the data: a fixed number,
# never the machine's.
_CYCLE = 8


def batches(infos, split, read, *, batch_size, training, seed, start_step, buffer,
            drop_remainder, input_context=None, padded=False):
  """Batches of what is read of each video of a split.

  Args:
    infos: `DatasetInfo`s whose splits have equal tables of shards, so that the same
      video comes from each.
    split: name of a split that has videos.
    read: (epoch [], serialized [clips]) of each info -> one video's entries.
    batch_size: videos per step, over all replicas.
    training: True: endless and shuffled. False: one pass in stored order.
    seed: the run's seed; only used in training.
    start_step: training starts at this global step.
    buffer: serialized videos held for shuffling.
    drop_remainder: for evaluation; False gives a smaller last batch.
    input_context: `tf.distribute.InputContext`: this pipeline's slice of every global
      batch, in batches per replica.
    padded: whether shorter entries of a batch are filled up with zeros.

  Returns:
    A `tf.data.Dataset`.

  Raises:
    ValueError: the split is smaller than a batch, or the batch cannot be split.
  """
  drop_remainder = training or drop_remainder
  steps = infos[0].steps_per_epoch(split, batch_size) if drop_remainder else None
  if training:
    ordered = [_training(info, split, batch_size, steps, seed, start_step, buffer)
               for info in infos]
  else:
    ordered = [_stored(info, split) for info in infos]
  videos, per_step = tf.data.Dataset.zip(tuple(ordered)), batch_size
  if input_context is not None:
    videos, per_step = _part(videos, batch_size, input_context)
  videos = videos.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  join = videos.padded_batch if padded else videos.batch
  options = tf.data.Options()
  options.deterministic = True
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.OFF)
  joined = join(per_step, drop_remainder=drop_remainder).with_options(options)
  return joined.prefetch(tf.data.AUTOTUNE)


def chance(seed, epoch, name=None):
  """What decides for an epoch, or for one of its videos: int64 [2].

  Args:
    seed: the run's seed, int.
    epoch: int64 [].
    name: string [] that a video has to itself; None: for the epoch as a whole.
  """
  values = [epoch]
  if name is not None:
    values.append(tf.strings.to_hash_bucket_fast(name, 2**31 - 1))
  return augment.fold(tf.constant([seed, 0], tf.int64), *values)


def _shard_tables(info, split):
  """(paths [K], ragged clips per video [K, videos], whether any video has several)."""
  shards = [s for s in info.split(split)['shards'] if s['num_videos']]
  paths = [tf.io.gfile.join(info.data_dir, shard['file']) for shard in shards]
  sizes = [shard['clips_per_video'] for shard in shards]
  several = any(size != 1 for row in sizes for size in row)
  return tf.constant(paths), tf.ragged.constant(sizes, tf.int64), several


def _shard(path, sizes, several):
  """One shard's videos: string [clips] each."""
  records = tf.data.TFRecordDataset(path).batch(1)
  return records.rebatch(sizes) if several else records


def _counted(videos, info, split):
  """Fails when shards hold another number of videos than dataset_info.json says."""
  return videos.apply(
      tf.data.experimental.assert_cardinality(info.num_videos(split)))


def _stored(info, split):
  """(epoch 0, clips of one video) of each video, as the shards hold them.

  Args:
    info: a `DatasetInfo`.
    split: name of a split that has videos.

  Returns:
    A `tf.data.Dataset` of (int64 [], string [clips]).
  """
  paths, sizes, several = _shard_tables(info, split)
  shards = tf.data.Dataset.range(paths.shape[0])
  videos = shards.flat_map(lambda i: _shard(paths[i], sizes[i], several))
  videos = _counted(videos, info, split)
  return videos.map(lambda clips: (tf.zeros([], tf.int64), clips))


def _training(info, split, batch_size, steps, seed, start_step, buffer):
  """Endless (epoch, clips of one video) from global step `start_step` on.

  Args:
    info: a `DatasetInfo`.
    split: name of a split that has videos.
    batch_size: videos per step.
    steps: of an epoch.
    seed: the run's seed, int.
    start_step: global step.
    buffer: serialized videos held for shuffling.

  Returns:
    A `tf.data.Dataset` of (int64 [], string [clips]).
  """
  paths, sizes, several = _shard_tables(info, split)
  first, within = divmod(start_step, steps)

  def epoch_videos(epoch):
    # Dataset.shuffle mixes the enclosing graph's seed into its own. Fixing it on this
    # function's graph keeps the order free of a tf.random.set_seed elsewhere.
    tf.random.set_seed(1)
    of_epoch = chance(seed, epoch)
    order = tf.random.experimental.stateless_shuffle(
        tf.range(paths.shape[0]), augment.fold(of_epoch, 0), alg='philox')
    videos = tf.data.Dataset.from_tensor_slices(order).interleave(
        lambda i: _shard(paths[i], sizes[i], several),
        cycle_length=min(_CYCLE, paths.shape[0]), block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    videos = _counted(videos, info, split)
    videos = videos.shuffle(
        min(buffer, info.num_videos(split)), seed=augment.fold(of_epoch, 1)[0],
        reshuffle_each_iteration=False)
    skipped = tf.where(tf.equal(epoch, first), within, 0) * batch_size
    videos = videos.take(steps * batch_size).skip(tf.cast(skipped, tf.int64))
    return videos.map(lambda clips: (epoch, clips))

  return tf.data.Dataset.range(first, tf.int64.max).flat_map(epoch_videos)


def _part(videos, batch_size, context):
  """This input pipeline's part of every global batch, and its batch per replica.

  Args:
    videos: a `tf.data.Dataset`.
    batch_size: videos per step, over all replicas.
    context: `tf.distribute.InputContext`.

  Returns:
    (a `tf.data.Dataset`, videos per replica and step).

  Raises:
    ValueError: the batch cannot be split evenly.
  """
  pipelines, replicas = context.num_input_pipelines, context.num_replicas_in_sync
  if batch_size % replicas:
    raise ValueError(f'batch_size={batch_size} cannot be split over {replicas} '
                     f'replicas; take a multiple of {replicas}')
  if pipelines > 1:
    mine = batch_size // pipelines
    begin = context.input_pipeline_id * mine
    videos = videos.enumerate().filter(
        lambda i, _: (i % batch_size >= begin) & (i % batch_size < begin + mine)
    ).map(lambda _, video: video)
  return videos, batch_size // replicas
