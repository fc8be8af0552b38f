"""A file as clips: picture and sound decoded in one pass, memory bounded.

A clip is a run of frames with the sound of the same span. At most a few clips are
held at a time, however long the file is.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfmm.media import audio
from tfmm.media import container
from tfmm.media import video

# A sound track that is this many clips behind the picture has ended: memory is
# bounded even if it never goes on.
_MAX_WAITING = 2


@dataclasses.dataclass
class Clip:
  """One span of a video. Times are seconds after the container's start.

  Attributes:
    index: 0 for the first clip of the file, ascending in time.
    is_last: Whether the file ends with it.
    start_s: Time of the first frame.
    end_s: One frame period after the last frame.
    timestamps: float64 [frames].
    frames: What `encode` made of each frame; [frames].
    height: Pixels.
    width: Pixels.
    waveform: float32 [samples] in [-1, 1], from start to end.
    audio_start_s: Start of the part that real sound covers.
    audio_end_s: Its end; equal to the start: no sound in this clip.
    counts: What decoding met so far.
  """

  index: int
  is_last: bool
  start_s: float
  end_s: float
  timestamps: np.ndarray
  frames: list[Any]
  height: int
  width: int
  waveform: np.ndarray
  audio_start_s: float
  audio_end_s: float
  counts: container.Counts

  @property
  def has_audio(self) -> bool:
    return self.audio_end_s > self.audio_start_s


def stream_clips(
    path: str, *, frame_rate: float, short_side: int | None, sample_rate: int,
    clip_seconds: float = 60.0, max_seconds: float | None = None,
    encode: Callable[[np.ndarray], Any] = np.copy, threads: int = 1) -> Iterator[Clip]:
  """Yields the clips of a file in time order.

  Args:
    path: A video file.
    frame_rate: Frames per second.
    short_side: Pixels of the shorter side, even; None keeps the file's size.
    sample_rate: Of the waveform, hertz.
    clip_seconds: Longest clip in seconds.
    max_seconds: A longer video is refused with reason `too_long`; None: no limit.
    encode: Called once per distinct picture with uint8 [height, width, 3]; what it
      returns is stored, and repeated where the picture repeats.
    threads: Decoder threads.

  Raises:
    MediaError: If the file gives no video. It may come after some clips were yielded:
      what is wrong with a file can show late.
  """
  builder = _Builder(frame_rate, short_side, sample_rate, clip_seconds, max_seconds,
                     encode)
  with container.MediaReader(path, threads=threads) as reader:
    builder.waits_for_sound = reader.sound is not None
    for frame, time_s in reader.decode():
      if isinstance(frame, container.av.AudioFrame):
        builder.add_sound(frame, time_s)
      else:
        builder.add_picture(frame, time_s)
      yield from builder.ready(reader.counts)
    builder.finish()
    yield from builder.ready(reader.counts, ended=True)


class _Builder:
  """Sorts frames and sound into clips."""

  def __init__(self, frame_rate, short_side, sample_rate, clip_seconds, max_seconds,
               encode):
    self.waits_for_sound = False
    self._grid = video.FixedRate(frame_rate, max_seconds=max_seconds)
    self._placer = audio.Placer(sample_rate)
    self._scaler = video.Scaler(short_side)
    self._clip_frames = max(1, int(clip_seconds * frame_rate + 1e-6))
    self._encode = encode
    self._runs = []  # lists of encoded frames; all but the last one are full
    self._emitted = 0
    self._last, self._item, self._size = None, None, None

  def add_sound(self, frame, time_s):
    self._placer.push(frame, time_s)

  def add_picture(self, frame, time_s):
    self._store(self._grid.push(frame, time_s))

  def finish(self):
    self._store(self._grid.finish())
    self._placer.finish()

  def _store(self, pairs):
    for _, frame in pairs:
      if frame is not self._last:
        rgb = self._scaler.rgb(frame)
        self._size = rgb.shape[:2]
        self._last, self._item = frame, self._encode(rgb)
      if not self._runs or len(self._runs[-1]) == self._clip_frames:
        self._runs.append([])
      self._runs[-1].append(self._item)

  def ready(self, counts, ended=False):
    """Yields clips that nothing later in the file can change."""
    # The last run stays until the end, because only then is it known to be the last.
    while len(self._runs) > 1 or (ended and self._runs):
      first = self._emitted * self._clip_frames
      start_s = self._grid.time_of(first)
      end_s = self._grid.time_of(first + len(self._runs[0]))
      rate = self._placer.sample_rate
      low, high = round(start_s * rate), round(end_s * rate)
      if (not ended and self.waits_for_sound and self._placer.reached < high
          and len(self._runs) <= 1 + _MAX_WAITING):
        return
      frames = self._runs.pop(0)
      waveform, audio_start, audio_end = self._placer.take(low, high)
      times = start_s + np.arange(len(frames)) / self._grid.rate
      yield Clip(
          index=self._emitted, is_last=ended and not self._runs, start_s=start_s,
          end_s=end_s, timestamps=times, frames=frames, height=self._size[0],
          width=self._size[1], waveform=waveform, audio_start_s=audio_start / rate,
          audio_end_s=audio_end / rate, counts=dataclasses.replace(counts))
      self._emitted += 1
