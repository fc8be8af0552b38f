"""Sound: float32 mono in [-1, 1] at one rate, placed by time stamp.

Chunks are put where their time says, in a buffer of zeros: a track that begins late,
pauses or ends early is silent there, and never stretched. NaN and infinite samples
become zero before the resampler sees them. Channels are mixed down by FFmpeg's matrix
to 16 bits, as its command line does: only for integers is that matrix normalised, and
in floats two equal channels would come out 3 dB too loud.
"""

import av
import numpy as np

from tfmm.media import container

# Time stamps jitter by a packet's rounding; beyond this the sound really jumps.
_JUMP_S = 0.05
_FULL_SCALE = np.float32(32768)


class Placer:
  """A time line of samples that is filled chunk by chunk and taken out in spans.

  Sample i belongs to the time `i / sample_rate` after the container's start.

  Attributes:
    sample_rate: Hertz.
    reached: Index up to which sound has come.
    bad_chunks: Chunks that could not be resampled.
  """

  def __init__(self, sample_rate: int):
    if not sample_rate > 0:
      raise ValueError(f'sample_rate is {sample_rate}; it must be above 0 hertz.')
    self.sample_rate = int(sample_rate)
    self.reached = 0
    self.bad_chunks = 0
    self._chunks = []  # (position, int16 [n])
    self._resampler = None
    self._kind = None
    self._position = 0  # where the next resampled sample goes
    self._expected_s = 0.0  # where the next chunk of the file should start
    self._taken = 0

  def push(self, frame: av.AudioFrame, time_s: float | None):
    """Adds one decoded chunk that starts at `time_s` seconds (None: goes on)."""
    if not frame.sample_rate or not frame.samples:
      return
    kind = (frame.format.name, frame.layout.name, frame.sample_rate)
    if time_s is None:
      time_s = self._expected_s
    if kind != self._kind or abs(time_s - self._expected_s) > _JUMP_S:
      self.finish()
      self._resampler = av.AudioResampler('s16', 'mono', self.sample_rate)
      self._kind = kind
      self._position = round(time_s * self.sample_rate)
      self._expected_s = time_s
    self._expected_s += frame.samples / frame.sample_rate
    try:
      self._add(self._resampler.resample(_finite(frame)))
    except (av.error.FFmpegError, ValueError):
      self.bad_chunks += 1
      self._kind = None  # starts anew at the next chunk's time

  def finish(self):
    """Brings out what the resampler still holds."""
    if self._resampler is not None:
      try:
        self._add(self._resampler.resample(None))
      except (av.error.FFmpegError, ValueError):
        self.bad_chunks += 1
    self._resampler = None
    self._kind = None

  def _add(self, frames):
    for frame in frames:
      # [1, samples] -> [samples]
      samples = frame.to_ndarray()[0]
      if self._position + len(samples) > self._taken:
        self._chunks.append((self._position, samples))
      self._position += len(samples)
      self.reached = max(self.reached, self._position)

  def take(self, first: int, last: int,
           keep_from: int | None = None) -> tuple[np.ndarray, int, int]:
    """Samples `[first, last)`.

    Args:
      first: Index of the first sample.
      last: One after the last sample.
      keep_from: What lies before it is forgotten; None: `last`.

    Returns:
      float32 [last - first], zeros where there was no sound; and the span of indices
      that real sound covers, which is empty (equal ends) if there is none.
    """
    out = np.zeros(last - first, np.float32)
    start, end = last, first
    for position, samples in self._chunks:
      low, high = max(first, position), min(last, position + len(samples))
      if low < high:
        out[low - first:high - first] = samples[low - position:high - position]
        start, end = min(start, low), max(end, high)
    self._taken = last if keep_from is None else keep_from
    self._chunks = [c for c in self._chunks if c[0] + len(c[1]) > self._taken]
    out /= _FULL_SCALE
    return (out, start, end) if start < end else (out, first, first)


def _finite(frame: av.AudioFrame) -> av.AudioFrame:
  if frame.format.name not in ('flt', 'fltp', 'dbl', 'dblp'):
    return frame
  samples = frame.to_ndarray()
  if np.isfinite(samples).all():
    return frame
  clean = av.AudioFrame.from_ndarray(
      np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0),
      format=frame.format.name, layout=frame.layout.name)
  clean.sample_rate = frame.sample_rate
  clean.pts, clean.time_base = frame.pts, frame.time_base
  return clean


def read_waveform(
    path: str, sample_rate: int, start_s: float | None = None,
    end_s: float | None = None) -> tuple[np.ndarray, bool]:
  """Sound of a file, or silence.

  To go with `video.read_frames`, ask for the span of its frames: `start_s` the first
  time, `end_s` one frame period after the last one.

  Args:
    path: A media file; it need not have a picture.
    sample_rate: Hertz.
    start_s: First time in seconds after the container's start; None: 0.
    end_s: Time in seconds at which to stop; None: where the sound ends.

  Returns:
    float32 [samples] in [-1, 1]; and whether any real sound is in it. Without a sound
    track: zeros (none, if `end_s` is None) and False.

  Raises:
    MediaError: If the file cannot be opened.
    ValueError: On a rate or a span that is not usable.
  """
  start_s = start_s or 0.0
  if end_s is not None and end_s <= start_s:
    raise ValueError(f'end_s {end_s} must be above start_s {start_s}.')
  placer = Placer(sample_rate)
  with container.MediaReader(path, picture=False) as reader:
    reader.seek(start_s)
    for frame, time_s in reader.decode():
      placer.push(frame, time_s)
      if end_s is not None and time_s is not None and time_s > end_s + 1.0:
        break
    placer.finish()
  first = round(start_s * sample_rate)
  last = max(first, placer.reached) if end_s is None else round(end_s * sample_rate)
  samples, low, high = placer.take(first, last)
  return samples, high > low
