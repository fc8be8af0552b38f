"""Views: what a model reads of a segment. One small class per kind.

A view has `name` (its key in a batch), `modality` (which column of `present` it
belongs to), `reads` (which costly lists of the record it needs: 'jpegs', 'flow',
'waveform', or the key of a log-mel) and two methods, which is all that `dataset` knows
of it:

* `spec()`: the `tf.TensorSpec` of one segment;
* `build(video, built)`: the view of all segments of one `placing.Video`, and which of
  them are present. `built` holds the views made before it, by name.

A visual view also has `num_frames` and `stride`, which decide how long a segment is;
what visual views share is in `pictures`. Views of optical flow are in `flow_views`.
"""

import dataclasses

import tensorflow as tf

from tfmm import schema
from tfmm.data import augment
from tfmm.data import pictures
from tfmm.data import reader
from tfmm.data import segments
from tfmm.data import spectrogram


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgbFrames(pictures.Frames):
  """Frames of a segment: uint8 [S, F, size, size, 3]; see `pictures.Frames`."""

  reads = ('jpegs',)
  channels = 3

  name: str = 'rgb'
  modality: str = 'rgb'

  def build(self, video, built):
    del built
    frames, places = reader.decode_frames(video.record.jpegs, self.indices(video))
    frames = self.crop(frames, video.draw)
    if video.draw is not None:
      frames = augment.jitter_colours(
          frames, augment.fold(video.draw.seed, 0),
          brightness=video.augmentation.brightness,
          contrast=video.augmentation.contrast,
          saturation=video.augmentation.saturation)
    # [U, size, size, 3] -> [S, F, size, size, 3]
    return tf.gather(frames, places), tf.ones_like(video.starts, tf.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgbPreview(pictures.Preview):
  """A small look: float32 0..255 [S, f, size, size, 3]; see `pictures.Preview`."""

  channels = 3

  name: str = 'rgb_preview'
  modality: str = 'rgb'
  source: str = 'rgb'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sound:
  """Sound around a segment's middle, as a picture that a kind of it makes.

  Sound shorter than `seconds` is tiled; zeros where there is no sound (AdaMML's
  choices). Each kind has `spec()`, and `spectrograms(waveforms)` or its own `build`.

  Attributes:
    name: key in the batch.
    modality: what it is charged to.
    sample_rate: Hz; records of another rate are resampled.
    seconds: length of the window.
    frame_rate: None places the window by the frames' own times. AdaMML's authors place
      it by frame number at 29.97 Hz, whatever the video; give 29.97 to do so.
  """

  reads = ('waveform',)
  time_first = False  # whether pictures are [frames, bins] instead of [bins, frames]

  name: str
  modality: str = 'audio'
  sample_rate: int
  seconds: float
  frame_rate: float | None = None

  @property
  def num_samples(self):
    """Samples of one window at the view's rate."""
    return round(self.seconds * self.sample_rate)

  def windows(self, video):
    """Sound of all segments: float32 [S, num_samples], and which are present [S]."""
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
    return windows * present[:, tf.newaxis], present

  def build(self, video, built):
    del built
    windows, present = self.windows(video)
    pictures = _mask(self.spectrograms(windows), video, self.time_first)
    return pictures * present[:, None, None, None], present


@dataclasses.dataclass(frozen=True, kw_only=True)
class Waveform(Sound):
  """A segment's sound as it is: float32 [S, samples] in [-1, 1]; see `Sound`.

  For encoders that make their own picture of it (`tfmm.encoders.hub`). The default is
  15600 samples, of which YAMNet makes one patch, the one that `LogMel` shows.
  """

  name: str = 'waveform'
  sample_rate: int = 16000
  seconds: float = 0.975

  def __post_init__(self):
    if self.num_samples < 1:
      raise ValueError(f'seconds={self.seconds} of view {self.name!r} hold no sample '
                       f'at sample_rate={self.sample_rate}; give more')

  def spec(self):
    return tf.TensorSpec([self.num_samples], tf.float32)

  def build(self, video, built):
    del built
    return self.windows(video)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSpectrogram(Sound):
  """A segment's sound as AdaMML sees it: float32 [S, bins, frames, 1]; see `Sound`.

  log(|STFT|^2 + 1e-6), not normalised. The defaults give 256 x 256.

  Attributes:
    n_fft, window, hop: points and samples of the transform.
  """

  name: str = 'spectrogram'
  sample_rate: int = 24000
  seconds: float = 1.28
  n_fft: int = 511
  window: int = 240
  hop: int = 120

  def spec(self):
    frames = spectrogram.num_frames(self.num_samples, n_fft=self.n_fft, hop=self.hop)
    return tf.TensorSpec([self.n_fft // 2 + 1, frames, 1], tf.float32)

  def spectrograms(self, waveforms):
    """float32 [N, num_samples] at `sample_rate` -> [N, bins, frames, 1]."""
    return spectrogram.log_power_spectrogram(
        waveforms, n_fft=self.n_fft, window=self.window, hop=self.hop)[..., tf.newaxis]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMel(Sound):
  """A segment's sound as YAMNet sees it: float32 [S, frames, 64, 1]; see `Sound`.

  `spectrogram.yamnet_log_mel` of the sound at 16 kHz. The default gives 96 x 64, one
  patch of YAMNet: 95 hops of 10 ms and a window of 25 ms. A model takes this view or
  `StoredLogMel`; this one lies around the segment's middle, also in training.
  """

  time_first = True

  name: str = 'log_mel'
  sample_rate: int = 16000
  seconds: float = 0.975

  def __post_init__(self):
    if self.sample_rate != 16000:
      raise ValueError(f'sample_rate={self.sample_rate} of view {self.name!r}: YAMNet '
                       'hears 16000 Hz, to which records of any rate are resampled')
    if self.num_samples < 400:
      raise ValueError(f'seconds={self.seconds} of view {self.name!r} hold no window '
                       'of 25 ms: give at least 0.025')

  def spec(self):
    frames = spectrogram.yamnet_num_frames(self.num_samples)
    return tf.TensorSpec([frames, 64, 1], tf.float32)

  def spectrograms(self, waveforms):
    """float32 [N, num_samples] at 16 kHz -> [N, frames, 64, 1]."""
    return spectrogram.yamnet_log_mel(waveforms)[..., tf.newaxis]


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
