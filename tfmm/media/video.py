"""Picture: frames at a fixed rate, upright, resized, as RGB arrays or JPEGs.

Frame n of a video belongs to the time `start + n / frame_rate` and is the nearest
earlier picture of the file: time stamps decide, not positions, so that files of any
or of varying rate stay in step with their sound. Frames repeat where the file has
fewer. `start` is the time of the first picture.

Pixels are taken as square: a sample aspect ratio is ignored, as the papers' data
pipelines do. A picture longer than `MAX_ASPECT` to one is squeezed to that.
"""

import math
from collections.abc import Iterator

import av
from av.video.reformatter import Interpolation, VideoReformatter
import cv2
import numpy as np

from tfmm.media import MediaError
from tfmm.media import container

MAX_ASPECT = 4.0  # long side over short side
# Containers round times to 1 ms; a frame that is late by less still counts.
_TOLERANCE_S = 0.001


class FixedRate:
  """Turns frames with time stamps into frames at `start + n / rate`, as a stream."""

  def __init__(self, rate: float, *, start_s: float | None = None,
               from_s: float | None = None, end_s: float | None = None,
               max_seconds: float | None = None):
    """Sets the grid of times.

    Args:
      rate: Frames per second that come out.
      start_s: Time of frame 0 in seconds, also if no picture is there yet; None: the
        first picture's time, but not before `from_s`.
      from_s: Earliest time of frame 0 in seconds; None: no limit.
      end_s: No frame at or after this time in seconds; None: to the end.
      max_seconds: A longer picture is an error, so that a wrong time stamp cannot
        fill a disk; None: no limit.
    """
    self.rate = rate
    self.start_s = start_s
    self.done = False
    # A picture, however short, is a frame.
    self._least = int(start_s is None and from_s is None)
    self._from_s = -math.inf if from_s is None else from_s
    self._end_s = end_s
    self._max_seconds = max_seconds
    self._next = 0
    self._held = None
    self._held_s = 0.0
    self._step_s = 0.0

  def time_of(self, n: int) -> float:
    """Time of frame n in seconds."""
    return self.start_s + n / self.rate

  def jump(self, n: int):
    """Frames before n are not wanted, and the next picture comes after a gap."""
    self._next = max(self._next, n)
    self._held = None

  def count(self, first_s: float, end_s: float) -> int:
    """Frames of a picture from `first_s` to `end_s` seconds.

    Raises:
      MediaError: `too_long`, or `no_frames` if the picture ends before `from_s`.
    """
    start_s = max(first_s, self._from_s)
    self._check_length(end_s - start_s)
    if end_s <= start_s:
      raise MediaError('no_frames', f'the picture ends at {end_s:.3f} s, and the part '
                       f'that is wanted begins at {start_s:.3f} s')
    total = max(1, round((end_s - start_s) * self.rate))
    if self._end_s is not None:
      limit = (self._end_s - _TOLERANCE_S - start_s) * self.rate
      total = max(1, min(total, math.ceil(limit)))
    return total

  def _check_length(self, seconds):
    if self._max_seconds and seconds > self._max_seconds:
      raise MediaError('too_long', f'a picture at {seconds:.0f} s; at most '
                       f'{self._max_seconds:.0f} s (--max_video_seconds)')

  def push(self, frame, time_s: float | None) -> Iterator[tuple[int, object]]:
    """Takes the next picture; yields `(n, frame)` for all that it settles.

    A picture that comes out of order is dropped; of several with one time the last
    counts. A yielded frame is the same object as long as it repeats.

    Raises:
      MediaError: `too_long`.
    """
    if time_s is None:
      time_s = self._held_s + (self._step_s or 1 / self.rate) if self._held else 0.0
    if self.start_s is None:
      self.start_s = max(time_s, self._from_s)
    self._check_length(time_s - self.start_s)
    if self._held is not None:
      if time_s < self._held_s:
        return
      yield from self._emit_before(time_s - _TOLERANCE_S)
      self._step_s = time_s - self._held_s or self._step_s
    self._held, self._held_s = frame, time_s

  def finish(self) -> Iterator[tuple[int, object]]:
    """Yields the frames that the last picture covers."""
    if self._held is None or self.done:
      return
    last_s = self._step_s or 1 / self.rate
    if self._held.duration and self._held.time_base:
      last_s = float(self._held.duration * self._held.time_base)
    end = self._held_s + min(last_s, container.MAX_LAST_FRAME_S)
    total = max(self._least, round((end - self.start_s) * self.rate))
    yield from self._emit_before(self.time_of(total) - 0.5 / self.rate)

  def _emit_before(self, limit_s: float):
    if self._end_s is not None:
      limit_s = min(limit_s, self._end_s - _TOLERANCE_S)
    while self.time_of(self._next) < limit_s:
      n = self._next
      self._next += 1
      yield n, self._held
    if self._end_s is not None:
      self.done = self.time_of(self._next) >= self._end_s - _TOLERANCE_S


