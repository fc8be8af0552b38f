"""Views of the stored optical flow.

A record has one field per frame: how the picture moves from that frame to the next,
as uint8 levels of u (to the right) and v (downwards), 128 where nothing moves; see
`tfmm.schema`. Views keep these levels: models scale them as they scale pixels.
"""

import dataclasses

import tensorflow as tf

from tfmm.data import pictures
from tfmm.data import reader


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowFrames(pictures.Stacks):
  """Stacks of flow fields of a segment: uint8 [S, F, size, size, 2 * fields].

  With each sampled frame come the fields of it and of the frames after it, as
  u1, v1, u2, v2, ... (AdaMML: 5 fields, 10 channels). The last ones may lie behind the
  segment's end; behind the record's they repeat its last field.

  Crop and flip are those of the video's RGB views; a flip negates u. Scaling for the
  crop resizes the picture alone: values stay in pixels of the stored frame.

  Attributes: those of `pictures.Stacks`.
  """

  reads = ('flow',)
  planes = 2

  name: str = 'flow'
  modality: str = 'flow'

  @property
  def reach(self):
    """Frames of the record from a segment's first one to the last one read."""
    return (self.num_frames - 1) * self.stride + self.fields

  def build(self, video, built):
    del built
    flows = video.record.flows
    # [S, F, 1] + [fields] -> [S, F, fields]
    indices = self.indices(video)[..., tf.newaxis] + tf.range(self.fields)
    # Other programs leave out the last field, which leads nowhere.
    last = tf.minimum(video.ends, tf.size(flows)) - 1
    indices = tf.minimum(indices, last[:, tf.newaxis, tf.newaxis])
    fields, places = reader.decode_frames(flows, indices)
    fields = self.crop(fields[..., :2], video.draw)
    if video.draw is not None:
      fields = tf.cond(video.draw.flip, lambda: _mirrored(fields), lambda: fields)
    stacks = self.stack(fields, places)
    return stacks, tf.ones_like(video.starts, tf.float32)


def _mirrored(fields):
  """What moved to the right moves to the left: uint8 [U, H, W, 2] -> the same."""
  u, v = tf.unstack(fields, axis=-1)
  return tf.stack([255 - u, v], -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPreview(pictures.Preview):
  """A policy's small look at flow: float32 0..255 [S, f, size, size, 2 * fields].

  Attributes: those of `pictures.Preview`, whose source is a `FlowFrames`, and
    fields: those of the source.
  """

  name: str = 'flow_preview'
  modality: str = 'flow'
  source: str = 'flow'
  fields: int = 5

  @property
  def channels(self):
    return 2 * self.fields
