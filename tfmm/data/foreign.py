"""Records of other MediaSequence writers, which leave out what ours always has.

DMVR's generate_from_file writes frames without times and no identity but
`video/filename`; mediapipe's tools leave labels or times to the graph. What is missing
follows from what is there:

| missing | instead |
|---|---|
| `image/timestamp` | clip start + k / `image/frame_rate` (or the data set's rate) |
| `clip/start/timestamp` | the first frame's time; 0 if frames have none either |
| `clip/media_id` | `clip/data_path`, `example/id`, `video/filename`, or nothing |
| `clip/label/index` | the places of `clip/label/text` or `/string` in the labels |
| `tfmm/has_audio` | sound that is there is real |
"""

import tensorflow as tf

from tfmm import schema

_UNKNOWN = -2**62  # microseconds: no clip begins or ends there


def context_features():
  """What is parsed of the context, with defaults where ours has none."""
  one = lambda kind, default: tf.io.FixedLenFeature([], kind, default)
  return {
      **{key: one(tf.string, '') for key in schema.NAME_KEYS},
      **{key: tf.io.RaggedFeature(tf.string)
         for key in (schema.LABEL_TEXT, schema.LABEL_STRING)},
      schema.LABEL_INDEX: tf.io.RaggedFeature(tf.int64),
      schema.IMAGE_FRAME_RATE: one(tf.float32, 0.),
      schema.CLIP_START: one(tf.int64, _UNKNOWN),
      schema.CLIP_END: one(tf.int64, -_UNKNOWN),
  }


def media_id(context):
  """The first name that the first clip has: string []; empty if it has none."""
  names = tf.stack([context[key][0] for key in schema.NAME_KEYS])
  # The place of the first one that is not empty, or 0.
  return names[tf.argmax(tf.cast(tf.strings.length(names) > 0, tf.int32))]


def times(context, timestamps, clips, frame_rate):
  """When frames are shown and clips begin.

  Args:
    context: parsed `context_features`, [clips] each.
    timestamps: int64 [T] microseconds, or [0].
    clips: `segments.Runs` of the frames of each clip.
    frame_rate: Hz, for records that do not tell theirs.

  Returns:
    (float64 [T] seconds, float64 [clips] seconds).
  """
  start = context[schema.CLIP_START]
  known = tf.not_equal(start, _UNKNOWN)
  start = tf.cast(start, tf.float64) / schema.MICROSECONDS
  rate = context[schema.IMAGE_FRAME_RATE]
  rate = tf.cast(tf.where(rate > 0, rate, frame_rate), tf.float64)
  frames = tf.range(clips.end[-1])
  clip = clips.find(frames)
  place = tf.cast(frames - tf.gather(clips.begin, clip), tf.float64)
  counted = tf.gather(tf.where(known, start, 0.), clip) + place / tf.gather(rate, clip)
  shown = tf.cond(
      tf.equal(tf.size(timestamps), tf.size(frames)),
      lambda: tf.cast(timestamps, tf.float64) / schema.MICROSECONDS,
      lambda: counted)
  return shown, tf.where(known, start, tf.gather(shown, clips.begin))


def label_indices(context, labels):
  """The labels of the first clip: int64 [any].

  Names count before numbers, because DMVR's numbers change from run to run.

  Args:
    context: parsed `context_features`.
    labels: names of the classes, in the order of their indices.
  """
  names = tf.concat(
      [context[schema.LABEL_TEXT][0], context[schema.LABEL_STRING][0]], 0)
  # [names, C]
  same = tf.equal(names[:, tf.newaxis], tf.constant(labels, tf.string)[tf.newaxis])
  named = tf.where(same)[:, 1]
  return tf.cond(
      tf.size(named) > 0, lambda: named, lambda: context[schema.LABEL_INDEX][0])