class Scaler:
  """Frames to upright RGB of one size, which the first frame decides."""

  def __init__(self, short_side: int | None):
    """Sets the size.

    Args:
      short_side: Pixels of the shorter side, even; None: the file's own size.

    Raises:
      ValueError: If it is odd or not positive.
    """
    if short_side is not None and (short_side < 2 or short_side % 2):
      raise ValueError(
          f'short_side is {short_side}; it must be even and at least 2 pixels.')
    self._short_side = short_side
    self._size = None  # upright (height, width)
    self._reformatter = VideoReformatter()

  def rgb(self, frame: av.VideoFrame) -> np.ndarray:
    """One frame as uint8 [height, width, 3], contiguous.

    Raises:
      MediaError: `geometry`.
    """
    turns = round(frame.rotation / 90) % 4
    if self._size is None:
      sides = (frame.height, frame.width)
      self._size = _target(*(sides[::-1] if turns % 2 else sides), self._short_side)
    height, width = self._size[::-1] if turns % 2 else self._size
    # Scaling in yuv420p and converting then is twice as fast as scaling RGB.
    small = self._reformatter.reformat(
        frame, width=width, height=height, format='yuv420p',
        interpolation=Interpolation.BILINEAR, threads=1)
    rgb = small.to_ndarray(format='rgb24', threads=1)
    return np.ascontiguousarray(np.rot90(rgb, turns) if turns else rgb)


def _target(height: int, width: int, short_side: int | None) -> tuple[int, int]:
  """Even (height, width) with the wanted short side and at most `MAX_ASPECT`."""
  if height < 1 or width < 1:
    raise MediaError('geometry', f'frames of {width}x{height} pixels')
  short, long = sorted((height, width))
  target_short = short_side or max(2, short // 2 * 2)
  aspect = min(long / short, MAX_ASPECT)
  target_long = max(target_short, 2 * round(target_short * aspect / 2))
  return (target_short, target_long) if height <= width else (target_long, target_short)


def encode_jpeg(rgb: np.ndarray, quality: int = 90) -> bytes:
  """JPEG (4:2:0) of uint8 RGB [height, width, 3]."""
  ok, data = cv2.imencode(
      '.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR),
      [cv2.IMWRITE_JPEG_QUALITY, quality,
       cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420])
  if not ok:
    raise ValueError(f'OpenCV cannot encode an array of shape {rgb.shape} as JPEG.')
  return data.tobytes()


def iterate_frames(
    path: str, frame_rate: float, short_side: int | None,
    start_s: float | None = None, end_s: float | None = None,
    threads: int = 1) -> Iterator[tuple[float, np.ndarray]]:
  """Yields `(time_s, rgb)` at a fixed rate, one frame in memory at a time.

  Args:
    path: A video file.
    frame_rate: Frames per second.
    short_side: Pixels of the shorter side, even; None keeps the file's size.
    start_s: First time in seconds; None: where the picture begins. The earliest
      picture also stands for times before it.
    end_s: Time in seconds at which to stop, itself excluded; None: the end.
    threads: Decoder threads.

  Yields:
    The time in seconds after the container's start; uint8 [height, width, 3]. The
    same array comes again while the picture repeats: copy it before changing it.

  Raises:
    MediaError: If the file gives no frame in that span.
    ValueError: On a frame rate, size or span that is not usable.
  """
  if not frame_rate > 0:
    raise ValueError(f'frame_rate is {frame_rate}; it must be above 0 per second.')
  if start_s is not None and end_s is not None and end_s <= start_s:
    raise ValueError(f'end_s {end_s} must be above start_s {start_s}.')
  grid = FixedRate(frame_rate, start_s=start_s, end_s=end_s)
  scaler = Scaler(short_side)
  last, rgb = None, None
  with container.MediaReader(path, sound=False, threads=threads) as reader:
    if start_s is not None:
      reader.seek(start_s)
    for n, frame in resample(reader, grid):
      if frame is not last:
        last, rgb = frame, scaler.rgb(frame)
      yield grid.time_of(n), rgb
  if last is None:
    raise MediaError('no_frames', f'no picture between {start_s} s and {end_s} s')


def resample(reader: container.MediaReader,
             grid: FixedRate) -> Iterator[tuple[int, object]]:
  """Yields `(n, frame)` of a whole picture track."""
  for frame, time_s in reader.decode():
    yield from grid.push(frame, time_s)
    if grid.done:
      return
  yield from grid.finish()


def read_frames(
    path: str, frame_rate: float, short_side: int | None,
    start_s: float | None = None, end_s: float | None = None,
    threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
  """Frames of a file at a fixed rate; arguments and errors as `iterate_frames`.

  Returns:
    uint8 [frames, height, width, 3] and float64 [frames], seconds.
  """
  pairs = list(iterate_frames(path, frame_rate, short_side, start_s, end_s, threads))
  return (np.stack([rgb for _, rgb in pairs]),
          np.array([time_s for time_s, _ in pairs], np.float64))
