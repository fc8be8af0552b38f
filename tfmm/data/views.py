"""Views: what a model reads of a segment. One small class per kind.

A view has `name` (its key in a batch), `modality` (which column of `present` it
belongs to), `reads` (which costly lists of the record it needs: 'jpegs', 'waveform')
and two methods, which is all that `dataset` knows of it:

* `spec()`: the `tf.TensorSpec` of one segment;
* `build(video, built)`: the view of all segments of one `Video`, and which of them are
  present. `built` holds the views made before it, by name.

A visual view also has `num_frames` and `stride`, which decide how long a segment is.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfmm.data import augment
from tfmm.data import reader
from tfmm.data import segments
from tfmm.data import spectrogram


class Video(NamedTuple):
  """A record with its segments placed."""

  record: reader.Record
  starts: tf.Tensor  # int32 [S], first frame of each segment
  times: tf.Tensor  # float64 [S, 2] seconds
  window: int  # frames of a segment
  draw: augment.Draw | None  # None at test time
  augmentation: augment.Augmentation


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgbFrames:
  """Frames of a segment: uint8 [S, F, size, size, 3].

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    num_frames: F.
    stride: distance of two frames, in frames of the record.
    size: pixels of the square crop.
    short_side: pixels of the short side before the centre crop, at test time.
    scale_range: (lowest, highest) short side before the random crop, in training.
  """

  reads = ('jpegs',)

  name: str = 'rgb'
  modality: str = 'rgb'
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
    shape = [self.num_frames, self.size, self.size, 3]
    return tf.TensorSpec(shape, tf.uint8)

  def build(self, video, built):
    del built
    record = video.record
    indices = segments.frame_indices(
        video.starts, self.num_frames, self.stride, tf.size(record.times))
    frames, places = reader.decode_frames(record.jpegs, indices)
    if video.draw is None:
      frames = augment.centre_crop(
          frames, size=self.size, short_side=self.short_side)
    else:
      frames = augment.random_crop(
          frames, video.draw, size=self.size, scale_range=self.scale_range)
      frames = augment.jitter_colours(
          frames, augment.fold(video.draw.seed, 0),
          brightness=video.augmentation.brightness,
          contrast=video.augmentation.contrast,
          saturation=video.augmentation.saturation)
    # [U, size, size, 3] -> [S, F, size, size, 3]
    return tf.gather(frames, places), tf.ones_like(video.starts, tf.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgbPreview:
  """A policy's small look: float32 0..255 [S, f, size, size, 3].

  Bilinear from the crop of `source`, as AdaMML's policy gets it.

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    source: the view whose crop is shrunk; it stands before this one in a spec.
    frames: which of the source's frames.
    size: pixels of the square.
  """

  reads = ()

  name: str = 'rgb_preview'
  modality: str = 'rgb'
  source: str = 'rgb'
  frames: tuple[int, ...] = (0, 2, 4, 6)
  size: int = 160

  def spec(self):
    return tf.TensorSpec([len(self.frames), self.size, self.size, 3], tf.float32)

  def build(self, video, built):
    # [S, F, ...] -> [S, f, ...] -> [S * f, ...]
    chosen = tf.gather(built[self.source], self.frames, axis=1)
    flat = tf.reshape(chosen, tf.concat([[-1], tf.shape(chosen)[2:]], 0))
    small = tf.image.resize(flat, [self.size, self.size])
    small = tf.reshape(small, [-1, *self.spec().shape])
    return small, tf.ones_like(video.starts, tf.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSpectrogram:
  """Sound around a segment's middle: float32 [S, bins, frames, 1].

  log(|STFT|^2 + 1e-6), not normalised; sound shorter than `seconds` is tiled; zeros
  where there is no sound (AdaMML's choices). The defaults give 256 x 256.

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    sample_rate: Hz; records of another rate are resampled.
    seconds: length of the window.
    n_fft, window, hop: points and samples of the transform.
    frame_rate: None places the window by the frames' own times. AdaMML's authors place
      it by frame number at 29.97 Hz, whatever the video; give 29.97 to do so.
  """

  reads = ('waveform',)

  name: str = 'spectrogram'
  modality: str = 'audio'
  sample_rate: int = 24000
  seconds: float = 1.28
  n_fft: int = 511
  window: int = 240
  hop: int = 120
  frame_rate: float | None = None

  @property
  def num_samples(self):
    """Samples of one window at the view's rate."""
    return round(self.seconds * self.sample_rate)

  def spec(self):
    frames = spectrogram.num_frames(self.num_samples, n_fft=self.n_fft, hop=self.hop)
    return tf.TensorSpec([self.n_fft // 2 + 1, frames, 1], tf.float32)

  def spectrograms(self, waveforms):
    """float32 [N, num_samples] at `sample_rate` -> [N, bins, frames, 1]."""
    return spectrogram.log_power_spectrogram(
        waveforms, n_fft=self.n_fft, window=self.window, hop=self.hop)[..., tf.newaxis]

  def build(self, video, built):
    del built
    record = video.record
    if self.frame_rate is None:
      centres = segments.middles(video.times)
    else:
      centres = segments.middles_at_rate(video.starts, video.window, self.frame_rate)
      centres += record.sound_start
    waveform = spectrogram.resample(
        record.waveform[tf.newaxis], record.sample_rate, self.sample_rate)[0]
    windows, present = segments.audio_windows(
        waveform, centres, sample_rate=self.sample_rate, length=self.num_samples,
        offset=record.sound_start)
    present *= segments.overlap(record.sound, centres, self.seconds)
    pictures = self.spectrograms(windows)
    if video.draw is not None:
      pictures = augment.mask_spectrograms(
          pictures, augment.fold(video.draw.seed, 1),
          frequency_mask=video.augmentation.frequency_mask,
          time_mask=video.augmentation.time_mask)
    return pictures * present[:, None, None, None], present
