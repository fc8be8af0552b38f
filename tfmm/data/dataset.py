"""Shards to batches, as a pure function of (seed, epoch).

Position in the data is the global step and nothing else: an epoch permutes shards,
interleaves and shuffles serialized records by (seed, epoch) alone, and a resume skips
on the serialized strings, before anything is parsed or decoded. What chance decides
for a video (segments, crop, flip) hangs on (seed, epoch, media_id), so it does not
depend on batch size, workers or threads.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from tfmm.data import augment as augment_lib
from tfmm.data import reader
from tfmm.data import segments
# The views and the info are part of this module's surface.
from tfmm.data.info import DatasetInfo, load_info, reading
from tfmm.data.views import LogSpectrogram, RgbFrames, RgbPreview, Video

Augmentation = augment_lib.Augmentation

__all__ = ['Augmentation', 'DatasetInfo', 'DatasetSpec', 'LogSpectrogram', 'RgbFrames',
           'RgbPreview', 'load_info', 'make_dataset',
           'reading']

# Shards read side by side in training. Part of the order of the data: a fixed number,
# never the machine's.
_CYCLE = 8
_NO_NAMES = ('present', 'label', 'media_id', 'segment_times')


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSpec:
  """What is read of every video.

  Attributes:
    views: what a model reads of a segment; see `tfmm.data.views`. A preview stands
      after its source.
    modalities: order of the M axis of `present`.
    num_segments: S in training.
    eval_segments: S otherwise.
    segment_frames: consecutive frames of the record that make a segment. None: the
      longest num_frames * stride among the views; needed if none has frames (sound
      alone), where it should be that of the visual run (AdaMML: 32).
    augment: training-time options.
    shuffle_buffer: serialized videos held for shuffling. A video of 10 s with short
      side 256 takes 5 MB; order is also mixed by permuted, interleaved shards.
  """

  views: tuple[Any, ...] = (RgbFrames(), LogSpectrogram())
  modalities: tuple[str, ...] = ('rgb', 'audio')
  num_segments: int = 5
  eval_segments: int = 10
  segment_frames: int | None = None
  augment: augment_lib.Augmentation = augment_lib.Augmentation()
  shuffle_buffer: int = 64

  def __post_init__(self):
    if isinstance(self.modalities, str):
      raise ValueError(f'modalities={self.modalities!r} is a string; write '
                       f'({self.modalities!r},)')
    names = [view.name for view in self.views]
    for name in names:
      if names.count(name) > 1 or name in _NO_NAMES:
        raise ValueError(f'view name {name!r} is taken; give each view its own name')
    for modality in self.modalities:
      if modality not in [view.modality for view in self.views]:
        raise ValueError(f'modality {modality!r} has no view; views are of '
                         f'{sorted({view.modality for view in self.views})}')
    for view in self.views:
      if view.modality not in self.modalities:
        raise ValueError(f'view {view.name!r} is of modality {view.modality!r}, which '
                         f'is not in modalities={self.modalities}')
      self._check_source(view)
    if min(self.num_segments, self.eval_segments, self.shuffle_buffer) < 1:
      raise ValueError('num_segments, eval_segments and shuffle_buffer must be at '
                       f'least 1; got {self.num_segments}, {self.eval_segments}, '
                       f'{self.shuffle_buffer}')
    self.window  # pylint: disable=pointless-statement

  def _check_source(self, view):
    source = getattr(view, 'source', None)
    if source is None:
      return
    before = {v.name: v for v in self.views[:self.views.index(view)]}
    if source not in before:
      raise ValueError(f'view {view.name!r} is made from view {source!r}, which must '
                       'stand before it in views')
    if max(view.frames) >= before[source].num_frames:
      raise ValueError(f'view {view.name!r} wants frame {max(view.frames)} of '
                       f'{source!r}, which has {before[source].num_frames}')

  @property
  def window(self):
    """Frames of a segment.

    Raises:
      ValueError: if it cannot be told, or is shorter than a view needs.
    """
    spans = [view.num_frames * view.stride for view in self.views
             if hasattr(view, 'num_frames')]
    if self.segment_frames is None:
      if not spans:
        raise ValueError('no view has frames, so segments have no length: set '
                         'segment_frames to that of the visual run (AdaMML: 32)')
      return max(spans)
    if spans and self.segment_frames < max(spans):
      raise ValueError(f'segment_frames={self.segment_frames} is shorter than '
                       f'num_frames * stride = {max(spans)}; raise it')
    return self.segment_frames

  def view_specs(self):
    """{view: TensorSpec [B, S, *view]} with B and S open."""
    specs = {view.name: view.spec() for view in self.views}
    return {name: tf.TensorSpec([None, None, *spec.shape], spec.dtype)
            for name, spec in specs.items()}


def make_dataset(spec, data_dir, split, *, batch_size, training, seed=0, start_step=0,
                 drop_remainder=True, input_context=None):
  """Batches of one split.

  A batch is one flat dict: every view [B, S, ...]; `present` float32 [B, S, M], 0 where
  a modality is missing; `label` int32 [B], or float32 [B, C] if the dataset is
  multi-label; `media_id` string [B]; `segment_times` float32 [B, S, 2] in seconds.

  Args:
    spec: a `DatasetSpec`.
    data_dir: output directory of prepare_videos.
    split: 'train', 'validation' or 'test'.
    batch_size: videos per step, over all replicas.
    training: True: endless, shuffled, random segments and crops; an epoch is
      `floor(videos / batch_size)` steps. False: one pass in stored order, uniform
      segments, centre crops.
    seed: the run's seed; only used in training.
    start_step: training starts at this global step.
    drop_remainder: for evaluation; False gives a smaller last batch.
    input_context: `tf.distribute.InputContext`: this pipeline's slice of every global
      batch, in batches per replica.

  Returns:
    A `tf.data.Dataset`.

  Raises:
    FileNotFoundError: if the dataset is not finished.
    ValueError: if the split is empty or smaller than a batch, or a view asks for what
      the records do not hold.
  """
  info = load_info(data_dir)
  _check_record(spec, info)
  if training:
    steps = info.steps_per_epoch(split, batch_size)
    videos = _training_order(
        info, split, batch_size, steps, seed, start_step, spec.shuffle_buffer)
  else:
    if drop_remainder:
      info.steps_per_epoch(split, batch_size)
    videos = _stored_order(info, split)
  per_step = batch_size
  if input_context is not None:
    videos, per_step = _slice(videos, batch_size, input_context)
  videos = videos.map(
      _VideoReader(spec, info, training, seed),
      num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  batches = videos.batch(per_step, drop_remainder=training or drop_remainder)
  options = tf.data.Options()
  options.deterministic = True
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.OFF)
  return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


class _VideoReader:
  """(epoch [], serialized [clips]) -> one video's entries of a batch; a tf.data map."""

  def __init__(self, spec, info, training, seed):
    self.spec, self.info, self.training, self.seed = spec, info, training, seed
    self.reads = {item for view in spec.views for item in view.reads}

  def __call__(self, epoch, serialized):
    spec, info = self.spec, self.info
    record = reader.parse(
        serialized, num_classes=info.num_classes, multi_label=info.multi_label,
        sample_rate=info.options['sample_rate'] if 'waveform' in self.reads else None,
        pictures='jpegs' in self.reads)
    count, seed, draw = spec.eval_segments, None, None
    if self.training:
      number = tf.strings.to_hash_bucket_fast(record.media_id, 2**31 - 1)
      chance = augment_lib.fold(_base(self.seed), epoch, number)
      count, seed = spec.num_segments, augment_lib.fold(chance, 0)
      draw = spec.augment.draw(augment_lib.fold(chance, 1))
    starts = segments.window_starts(
        tf.size(record.times), spec.window, count, seed=seed)
    times = segments.segment_times(record.times, starts, spec.window)
    video = Video(record, starts, times, spec.window, draw, spec.augment)
    built, present = {}, {}
    for view in spec.views:
      value, there = view.build(video, built)
      built[view.name] = tf.ensure_shape(value, [count, *view.spec().shape])
      there = tf.ensure_shape(there, [count])
      present[view.modality] = there * present.get(view.modality, 1.)
    return {
        **built,
        'present': tf.stack([present[m] for m in spec.modalities], -1),
        'label': record.label,
        'media_id': record.media_id,
        'segment_times': tf.cast(times, tf.float32),
    }


