"""Serialized records of one video to what its views are built from.

The phases are dmvr's: parse, sample, decode, preprocess. A record's JPEGs stay
strings until segments are placed, so only frames that a view reads are decoded, each
once however many segments share it.
"""

from typing import Mapping, NamedTuple

import tensorflow as tf

from tfmm import schema
from tfmm.data import foreign as foreign_lib
from tfmm.data import segments


class LogMel(NamedTuple):
  """Stored patches of one log-mel; each clip begins a new row of patches."""

  patches: tf.Tensor  # float32 [P, *shape]
  counts: tf.Tensor  # int32 [clips], patches of each clip


class Record(NamedTuple):
  """One video, its clips merged; pictures still JPEGs.

  Times are seconds on the video's own time line. Frames and sound of a run have no
  gap. All clips of a dense record make one run (R = 1, K clips); where only windows
  are stored, each clip is a run of its own (K = 1).
  """

  media_id: tf.Tensor  # string []
  label: tf.Tensor  # int32 [], or float32 [C] of 0/1 for several labels
  times: tf.Tensor  # float64 [T], of the frames
  runs: segments.Runs  # frames of each run [R]
  clips: segments.Runs  # frames of each clip [R * K]
  clip_starts: tf.Tensor  # float64 [R * K]
  windows: tf.Tensor | None  # int32 [W, 2], stored windows: first frame, one past last
  jpegs: tf.Tensor | None  # string [T]
  flows: tf.Tensor | None  # string [T], JPEGs of the flow from each frame to the next
  waveform: tf.Tensor | None  # float32 [R, N], zeros after a run's last sample
  num_samples: tf.Tensor | None  # int32 [R]
  sample_rate: int | None  # Hz of the waveform
  sound_start: tf.Tensor  # float64 [R], time of a run's first sample
  sound: tf.Tensor | None  # float64 [R, K, 2], where the sound is real
  log_mels: Mapping[str, LogMel]  # by their names


def parse(serialized, *, labels, multi_label, sample_rate=None, pictures=True,
          flow=False, log_mels=(), windows=False, foreign=False, frame_rate=None):
  """Parses and merges the clips of one video.

  Args:
    serialized: string [clips], SequenceExamples of one video, ascending in time.
    labels: names of the C classes, in the order of their indices.
    multi_label: whether labels become a multi-hot vector.
    sample_rate: Hz of the records' sound; None leaves sound alone.
    pictures: whether JPEGs are wanted.
    flow: whether optical flow is wanted.
    log_mels: names of `schema.LOG_MELS` that are wanted.
    windows: whether the records hold only windows of the video.
    foreign: whether another program wrote the records.
    frame_rate: Hz, for foreign records that do not tell theirs.

  Returns:
    A `Record`.
  """
  wanted, keys = _features(
      sample_rate=sample_rate, pictures=pictures, flow=flow, log_mels=log_mels,
      windows=windows, foreign=foreign)
  context, lists, _ = tf.io.parse_sequence_example(serialized, wanted, keys)
  # Ragged [clips, entries, values]: the flat values of the clips in their order are
  # the video's list.
  stamps = lists[schema.IMAGE_TIMESTAMP]
  frames = lists[schema.IMAGE_ENCODED] if foreign else stamps
  clips = segments.Runs.of_lengths(tf.cast(frames.row_lengths(), tf.int32))
  if foreign:
    media_id = foreign_lib.media_id(context)
    indices = foreign_lib.label_indices(context, labels)
    times, clip_starts = foreign_lib.times(
        context, stamps.flat_values, clips, frame_rate)
  else:
    media_id = context[schema.MEDIA_ID][0]
    indices = context[schema.LABEL_INDEX][0]
    times = _seconds(stamps.flat_values)
    clip_starts = _seconds(context[schema.CLIP_START])
  flat = lambda key: lists[key].flat_values if key in lists else None
  waveform = num_samples = sound = None
  if sample_rate is not None:
    waveform, num_samples = _waveform(lists, windows)
  if schema.HAS_AUDIO in context:
    sound = _real_sound(context)
    sound = sound[:, tf.newaxis] if windows else sound[tf.newaxis]
  return Record(
      media_id=media_id,
      label=label(indices, len(labels), multi_label, media_id),
      times=times,
      runs=clips if windows else segments.Runs.of_lengths(tf.shape(times)),
      clips=clips,
      clip_starts=clip_starts,
      windows=_windows(context, clips) if windows else None,
      jpegs=flat(schema.IMAGE_ENCODED),
      flows=flat(schema.FLOW_ENCODED),
      waveform=waveform,
      num_samples=num_samples,
      sample_rate=sample_rate,
      sound_start=clip_starts if windows else clip_starts[:1],
      sound=sound,
      log_mels={name: _log_mel(lists[schema.LOG_MEL_KEYS[name]], name)
                for name in log_mels},
  )


