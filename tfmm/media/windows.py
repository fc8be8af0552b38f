"""Which frames of a video are kept when only windows of it are: index maths.

Windows are spread evenly, as `tfmm.data.segments` places its segments at test time.
A run is a window with a margin on both sides; runs that touch become one span.
"""

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Span:
  """A stretch of frames that becomes one clip.

  Attributes:
    first: Its first frame, counted in the video.
    last: One after its last frame; None: to the end of the video.
    windows: (first frame, last frame) of each window, counted in the span.
  """

  first: int
  last: int | None
  windows: tuple[tuple[int, int], ...] = ()


def dense(clip_frames: int) -> Iterator[Span]:
  """Endless spans of `clip_frames` frames, without a gap."""
  first = 0
  while True:
    yield Span(first, first + clip_frames)
    first += clip_frames


def spread(num_frames: int, *, num_windows: int, window_frames: int,
           margin_frames: int, clip_frames: int) -> list[Span]:
  """The spans of windows that are spread evenly over a video.

  Args:
    num_frames: Of the video, at least 1.
    num_windows: S. Window i starts at `i * (T - window) // (S - 1)`.
    window_frames: Of one window; a shorter video has windows of its own length.
    margin_frames: Frames that are kept on both sides of a window.
    clip_frames: Longest span. Runs that touch are joined up to that length; further
      ones begin a new span, which can then overlap with the one before it.

  Returns:
    Spans in ascending order; every window lies in exactly one.
  """
  window = min(window_frames, num_frames)
  runs = []  # (first, last, window's first)
  for i in range(num_windows):
    start = i * (num_frames - window) // max(1, num_windows - 1)
    runs.append((max(0, start - margin_frames),
                 min(num_frames, start + window + margin_frames), start))
  spans = []
  for first, last, start in runs:
    joined = spans and first <= spans[-1][1] and last - spans[-1][0] <= clip_frames
    if not joined:
      spans.append([first, last, []])
    spans[-1][1] = max(last, spans[-1][1])
    spans[-1][2].append(start)
  return [
      Span(first, last, tuple((s - first, s - first + window - 1) for s in starts))
      for first, last, starts in spans
  ]
