"""A file as clips: picture and sound decoded in one pass, memory bounded.

A clip is a run of frames with the sound and, if wanted, the optical flow of the same
span. At most a few clips are held at a time, however long the file is. All frames are
kept, or only windows of them; then what lies far between two windows is not decoded.
"""

import collections
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from tfmm import schema
from tfmm.media import MediaError
from tfmm.media import audio
from tfmm.media import container
from tfmm.media import video
from tfmm.media import windows

# Sound that is so far behind the picture has ended: memory is bounded even if it
# never goes on. Whole clips: interleaving of odd files can be off by a minute.
_MAX_WAITING_CLIPS = 2
_MAX_WAITING_S = 10.0  # when only windows are kept

STAGES = ('decode', 'sound', 'scale', 'encode', 'flow')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
  """Says that only windows of a video are kept; see `windows.spread`.

  Attributes:
    count: How many, spread evenly.
    frames: Of one window.
    margin_seconds: Kept on both sides of a window, so that sound around it and random
      places in training find something.
  """

  count: int
  frames: int
  margin_seconds: float


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
    flows: What `flow` made of each frame and the next one; [frames], or None.
    windows: (first frame, last frame) of each window in it; none in a dense clip.
    height: Pixels.
    width: Pixels.
    waveform: float32 [samples] in [-1, 1], from start to end.
    audio_start_s: Start of the part that real sound covers.
    audio_end_s: Its end; equal to the start: no sound in this clip.
    counts: What decoding met so far.
    stage_seconds: CPU seconds of each of `STAGES` so far.
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
  flows: list[Any] | None = None
  windows: tuple[tuple[int, int], ...] = ()
  stage_seconds: dict[str, float] = dataclasses.field(default_factory=dict)

  @property
  def has_audio(self) -> bool:
    return self.audio_end_s > self.audio_start_s


