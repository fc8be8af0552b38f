"""Views of the differences of frames (AdaMML section 4.1 and appendix C).

A difference is how colours change from one stored frame to the next, as the authors'
code stores it: uint8 (next - this + 255) / 2, without its half, so 127 where nothing
changes. It is taken before the crop, at the stored size, and scaled like a picture.
"""

import dataclasses

import tensorflow as tf

from tfmm.data import pictures
from tfmm.data import reader


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgbDifferences(pictures.Stacks):
  """Stacks of differences of a segment: uint8 [S, F, size, size, 3 * fields].

  With each sampled frame come the differences from it to the frame after it, from that
  one to the next, and so on (AdaMML: 5 differences, 15 channels). The last ones may lie
  behind the segment's end; behind the record's there is no change.

  Attributes: those of `pictures.Stacks`.
  """

  reads = ('jpegs',)
  planes = 3

  name: str = 'rgb_difference'
  modality: str = 'motion'

  @property
  def reach(self):
    """Frames of the record from a segment's first one to the last one read."""
    return (self.num_frames - 1) * self.stride + self.fields + 1

  def build(self, video, built):
    del built
    stacks = self.stacks(video, self.indices(video))
    return stacks, tf.ones_like(video.starts, tf.float32)

  def stacks(self, video, indices):
    """The stacks that begin with some frames: int32 [S, f] -> [S, f, size, size, C]."""
    last = (video.ends - 1)[:, tf.newaxis, tf.newaxis]
    # [S, f, 1] + [fields] -> [S, f, fields]
    this = tf.minimum(indices[..., tf.newaxis] + tf.range(self.fields), last)
    after = tf.minimum(this + 1, last)
    # Each pair once: a frame has one or none after it in its run.
    pairs, places = tf.unique(tf.reshape(2 * this + (after - this), [-1]))
    this, after = pairs // 2, pairs // 2 + pairs % 2
    frames, where = reader.decode_frames(video.record.jpegs, tf.stack([this, after]))
    shown = tf.gather(frames, where)  # [2, pairs, H, W, 3]
    changes = self.crop(change(shown[0], shown[1]), video.draw)
    return self.stack(
        changes, tf.reshape(places, [-1, indices.shape[1], self.fields]))


def change(this, after):
  """From one picture to the next: uint8 [..., H, W, 3], twice -> the same."""
  this, after = (tf.cast(frames, tf.int32) for frames in (this, after))
  return tf.cast((after - this + 255) // 2, tf.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgbDifferencePreview:
  """A policy's small look at change: float32 0..255 [S, f, size, size, 3 * fields].

  AdaMML-RGBDiff's policy sees motion through it (Tables 2 and 3), where the recognition
  network reads flow; so it needs no view at full size, and makes its own crop, the one
  that the video's other views get.

  Attributes:
    name: key in the batch.
    modality: what it is charged to: what it stands for.
    frames: which of a segment's sampled frames.
    stride: distance of two sampled frames, in frames of the record.
    fields: consecutive differences of each.
    crop: pixels of the crop that is shrunk.
    size: pixels of the square.
    short_side, scale_range: see `pictures.Frames`.
  """

  reads = ('jpegs',)

  name: str = 'rgb_difference_preview'
  modality: str = 'flow'
  frames: tuple[int, ...] = (0, 2, 4, 6)
  stride: int = 4
  fields: int = 5
  crop: int = 224
  size: int = 160
  short_side: int = 256
  scale_range: tuple[int, int] = (256, 320)

  def __post_init__(self):
    if not self.frames or min(self.frames) < 0 or self.size < 1:
      raise ValueError(
          f'view {self.name!r} has frames={self.frames} and size={self.size}; give '
          'frames from 0 on, and at least one pixel')
    self.whole  # pylint: disable=pointless-statement  # checks the rest

  @property
  def whole(self):
    """The stacks that it is made from, those of all frames up to its last one."""
    return RgbDifferences(
        name=self.name, num_frames=max(self.frames) + 1, stride=self.stride,
        fields=self.fields, size=self.crop, short_side=self.short_side,
        scale_range=self.scale_range)

  @property
  def reach(self):
    """Frames of the record from a segment's first one to the last one read."""
    return self.whole.reach

  def spec(self):
    shape = [len(self.frames), self.size, self.size, 3 * self.fields]
    return tf.TensorSpec(shape, tf.float32)

  def build(self, video, built):
    del built
    whole = self.whole
    indices = tf.gather(whole.indices(video), self.frames, axis=1)
    stacks = whole.stacks(video, indices)
    small = pictures.shrink(stacks, self.size)
    return small, tf.ones_like(video.starts, tf.float32)
