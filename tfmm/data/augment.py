"""Crops, flips and masks that are a pure function of a seed.

One draw per video is shared by all its visual views and segments, so that a preview
shows what the recognition network sees and neighbouring segments stay comparable
(AdaMML's group-wise crop and flip).
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf


def fold(seed, *values):
  """A new seed from a seed and whole numbers: int64 [2] -> int64 [2]."""
  for value in values:
    seed = tf.random.experimental.stateless_fold_in(
        seed, tf.cast(value, seed.dtype), alg='philox')
  return seed


class Draw(NamedTuple):
  """What chance decided for one video; numbers in [0, 1) are scaled by their users."""

  scale: tf.Tensor  # float32 []
  top: tf.Tensor  # float32 []
  left: tf.Tensor  # float32 []
  flip: tf.Tensor  # bool []
  seed: tf.Tensor  # int64 [2], for whatever else a view draws


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """Training-time options; the defaults are AdaMML's.

  Attributes:
    flip: probability of a horizontal flip.
    frequency_mask: SpecAugment; widest band of masked bins, 0 for none.
    time_mask: SpecAugment; widest run of masked frames, 0 for none.
    brightness: largest shift, as a share of the range 0..255, in [0, 1]; 0 for none.
    contrast: largest relative change of the distance to a frame's mean, in [0, 1].
    saturation: largest relative change of the saturation, in [0, 1].
  """

  flip: float = .5
  frequency_mask: int = 0
  time_mask: int = 0
  brightness: float = 0.
  contrast: float = 0.
  saturation: float = 0.

  def __post_init__(self):
    for name in ('flip', 'brightness', 'contrast', 'saturation'):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(f'{name}={getattr(self, name)}: give a number in [0, 1]')
    for name in ('frequency_mask', 'time_mask'):
      if getattr(self, name) < 0:
        raise ValueError(f'{name}={getattr(self, name)}: give 0 (off) or more')

  def draw(self, seed):
    """Draws for one video.

    Args:
      seed: int64 [2].

    Returns:
      A `Draw`.
    """
    numbers = tf.random.stateless_uniform([4], fold(seed, 0), alg='philox')
    scale, top, left, flip = tf.unstack(numbers)
    return Draw(scale, top, left, flip < self.flip, fold(seed, 1))


def jitter_colours(frames, seed, *, brightness, contrast, saturation):
  """Shifts brightness, contrast and saturation of all frames by one draw.

  The arithmetic is that of keras-cv's layers. Their factors are drawn here, by
  stateless ops: the layers' own generators keep state that no checkpoint holds.

  Args:
    frames: uint8 [N, H, W, 3].
    seed: int [2].
    brightness, contrast, saturation: largest changes, see `Augmentation`.

  Returns:
    uint8 [N, H, W, 3].
  """
  if not (brightness or contrast or saturation):
    return frames
  import keras_cv  # pylint: disable=g-import-not-at-top; takes seconds, rarely used

  draws = tf.random.stateless_uniform([3, 1], seed, -1., 1., alg='philox')
  pixels = tf.cast(frames, tf.float32)
  if brightness:
    layer = keras_cv.layers.RandomBrightness(brightness)
    shift = tf.reshape(draws[0] * brightness * 255., [1, 1, 1, 1])
    pixels = layer.augment_images(pixels, shift)
  if contrast:
    layer = keras_cv.layers.RandomContrast((0., 255.), contrast)
    factor = tf.reshape(1. + draws[1] * contrast, [1, 1, 1, 1])
    pixels = layer.augment_images(pixels, factor)
  if saturation:
    layer = keras_cv.layers.RandomSaturation((.5, .5))
    factor = 1. + draws[2] * saturation
    # keras-cv counts saturation in [0, 1] with y = x / (1 - x) the factor.
    pixels = layer.augment_images(pixels, factor / (1. + factor))
  return tf.cast(tf.round(pixels), tf.uint8)


def resize_short_side(frames, short_side):
  """Bilinear resize to a short side, the long side rounded.

  Args:
    frames: [N, H, W, C].
    short_side: pixels, int or int tensor.

  Returns:
    float32 [N, H', W', C].
  """
  shape = tf.shape(frames)[1:3]
  short_side = tf.cast(short_side, tf.int32)
  ratio = tf.cast(short_side, tf.float64) / tf.cast(tf.reduce_min(shape), tf.float64)
  target = tf.cast(tf.round(tf.cast(shape, tf.float64) * ratio), tf.int32)
  same = tf.reduce_all(tf.equal(target, shape))
  return tf.cond(
      same,
      lambda: tf.cast(frames, tf.float32),
      lambda: tf.image.resize(frames, target),
  )


def centre_crop(frames, *, size, short_side):
  """The test-time crop: short side to `short_side`, then the middle.

  Args:
    frames: uint8 [N, H, W, C].
    size: pixels of the square.
    short_side: pixels, at least `size`.

  Returns:
    uint8 [N, size, size, C].
  """
  resized = resize_short_side(frames, short_side)
  height, width = tf.shape(resized)[1], tf.shape(resized)[2]
  return _cut(resized, (height - size) // 2, (width - size) // 2, size)


def random_crop(frames, draw, *, size, scale_range):
  """The training crop: short side uniform in `scale_range`, random place, flip.

  Args:
    frames: uint8 [N, H, W, C]; all N get the same crop.
    draw: the video's `Draw`.
    size: pixels of the square.
    scale_range: (lowest, highest) short side in pixels, both included.

  Returns:
    uint8 [N, size, size, C].
  """
  lowest, highest = scale_range
  span = tf.cast(highest - lowest + 1, tf.float32)
  resized = resize_short_side(frames, lowest + _place(draw.scale, span))
  room = tf.cast(tf.shape(resized)[1:3] - size + 1, tf.float32)
  cut = _cut(resized, _place(draw.top, room[0]), _place(draw.left, room[1]), size)
  return tf.cond(draw.flip, lambda: tf.reverse(cut, [2]), lambda: cut)


def _place(number, span):
  """[0, 1) to a whole number in [0, span)."""
  return tf.cast(tf.minimum(tf.floor(number * span), span - 1), tf.int32)


def _cut(frames, top, left, size):
  """float32 [N, H, W, C] -> uint8 [N, size, size, C]."""
  cut = frames[:, top:top + size, left:left + size]
  return tf.cast(tf.round(cut), tf.uint8)


def mask_spectrograms(spectrograms, seed, *, frequency_mask, time_mask):
  """SpecAugment (arXiv:1904.08779): one band and one run of frames set to 0.

  The same rule as `tfio.audio.freq_mask` and `time_mask` (width uniform in
  [0, limit), place uniform). Those draw from TensorFlow's global stateful generator
  and take no seed, so a resumed run would see other masks; hence stateless ones here.

  Args:
    spectrograms: float32 [S, bins, frames, 1]; each segment is masked on its own.
    seed: int [2].
    frequency_mask: widest band, 0 for none.
    time_mask: widest run of frames, 0 for none.

  Returns:
    float32 [S, bins, frames, 1].
  """
  for axis, limit in ((1, frequency_mask), (2, time_mask)):
    if not limit:
      continue
    segments, length = tf.shape(spectrograms)[0], tf.shape(spectrograms)[axis]
    numbers = tf.random.stateless_uniform(
        [2, segments], fold(seed, axis), alg='philox')
    # [S]
    width = tf.minimum(tf.cast(numbers[0] * limit, tf.int32), length)
    first = tf.cast(numbers[1] * tf.cast(length - width, tf.float32), tf.int32)
    place = tf.range(length)[tf.newaxis]
    # [S, length]
    inside = (place >= first[:, None]) & (place < (first + width)[:, None])
    shape = [segments, 1, 1, 1]
    inside = tf.reshape(inside, shape[:axis] + [length] + shape[axis + 1:])
    spectrograms = tf.where(inside, 0., spectrograms)
  return spectrograms
