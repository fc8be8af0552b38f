"""Serialized records of one video to what its views are built from.

The phases are dmvr's: parse, sample, decode, preprocess. A record's JPEGs stay
strings until segments are placed, so only frames that a view reads are decoded, each
once however many segments share it.
"""

from typing import NamedTuple

import tensorflow as tf

from tfmm import schema


class Record(NamedTuple):
  """One video, its clips merged; pictures still JPEGs.

  Times are seconds on the video's own time line.
  """

  media_id: tf.Tensor  # string []
  label: tf.Tensor  # int32 [], or float32 [C] of 0/1 for several labels
  times: tf.Tensor  # float64 [T], of the frames
  jpegs: tf.Tensor | None  # string [T]
  waveform: tf.Tensor | None  # float32 [N]
  sample_rate: int | None  # Hz of the waveform
  sound_start: tf.Tensor | None  # float64 [], time of the waveform's first sample
  sound: tf.Tensor | None  # float64 [clips, 2], where the sound is real


def parse(serialized, *, num_classes, multi_label, sample_rate=None, pictures=True):
  """Parses and merges the clips of one video.

  Args:
    serialized: string [clips], SequenceExamples of one video, ascending in time.
    num_classes: C.
    multi_label: whether labels become a multi-hot vector.
    sample_rate: Hz of the records' sound; None leaves sound alone.
    pictures: whether JPEGs are wanted.

  Returns:
    A `Record`.
  """
  one = lambda kind, default=None: tf.io.FixedLenFeature([], kind, default)
  context = {
      schema.MEDIA_ID: one(tf.string),
      schema.LABEL_INDEX: tf.io.RaggedFeature(tf.int64),
      schema.CLIP_START: one(tf.int64),
      schema.CLIP_END: one(tf.int64),
  }
  lists = {schema.IMAGE_TIMESTAMP: tf.io.RaggedFeature(tf.int64)}
  if pictures:
    lists[schema.IMAGE_ENCODED] = tf.io.RaggedFeature(tf.string)
  if sample_rate is not None:
    lists[schema.WAVEFORM_FLOATS] = tf.io.RaggedFeature(tf.float32)
    lists[schema.WAVEFORM_BYTES] = tf.io.RaggedFeature(tf.string)
    context |= {
        schema.HAS_AUDIO: one(tf.int64, 0),
        schema.AUDIO_START: one(tf.int64, -1),
        schema.AUDIO_END: one(tf.int64, -1),
    }
  context, lists, _ = tf.io.parse_sequence_example(serialized, context, lists)
  # Ragged [clips, entries, values]: the flat values of the clips in their order are
  # the video's list.
  lists = {key: value.flat_values for key, value in lists.items()}
  waveform = sound = None
  if sample_rate is not None:
    waveform = _waveform(lists)
    sound = _real_sound(context)
  return Record(
      media_id=context[schema.MEDIA_ID][0],
      label=_label(context[schema.LABEL_INDEX][0], num_classes, multi_label),
      times=_seconds(lists[schema.IMAGE_TIMESTAMP]),
      jpegs=lists.get(schema.IMAGE_ENCODED),
      waveform=waveform,
      sample_rate=sample_rate,
      sound_start=_seconds(context[schema.CLIP_START][0]),
      sound=sound,
  )


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


def _waveform(lists):
  """The sound as float32 [N], from floats or 16-bit samples, whichever is there."""
  pcm = tf.strings.reduce_join(lists[schema.WAVEFORM_BYTES])
  pcm = tf.cast(tf.io.decode_raw(pcm, tf.int16), tf.float32) / schema.PCM16_SCALE
  return tf.concat([lists[schema.WAVEFORM_FLOATS], pcm], 0)


def _real_sound(context):
  """[clips, 2] seconds; clips without sound become empty intervals."""
  begin, end = context[schema.AUDIO_START], context[schema.AUDIO_END]
  unknown = end < 0
  begin = tf.where(unknown, context[schema.CLIP_START], begin)
  end = tf.where(unknown, context[schema.CLIP_END], end)
  end = tf.where(context[schema.HAS_AUDIO] > 0, end, begin)
  return _seconds(tf.stack([begin, end], -1))


def _label(indices, num_classes, multi_label):
  if not multi_label:
    return tf.cast(indices[0], tf.int32)
  return tf.minimum(tf.reduce_sum(tf.one_hot(indices, num_classes), 0), 1.)
