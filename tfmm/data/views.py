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
