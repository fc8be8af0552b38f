"""Views: what a model reads of a segment. One small class per kind.

A view has `name` (its key in a batch), `modality` (which column of `present` it
belongs to), `reads` (which costly lists of the record it needs: 'jpegs', 'flow',
'waveform', or the key of a log-mel) and two methods, which is all that `dataset` knows
of it:

* `spec()`: the `tf.TensorSpec` of one segment;
* `build(video, built)`: the view of all segments of one `Video`, and which of them are
  present. `built` holds the views made before it, by name.

A visual view also has `num_frames` and `stride`, which decide how long a segment is.
Views of optical flow are in `flow_views`.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfmm import schema
from tfmm.data import augment
from tfmm.data import reader
from tfmm.data import segments
from tfmm.data import spectrogram


class Video(NamedTuple):
  """A record with its segments placed."""

  record: reader.Record
  starts: tf.Tensor  # int32 [S], first frame of each segment
  runs: tf.Tensor  # int32 [S], the run of the record that each segment lies in
  ends: tf.Tensor  # int32 [S], one past the last frame of that run
  times: tf.Tensor  # float64 [S, 2] seconds
  window: int  # frames of a segment
  draw: augment.Draw | None  # None at test time
  augmentation: augment.Augmentation


def check_crop(view):
  """Refuses sizes of a visual view that do not fit together, with a ValueError."""
  for field in ('num_frames', 'stride', 'size'):
    if getattr(view, field) < 1:
      raise ValueError(f'{field}={getattr(view, field)} of view {view.name!r} '
                       'must be at least 1')
  lowest, highest = view.scale_range
  if lowest > highest:
    raise ValueError(f'scale_range={view.scale_range} of view {view.name!r}: '
                     'give the lower bound first')
  if view.size > min(view.short_side, lowest):
    raise ValueError(
        f'size={view.size} of view {view.name!r} does not fit into short_side='
        f'{view.short_side} and scale_range={view.scale_range}; raise them to '
        f'{view.size} or more')


def crop(frames, draw, view):
  """The centre crop of a visual view, or what the video's draw says.

  Args:
    frames: uint8 [N, H, W, C].
    draw: the video's `Draw`; None at test time.
    view: has `size`, `short_side` and `scale_range`.

  Returns:
    uint8 [N, size, size, C].
  """
  if draw is None:
    return augment.centre_crop(frames, size=view.size, short_side=view.short_side)
  return augment.random_crop(
      frames, draw, size=view.size, scale_range=view.scale_range)


def shrink(clips, frames, size):
  """Some frames of each segment, bilinear: [S, F, H, W, C] -> [S, f, size, size, C].

  Args:
    clips: of any dtype.
    frames: which of F.
    size: pixels of the square.

  Returns:
    float32.
  """
  # [S, F, ...] -> [S, f, ...] -> [S * f, ...]
  chosen = tf.gather(clips, frames, axis=1)
  flat = tf.reshape(chosen, tf.concat([[-1], tf.shape(chosen)[2:]], 0))
  small = tf.image.resize(flat, [size, size])
  return tf.reshape(small, [-1, len(frames), size, size, clips.shape[-1]])


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
    check_crop(self)

  def spec(self):
    shape = [self.num_frames, self.size, self.size, 3]
    return tf.TensorSpec(shape, tf.uint8)

  def build(self, video, built):
    del built
    record = video.record
    indices = segments.frame_indices(
        video.starts, self.num_frames, self.stride, video.ends)
    frames, places = reader.decode_frames(record.jpegs, indices)
    frames = crop(frames, video.draw, self)
    if video.draw is not None:
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
    small = shrink(built[self.source], self.frames, self.size)
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
      centres += record.sound_start[0]
    rates = record.sample_rate, self.sample_rate
    windows, present = segments.audio_windows(
        spectrogram.resample(record.waveform, *rates), centres,
        sample_rate=self.sample_rate, length=self.num_samples,
        offset=record.sound_start, runs=video.runs,
        lengths=spectrogram.resampled_length(record.num_samples, *rates))
    sound = tf.gather(record.sound, video.runs)  # [S, K, 2]
    present *= segments.overlap(sound, centres, self.seconds)
    pictures = _mask(self.spectrograms(windows), video)
    return pictures * present[:, None, None, None], present


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredLogMel:
  """A log-mel that prepare_videos made: float32 [S, *shape, 1].

  The patch that covers the segment's middle. Patches follow each other from the
  clip's start, so the middle is anywhere in it; each clip of a video begins a new row
  of patches, whose last one is filled up with silence. Zeros where there is no sound.

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    log_mel: one of `schema.LOG_MELS`, which gives shape and seconds.
  """

  name: str = 'log_mel'
  modality: str = 'audio'
  log_mel: str = 'yamnet'

  def __post_init__(self):
    if self.log_mel not in schema.LOG_MELS:
      raise ValueError(f'log_mel={self.log_mel!r} of view {self.name!r}: give one of '
                       f'{", ".join(schema.LOG_MELS)}')

  @property
  def reads(self):
    return (schema.LOG_MEL_KEYS[self.log_mel],)

  def spec(self):
    return tf.TensorSpec([*schema.LOG_MELS[self.log_mel]['shape'], 1], tf.float32)

  def build(self, video, built):
    del built
    record, seconds = video.record, schema.LOG_MELS[self.log_mel]['seconds']
    patches, counts = record.log_mels[self.log_mel]
    # The frame that is shown in the segment's middle says which clip that is.
    frames = tf.minimum(video.window, video.ends - video.starts)
    clip = record.clips.find(video.starts + frames // 2)
    begin, count = tf.gather(record.clip_starts, clip), tf.gather(counts, clip)
    # Not a patch too early where the middle falls on a border, but for rounding.
    place = tf.floor((segments.middles(video.times) - begin) / seconds + 1e-6)
    place = tf.clip_by_value(tf.cast(place, tf.int32), 0, tf.maximum(count - 1, 0))
    # [R, K, 2] -> [clips, 2] -> [S, 1, 2]
    sound = tf.gather(tf.reshape(record.sound, [-1, 2]), clip)[:, tf.newaxis]
    centres = begin + (tf.cast(place, tf.float64) + .5) * seconds
    present = segments.overlap(sound, centres, seconds) * tf.cast(count > 0, tf.float32)
    patches = tf.cond(
        tf.size(patches) > 0, lambda: patches,
        lambda: tf.zeros([1, *self.spec().shape[:2]]))
    place += tf.gather(tf.cumsum(counts, exclusive=True), clip)
    pictures = tf.gather(patches, place * tf.cast(present, tf.int32))[..., tf.newaxis]
    pictures = _mask(pictures, video, time_first=self.log_mel in _TIME_FIRST)
    return pictures * present[:, None, None, None], present


# Shaped [frames, bands] in `schema.LOG_MELS`; the others are [bands, frames].
_TIME_FIRST = ('yamnet', 'listen_to_look', 'mbt')


def _mask(pictures, video, time_first=False):
  """SpecAugment in training: float32 [S, bins, frames, 1], or [S, frames, bins, 1]."""
  options = video.augmentation
  if video.draw is None or not (options.frequency_mask or options.time_mask):
    return pictures
  turn = (lambda p: tf.transpose(p, [0, 2, 1, 3])) if time_first else tf.identity
  return turn(augment.mask_spectrograms(
      turn(pictures), augment.fold(video.draw.seed, 1),
      frequency_mask=options.frequency_mask, time_mask=options.time_mask))