def _features(*, sample_rate, pictures, flow, log_mels, windows, foreign):
  """What is parsed of context and lists; see `parse`."""
  one = lambda kind, default=None: tf.io.FixedLenFeature([], kind, default)
  context = {
      schema.MEDIA_ID: one(tf.string),
      schema.LABEL_INDEX: tf.io.RaggedFeature(tf.int64),
      schema.CLIP_START: one(tf.int64),
      schema.CLIP_END: one(tf.int64),
  }
  if foreign:
    context = foreign_lib.context_features()
  lists = {schema.IMAGE_TIMESTAMP: tf.int64}
  if pictures or foreign:  # foreign frames may have no times, so they are counted
    lists[schema.IMAGE_ENCODED] = tf.string
  if flow:
    lists[schema.FLOW_ENCODED] = tf.string
  if windows:
    context[schema.SEGMENT_START] = tf.io.RaggedFeature(tf.int64)
    context[schema.SEGMENT_END] = tf.io.RaggedFeature(tf.int64)
  if sample_rate is not None:
    lists |= {schema.WAVEFORM_FLOATS: tf.float32, schema.WAVEFORM_BYTES: tf.string}
  if sample_rate is not None or log_mels:
    context |= {
        schema.HAS_AUDIO: one(tf.int64, int(foreign)),
        schema.AUDIO_START: one(tf.int64, -1),
        schema.AUDIO_END: one(tf.int64, -1),
    }
  lists |= {schema.LOG_MEL_KEYS[name]: tf.float32 for name in log_mels}
  return context, {key: tf.io.RaggedFeature(kind) for key, kind in lists.items()}


def label(indices, num_classes, multi_label, media_id):
  """The label of one video: int32 [], or float32 [C] of 0/1 for several labels.

  Args:
    indices: int64 [labels], positions among the classes.
    num_classes: C.
    multi_label: whether labels become a multi-hot vector.
    media_id: string [], for the error of a video without any.
  """
  if multi_label:
    return tf.minimum(tf.reduce_sum(tf.one_hot(indices, num_classes), 0), 1.)
  with tf.control_dependencies([tf.debugging.Assert(
      tf.size(indices) > 0, ['a video has no known label:', media_id])]):
    return tf.cast(indices[0], tf.int32)


def decode_jpeg(jpeg):
  """string [] -> uint8 [H, W, 3], bit-equal to OpenCV's and Pillow's decoders."""
  return tf.io.decode_jpeg(jpeg, channels=3, dct_method='INTEGER_ACCURATE')


def decode_frames(jpegs, indices):
  """Decodes the frames that `indices` name, each once.

  Args:
    jpegs: string [T], all of one size.
    indices: int [...] in [0, T - 1].

  Returns:
    (uint8 [U, H, W, 3] distinct frames, int32 [...] places among them).
  """
  distinct, places = tf.unique(tf.reshape(indices, [-1]))
  frames = tf.map_fn(
      decode_jpeg,
      tf.gather(jpegs, distinct),
      fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
      parallel_iterations=2,
  )
  return frames, tf.reshape(places, tf.shape(indices))


def _seconds(microseconds):
  return tf.cast(microseconds, tf.float64) / schema.MICROSECONDS


def _windows(context, clips):
  """Stored windows, counted in the record: int32 [W, 2], first and one past last."""
  begin, end = context[schema.SEGMENT_START], context[schema.SEGMENT_END]
  first = tf.gather(clips.begin, begin.value_rowids())
  ends = tf.stack([begin.flat_values, end.flat_values + 1], -1)
  return tf.cast(ends, tf.int32) + first[:, tf.newaxis]


def _waveform(lists, windows):
  """The sound (float32 [R, N], int32 [R] samples), from floats or 16-bit samples."""
  floats, coded = lists[schema.WAVEFORM_FLOATS], lists[schema.WAVEFORM_BYTES]
  pcm = tf.strings.reduce_join(coded.flat_values)
  pcm = tf.cast(tf.io.decode_raw(pcm, tf.int16), tf.float32) / schema.PCM16_SCALE
  flat = tf.concat([floats.flat_values, pcm], 0)  # one of them is empty
  if not windows:
    return flat[tf.newaxis], tf.shape(flat)
  counts = tf.reduce_sum(floats.row_lengths(axis=2), 1)
  sizes = tf.ragged.map_flat_values(tf.strings.length, coded)  # bytes
  counts += tf.cast(tf.reduce_sum(sizes, [1, 2]) // 2, counts.dtype)
  rows = tf.RaggedTensor.from_row_lengths(flat, counts, validate=False)
  return rows.to_tensor(), tf.cast(counts, tf.int32)


def _real_sound(context):
  """[clips, 2] seconds; clips without sound become empty intervals."""
  begin, end = context[schema.AUDIO_START], context[schema.AUDIO_END]
  unknown = end < 0
  begin = tf.where(unknown, context[schema.CLIP_START], begin)
  end = tf.where(unknown, context[schema.CLIP_END], end)
  end = tf.where(context[schema.HAS_AUDIO] > 0, end, begin)
  return _seconds(tf.stack([begin, end], -1))


def _log_mel(values, name):
  """Ragged [clips, patches, values of one] -> `LogMel`."""
  shape = schema.LOG_MELS[name]['shape']
  return LogMel(
      patches=tf.reshape(values.flat_values, [-1, *shape]),
      counts=tf.cast(values.row_lengths(), tf.int32))