def stream_clips(
    path: str, *, frame_rate: float, short_side: int | None, sample_rate: int,
    clip_seconds: float = 60.0, max_seconds: float | None = None,
    encode: Callable[[np.ndarray], Any] = np.copy,
    flow: Callable[[np.ndarray, np.ndarray], Any] | None = None,
    keep: Windows | None = None, start_s: float | None = None,
    end_s: float | None = None, threads: int = 1) -> Iterator[Clip]:
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
    flow: Called with two grey pictures, uint8 [height, width], for each two frames
      that follow each other; None: no flow. The video's last frame repeats the flow
      before it.
    keep: None keeps all frames.
    start_s: Seconds at which the video begins; None: where the picture begins.
    end_s: Seconds at which it ends, itself excluded; None: the end of the file.
    threads: Decoder threads.

  Raises:
    MediaError: If the file gives no video. It may come after some clips were yielded:
      what is wrong with a file can show late.
  """
  new_grid = functools.partial(
      video.FixedRate, frame_rate, from_s=start_s, end_s=end_s, max_seconds=max_seconds)
  clip_frames = max(1, int(clip_seconds * frame_rate + 1e-6))
  spans, may_seek = windows.dense(clip_frames), False
  if keep is not None:
    total, may_seek = _count_frames(path, new_grid)
    spans = iter(windows.spread(
        total, num_windows=keep.count, window_frames=keep.frames,
        margin_frames=schema.margin_frames(keep.margin_seconds, frame_rate),
        clip_frames=max(clip_frames, keep.frames)))
  builder = _Builder(new_grid(), spans, audio.Placer(sample_rate),
                     video.Scaler(short_side), encode, flow, is_dense=keep is None)
  yield from _decode(path, builder, start_s, may_seek, threads)
  if not builder.num_clips:
    raise MediaError('no_frames', f'no picture between {start_s or 0:g} s and '
                     + (f'{end_s:g} s' if end_s is not None else 'the end'))


def _count_frames(path, new_grid) -> tuple[int, bool]:
  """How many frames the whole video would have, and whether seeking in it is safe."""
  with container.MediaReader(path, sound=False) as reader:
    span = reader.picture_span()
  if span is not None:
    return new_grid().count(*span), True
  # The packets do not tell. Pictures do, without being scaled or stored.
  with container.MediaReader(path, sound=False) as reader:
    return max(1, sum(1 for _ in video.resample(reader, new_grid()))), False


def _decode(path, builder, target_s, may_seek, threads):
  """Feeds the builder and yields its clips; skips what it has no use for.

  Args:
    path: The file.
    builder: A `_Builder`.
    target_s: Where the first picture is wanted; None: at the start.
    may_seek: Whether gaps between clips may be jumped over.
    threads: Decoder threads.
  """
  with contextlib.ExitStack() as stack:
    reader = stack.enter_context(container.MediaReader(path, threads=threads))
    while True:
      jumped = target_s is not None and reader.seek(target_s)
      builder.resume(reader)
      landed = False
      frames = reader.decode()
      while True:
        with builder.stage('decode'):
          frame, time_s = next(frames, (None, None))
        if frame is None:
          builder.finish()
          yield from builder.ready()
          return
        if jumped and not landed and builder.is_picture(frame):
          landed = True
          if time_s is None or time_s > target_s:
            # No key frame before the target was found: read all from the start.
            reader = stack.enter_context(container.MediaReader(path, threads=threads))
            target_s, may_seek = None, False
            break
        builder.add(frame, time_s)
        yield from builder.ready()
        if builder.done:
          return
        ahead_s = builder.gap() if may_seek else None
        if ahead_s not in (None, target_s):  # once only: it can land far before
          target_s = ahead_s
          break


class _Builder:
  """Sorts frames, flow and sound into clips.

  Attributes:
    done: Whether nothing later in the file can be of use.
    num_clips: Clips made so far.
  """

  def __init__(self, grid, spans, placer, scaler, encode, flow, *, is_dense):
    self.done = False
    self.num_clips = 0
    self._grid, self._placer, self._scaler = grid, placer, scaler
    self._encode, self._flow = encode, flow
    self._is_dense = is_dense
    self._spans = spans
    # Spans that are not made yet, ascending; up to the first one that lies ahead.
    self._waiting = collections.deque([next(spans)])
    self._seen = -1  # the latest frame that has come
    self._ended = False
    self._frames, self._flows = {}, {}  # number of the frame -> what was made of it
    self._frame, self._rgb, self._gray = None, None, None  # the latest picture
    self._encoded, self._item = None, None  # the latest stored one, and its code
    self._still = None  # flow of a picture that repeats
    self._reader, self._reached_s = None, None  # time of its latest picture
    self._seconds = dict.fromkeys(STAGES, 0.0)

  @contextlib.contextmanager
  def stage(self, name: str):
    """Adds the CPU time of its block to a stage."""
    begin = time.thread_time()
    try:
      yield
    finally:
      self._seconds[name] += time.thread_time() - begin

  def resume(self, reader):
    """Says what reads the file, and that its next picture may come after a gap."""
    self._reader = reader
    self._grid.jump(self._waiting[0].first)
    self._reached_s = None

  def is_picture(self, frame) -> bool:
    return not isinstance(frame, container.av.AudioFrame)

  def add(self, frame, time_s):
    """Takes what was decoded."""
    if self.is_picture(frame):
      self._reached_s = time_s if time_s is not None else self._reached_s
      self._store(self._grid.push(frame, time_s))
      return
    with self.stage('sound'):
      self._placer.push(frame, time_s)

  def finish(self):
    """The file has ended."""
    self._store(self._grid.finish())
    with self.stage('sound'):
      self._placer.finish()
    self._ended = True

  def _store(self, pairs):
    for n, frame in pairs:
      while self._waiting[-1].first <= n and (span := next(self._spans, None)):
        self._waiting.append(span)
      wanted = any(span.first <= n < span.last for span in self._waiting)
      before = n - 1 if self._flow and n - 1 in self._frames else None
      if before is not None or wanted:
        self._take(n, frame, wanted, before)
      self._seen = n

  def _take(self, n, frame, wanted, before):
    repeats = frame is self._frame
    if not repeats:
      with self.stage('scale'):
        self._frame, self._rgb = frame, self._scaler.rgb(frame)
    if wanted:
      if self._encoded is not frame:
        with self.stage('encode'):
          self._encoded, self._item = frame, self._encode(self._rgb)
      self._frames[n] = self._item
    if self._flow is None:
      return
    with self.stage('flow'):
      gray = self._gray
      if not repeats:
        self._gray = cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY)
      if before is not None:
        self._flows[before] = (
            self._no_motion() if repeats else self._flow(gray, self._gray))

  def _no_motion(self):
    if self._still is None:
      self._still = self._flow(self._gray, self._gray)
    return self._still

  def ready(self):
    """Yields clips that nothing later in the file can change."""
    no_more = self._ended or self._grid.done
    while self._waiting:
      span = self._waiting[0]
      # What lies ahead, at the end of the file: nothing, or windows that are missing.
      if span.first > self._seen and (self._is_dense or not no_more):
        break
      if self._seen < span.last and not no_more:
        return  # whether it is the last one, and its last flow, need one frame more
      last = min(span.last, self._seen + 1) if self._is_dense else span.last
      if not self._ended and self._lacks_sound(self._grid.time_of(last)):
        return
      self._waiting.popleft()
      if not self._waiting and (following := next(self._spans, None)):
        self._waiting.append(following)
      yield self._clip(span, last)
    self.done = no_more or not self._waiting

  def _lacks_sound(self, end_s):
    if self._reader.sound is None:
      return False
    if self._placer.reached >= round(end_s * self._placer.sample_rate):
      return False
    if self._is_dense and not self._grid.done:
      begun = sum(span.first <= self._seen for span in self._waiting)
      return begun <= 1 + _MAX_WAITING_CLIPS
    return self._reached_s is None or self._reached_s <= end_s + _MAX_WAITING_S

  def _clip(self, span, last):
    """The clip of a span, of which no more than `last` frames came."""
    numbers = range(span.first, last)
    if self._encoded is None:
      raise MediaError('no_frames', 'none of the wanted frames could be decoded')
    counts = dataclasses.replace(self._reader.counts)
    if any(n not in self._frames for n in numbers):
      counts.truncated = 1  # the file ended before its packets said
    frames = [self._frames.get(n, self._item) for n in numbers]
    flows = None
    if self._flow is not None:
      before = self._flows.get(last - 2)
      before = self._no_motion() if before is None else before
      flows = [self._flows.get(n, before) for n in numbers]
    rate = self._placer.sample_rate
    start_s, end_s = self._grid.time_of(span.first), self._grid.time_of(last)
    low, high = round(start_s * rate), round(end_s * rate)
    following = self._waiting[0].first if self._waiting else last
    with self.stage('sound'):
      waveform, audio_start, audio_end = self._placer.take(
          low, high, keep_from=round(self._grid.time_of(min(following, last)) * rate))
    for stored in (self._frames, self._flows):
      for n in [n for n in stored if n < following]:
        del stored[n]
    index, self.num_clips = self.num_clips, self.num_clips + 1
    is_last = not self._waiting or (
        self._is_dense and following > self._seen and (self._ended or self._grid.done))
    return Clip(
        index=index, is_last=is_last, start_s=start_s, end_s=end_s,
        timestamps=self._grid.start_s + np.array(numbers) / self._grid.rate,
        frames=frames, flows=flows, windows=span.windows, height=self._rgb.shape[0],
        width=self._rgb.shape[1], waveform=waveform, audio_start_s=audio_start / rate,
        audio_end_s=audio_end / rate, counts=counts,
        stage_seconds=dict(self._seconds))

  def gap(self) -> float | None:
    """Where to go on, in seconds, if nothing is wanted for a while; else None."""
    if (not self._waiting or self._frames or self._reached_s is None
        or self._waiting[0].first <= self._seen):
      return None
    target_s = self._grid.time_of(self._waiting[0].first)
    return target_s if target_s - self._reached_s > container.SEEK_AHEAD_S else None
