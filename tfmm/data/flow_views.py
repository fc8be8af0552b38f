"""Views of the stored optical flow.

A record has one field per frame: how the picture moves from that frame to the next,
as uint8 levels of u (to the right) and v (downwards), 128 where nothing moves; see
`tfmm.schema`. Views keep these levels: models scale them as they scale pixels.
"""

import dataclasses

import tensorflow as tf

from tfmm.data import reader
from tfmm.data import segments
from tfmm.data import views


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowFrames:
  """Stacks of flow fields of a segment: uint8 [S, F, size, size, 2 * fields].

  With each sampled frame come the fields of it and of the frames after it, as
  u1, v1, u2, v2, ... (AdaMML: 5 fields, 10 channels). The last ones may lie behind the
  segment's end; behind the record's they repeat its last field.

  Crop and flip are those of the video's RGB views; a flip negates u. Scaling for the
  crop resizes the picture alone: values stay in pixels of the stored frame.

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    num_frames: F.
    stride: distance of two sampled frames, in frames of the record.
    fields: consecutive fields of each sampled frame.
    size: pixels of the square crop.
    short_side: pixels of the short side before the centre crop, at test time.
    scale_range: (lowest, highest) short side before the random crop, in training.
  """

  reads = ('flow',)

  name: str = 'flow'
  modality: str = 'flow'
  num_frames: int = 8
  stride: int = 4
  fields: int = 5
  size: int = 224
  short_side: int = 256
  scale_range: tuple[int, int] = (256, 320)

  def __post_init__(self):
    views.check_crop(self)
    if self.fields < 1:
      raise ValueError(
          f'fields={self.fields} of view {self.name!r} must be at least 1')

  @property
  def reach(self):
    """Frames of the record from a segment's first one to the last one read."""
    return (self.num_frames - 1) * self.stride + self.fields

  def spec(self):
    shape = [self.num_frames, self.size, self.size, 2 * self.fields]
    return tf.TensorSpec(shape, tf.uint8)

  def build(self, video, built):
    del built
    flows = video.record.flows
    indices = segments.frame_indices(
        video.starts, self.num_frames, self.stride, video.ends)
    # [S, F, 1] + [fields] -> [S, F, fields]
    indices = indices[..., tf.newaxis] + tf.range(self.fields)
    # Other programs leave out the last field, which leads nowhere.
    last = tf.minimum(video.ends, tf.size(flows)) - 1
    indices = tf.minimum(indices, last[:, tf.newaxis, tf.newaxis])
    fields, places = reader.decode_frames(flows, indices)
    fields = views.crop(fields[..., :2], video.draw, self)
    if video.draw is not None:
      fields = tf.cond(video.draw.flip, lambda: _mirrored(fields), lambda: fields)
    # [U, size, size, 2] -> [S, F, fields, size, size, 2]
    stacks = tf.gather(fields, places)
    # -> [S, F, size, size, fields, 2] -> [S, F, size, size, 2 * fields]
    stacks = tf.transpose(stacks, [0, 1, 3, 4, 2, 5])
    stacks = tf.reshape(stacks, [-1, *self.spec().shape])
    return stacks, tf.ones_like(video.starts, tf.float32)


def _mirrored(fields):
  """What moved to the right moves to the left: uint8 [U, H, W, 2] -> the same."""
  u, v = tf.unstack(fields, axis=-1)
  return tf.stack([255 - u, v], -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowPreview:
  """A policy's small look at flow: float32 0..255 [S, f, size, size, 2 * fields].

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    source: the `FlowFrames` whose crop is shrunk; it stands before this one in a spec.
    frames: which of the source's frames.
    fields: those of the source.
    size: pixels of the square.
  """

  reads = ()

  name: str = 'flow_preview'
  modality: str = 'flow'
  source: str = 'flow'
  frames: tuple[int, ...] = (0, 2, 4, 6)
  fields: int = 5
  size: int = 160

  def spec(self):
    shape = [len(self.frames), self.size, self.size, 2 * self.fields]
    return tf.TensorSpec(shape, tf.float32)

  def build(self, video, built):
    small = views.shrink(built[self.source], self.frames, self.size)
    return small, tf.ones_like(video.starts, tf.float32)