def _base(seed):
  return tf.constant([seed, 0], tf.int64)


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


def _stored_order(info, split):
  paths, sizes, several = _shard_tables(info, split)
  shards = tf.data.Dataset.range(paths.shape[0])
  videos = shards.flat_map(lambda i: _shard(paths[i], sizes[i], several))
  videos = _counted(videos, info, split)
  return videos.map(lambda clips: (tf.zeros([], tf.int64), clips))


def _training_order(info, split, batch_size, steps, seed, start_step, buffer):
  """Endless (epoch, clips of one video) from global step `start_step` on."""
  paths, sizes, several = _shard_tables(info, split)
  first, within = divmod(start_step, steps)

  def epoch_videos(epoch):
    # Dataset.shuffle mixes the enclosing graph's seed into its own. Fixing it on this
    # function's graph keeps the order free of a tf.random.set_seed elsewhere.
    tf.random.set_seed(1)
    chance = augment_lib.fold(_base(seed), epoch)
    order = tf.random.experimental.stateless_shuffle(
        tf.range(paths.shape[0]), augment_lib.fold(chance, 0), alg='philox')
    videos = tf.data.Dataset.from_tensor_slices(order).interleave(
        lambda i: _shard(paths[i], sizes[i], several),
        cycle_length=min(_CYCLE, paths.shape[0]), block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    videos = _counted(videos, info, split)
    videos = videos.shuffle(
        min(buffer, info.num_videos(split)), seed=augment_lib.fold(chance, 1)[0],
        reshuffle_each_iteration=False)
    skipped = tf.where(tf.equal(epoch, first), within, 0) * batch_size
    videos = videos.take(steps * batch_size).skip(tf.cast(skipped, tf.int64))
    return videos.map(lambda clips: (epoch, clips))

  return tf.data.Dataset.range(first, tf.int64.max).flat_map(epoch_videos)


def _slice(videos, batch_size, context):
  """This input pipeline's part of every global batch, and its batch per replica."""
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


def _check_record(spec, info):
  """Whether the records hold what the views ask for."""
  frames = info.options.get('frames', 'dense')
  if frames != 'dense':
    raise ValueError(f'{info.data_dir} was prepared with frames={frames!r}, and '
                     "segments are placed on dense frames; prepare with --frames=dense")
  for view in spec.views:
    if 'waveform' in view.reads and not info.options.get('sample_rate'):
      raise ValueError(f'{info.data_dir} was prepared without sound, which view '
                       f'{view.name!r} reads; prepare with '
                       f'--sample_rate={view.sample_rate}')
