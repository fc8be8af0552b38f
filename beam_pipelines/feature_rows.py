"""Shards of records to rows that an encoder reads, in the stored order."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from beam_pipelines import feature_config
from tfmm import schema
from tfmm.data import dataset
from tfmm.data import info as info_lib
from tfmm.data import placing
from tfmm.data import reader
from tfmm.data import requirements
from tfmm.data import segments

# Steps that are built together. Frames that neighbours share are decoded once, and only
# so many pictures are in memory; sound is resampled whole for every chunk.
_PICTURES, _SOUNDS = 8, 256
_PARALLEL_CHUNKS = 2


class Video(NamedTuple):
  """Who a video is and where its steps are; times are microseconds."""

  media_id: bytes
  data_path: bytes
  label_index: list[int]
  label_text: list[bytes]
  start: int
  end: int
  times: list[int]  # [S], middles of the steps

  @property
  def num_steps(self) -> int:
    return len(self.times)


class Chunk(NamedTuple):
  """Some consecutive steps of a video."""

  video: Video
  rows: np.ndarray  # [n, *row]
  present: np.ndarray  # float32 [n] 0/1


class Reader:
  """Reads shards of one data set."""

  def __init__(self, info: info_lib.DatasetInfo, views, window: int,
               config: feature_config.FeatureConfig):
    """Checks that the records hold what is asked for.

    Args:
      info: of the data set.
      views: the last one is read; those before it are what it is made from.
      window: frames of a step.
      config: how many steps.

    Raises:
      ValueError: the records lack something.
    """
    self._info, self._views, self._window, self._config = info, views, window, config
    options = info.options
    if options.get('frames') == 'segments' and config.every_seconds:
      raise ValueError(
          f"{info.data_dir} was prepared with frames='segments' and holds frames of "
          f'{options.get("num_segments")} places only; give --steps, or prepare with '
          '--frames=dense for --every_seconds.')
    requirements.check(dataset.DatasetSpec(
        views=views, modalities=(views[-1].modality,), segment_frames=window,
        eval_segments=config.steps or 1), info)
    self._placer = placing.Placer(info, views, window, multi_label=True)
    self._sizes = {
        shard['file']: shard['clips_per_video'] for split in info.splits.values()
        for shard in split['shards']}
    hears = any('waveform' in view.reads for view in views)
    self._chunk = _SOUNDS if hears else _PICTURES
    # Traced once and not for every shard.
    self._steps_of = tf.function(
        self._steps, input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False)

  def chunks(self, shard: str) -> Iterator[Chunk]:
    """The steps of a shard's videos, in order; `shard` is its file's name."""
    sizes = self._sizes[shard]
    if not sizes:
      return
    videos = tf.data.TFRecordDataset(
        tf.io.gfile.join(self._info.data_dir, shard)).batch(1)
    if any(size != 1 for size in sizes):
      videos = videos.rebatch(tf.constant(sizes, tf.int64))
    videos = videos.apply(tf.data.experimental.assert_cardinality(len(sizes)))
    options = tf.data.Options()
    options.deterministic = True
    for element in videos.flat_map(self._steps_of).with_options(options).prefetch(1):
      labels = np.flatnonzero(element['labels'].numpy()).tolist()
      yield Chunk(
          Video(media_id=element['media_id'].numpy(),
                data_path=element['data_path'].numpy(), label_index=labels,
                label_text=[self._info.labels[k].encode('utf-8') for k in labels],
                start=int(element['start']), end=int(element['end']),
                times=element['times'].numpy().tolist()),
          element['rows'].numpy(), element['present'].numpy())

  def _steps(self, serialized: tf.Tensor) -> tf.data.Dataset:
    """string [clips] of one video -> chunks of its steps."""
    record = self._placer.parse(serialized)
    starts = self._starts(record)
    times = self._placer.times(record, starts)
    video = {'media_id': record.media_id, 'labels': record.label,
             'times': _microseconds(segments.middles(times)),
             **_context(serialized, record)}
    return tf.data.Dataset.from_tensor_slices(starts).batch(self._chunk).map(
        lambda some: {**video, **self._build(record, some)},
        num_parallel_calls=_PARALLEL_CHUNKS, deterministic=True)

  def _starts(self, record: reader.Record) -> tf.Tensor:
    """First frame of each step: int32 [S]."""
    if not self._config.every_seconds:
      return self._placer.starts(record, self._config.steps)
    return starts_every(tf.size(record.times), self._window,
                        self._config.every_seconds, self._info.options['frame_rate'])

  def _build(self, record: reader.Record, starts: tf.Tensor) -> dict[str, Any]:
    """Rows of some steps, as the reader of training builds them at test time."""
    video = self._placer.place(record, starts)
    built, present = {}, None
    for view in self._views:
      built[view.name], present = view.build(video, built)
    rows = tf.ensure_shape(built[self._views[-1].name],
                           [None, *self._views[-1].spec().shape])
    return {'rows': rows, 'present': present}


def starts_every(num_frames, window, seconds, frame_rate):
  """First frames of steps that come every so many seconds.

  Step k is a window around the time (k + 1/2) * seconds, for each such time that lies
  in the video, and at least one. A window that crosses an end of the video moves
  inside.

  Args:
    num_frames: T, int tensor.
    window: frames of a step.
    seconds: between two steps.
    frame_rate: of the frames, in hertz.

  Returns:
    int32 [S].
  """
  period = seconds * frame_rate  # frames
  total = tf.cast(num_frames, tf.float64)
  # A time at the very end, but for rounding, lies outside.
  count = tf.maximum(tf.math.ceil(total / period - .5 - 1e-9), 1)
  middle = (tf.range(count, dtype=tf.float64) + .5) * period
  starts = tf.cast(tf.floor(middle - window / 2 + .5), tf.int32)
  highest = tf.maximum(tf.cast(num_frames, tf.int32) - window, 0)
  return tf.clip_by_value(starts, 0, highest)


def _context(serialized, record):
  """What the reader leaves out: `data_path`, and microseconds of `start` and `end`."""
  context, _, _ = tf.io.parse_sequence_example(serialized, {
      schema.DATA_PATH: tf.io.FixedLenFeature([], tf.string, ''),
      schema.CLIP_END: tf.io.FixedLenFeature([], tf.int64, -1)}, {})
  last = record.times[-1] + segments.frame_period(record.times, record.runs)
  end = tf.reduce_max(context[schema.CLIP_END])
  path = context[schema.DATA_PATH][0]
  return {
      'data_path': tf.where(tf.equal(path, ''), record.media_id, path),
      'start': _microseconds(record.clip_starts[0]),
      'end': tf.where(end < 0, _microseconds(last), end),
  }


def _microseconds(seconds):
  return tf.cast(tf.round(seconds * schema.MICROSECONDS), tf.int64)
