"""What views of pictures share: frames of a segment, cropped, and previews."""

import dataclasses

import tensorflow as tf

from tfmm.data import augment
from tfmm.data import segments


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frames:
  """Frames of a segment: uint8 [S, F, size, size, channels].

  A subclass has `channels`, `reads` and `build`.

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    num_frames: F.
    stride: distance of two frames, in frames of the record.
    size: pixels of the square crop.
    short_side: pixels of the short side before the centre crop, at test time.
    scale_range: (lowest, highest) short side before the random crop, in training.
  """

  name: str
  modality: str
  num_frames: int = 8
  stride: int = 4
  size: int = 224
  short_side: int = 256
  scale_range: tuple[int, int] = (256, 320)

  def __post_init__(self):
    for field in ('num_frames', 'stride', 'size'):
      if getattr(self, field) < 1:
        raise ValueError(f'{field}={getattr(self, field)} of view {self.name!r} '
                         'must be at least 1')
    lowest, highest = self.scale_range
    if lowest > highest:
      raise ValueError(f'scale_range={self.scale_range} of view {self.name!r}: '
                       'give the lower bound first')
    if self.size > min(self.short_side, lowest):
      raise ValueError(
          f'size={self.size} of view {self.name!r} does not fit into short_side='
          f'{self.short_side} and scale_range={self.scale_range}; raise them to '
          f'{self.size} or more')

  def spec(self):
    shape = [self.num_frames, self.size, self.size, self.channels]
    return tf.TensorSpec(shape, tf.uint8)

  def indices(self, video):
    """The frames of the record that are read: int32 [S, F]."""
    return segments.frame_indices(
        video.starts, self.num_frames, self.stride, video.ends)

  def crop(self, frames, draw):
    """The centre crop, or what the video's draw says.

    Args:
      frames: uint8 [N, H, W, C].
      draw: the video's `Draw`; None at test time.

    Returns:
      uint8 [N, size, size, C].
    """
    if draw is None:
      return augment.centre_crop(frames, size=self.size, short_side=self.short_side)
    return augment.random_crop(
        frames, draw, size=self.size, scale_range=self.scale_range)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stacks(Frames):
  """Frames that each come as a stack: uint8 [S, F, size, size, fields * planes].

  A subclass has `planes`, the channels of one picture of a stack.

  Attributes: those of `Frames`, and
    fields: consecutive pictures of each sampled frame.
  """

  fields: int = 5

  def __post_init__(self):
    super().__post_init__()
    if self.fields < 1:
      raise ValueError(
          f'fields={self.fields} of view {self.name!r} must be at least 1')

  @property
  def channels(self):
    return self.planes * self.fields

  def stack(self, cropped, places):
    """uint8 [U, size, size, planes], int [S, f, fields] -> [S, f, size, size, C]."""
    stacks = tf.gather(cropped, places)  # [S, f, fields, size, size, planes]
    # -> [S, f, size, size, fields, planes] -> [S, f, size, size, fields * planes]
    stacks = tf.transpose(stacks, [0, 1, 3, 4, 2, 5])
    return tf.reshape(
        stacks, [-1, places.shape[1], self.size, self.size, self.channels])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview:
  """A policy's small look: float32 0..255 [S, f, size, size, channels].

  Bilinear from the crop of `source`, as AdaMML's policy gets it. A subclass has
  `channels`.

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    source: the view whose crop is shrunk; it stands before this one in a spec.
    frames: which of the source's frames.
    size: pixels of the square.
  """

  reads = ()

  name: str
  modality: str
  source: str
  frames: tuple[int, ...] = (0, 2, 4, 6)
  size: int = 160

  def spec(self):
    shape = [len(self.frames), self.size, self.size, self.channels]
    return tf.TensorSpec(shape, tf.float32)

  def build(self, video, built):
    clips = built[self.source]
    # [S, F, ...] -> [S, f, ...]
    chosen = tf.gather(clips, self.frames, axis=1)
    return shrink(chosen, self.size), tf.ones_like(video.starts, tf.float32)


def shrink(clips, size):
  """Bilinear, float32 0..255.

  Args:
    clips: uint8 [S, f, H, W, C], of static shape but for S.
    size: pixels of the square that comes out.

  Returns:
    float32 [S, f, size, size, C].
  """
  # [S, f, H, W, C] -> [S * f, H, W, C] -> [S, f, size, size, C]
  small = tf.image.resize(tf.reshape(clips, [-1, *clips.shape[2:]]), [size, size])
  return tf.reshape(small, [-1, clips.shape[1], *small.shape[1:]])
