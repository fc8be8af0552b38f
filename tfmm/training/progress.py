"""One line that says how far a run is and how long it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

_SMOOTHING = .3  # weight of the newest measurement


class Progress:
  """Writes a line per report: overwritten on a terminal, a new one elsewhere.

  Args:
    total_steps: of the whole run.
    batch_size: videos per step.
    stream: where to write.
    every_seconds: without a terminal, lines come at least so far apart.
  """

  def __init__(self, *, total_steps: int, batch_size: int,
               stream: TextIO | None = None, every_seconds: float = 10.):
    self._total = total_steps
    self._batch_size = batch_size
    self._stream = stream or sys.stderr
    self._every = every_seconds
    self._terminal = self._stream.isatty()
    self._seconds_per_step: float | None = None
    self._measured: tuple[int, float] | None = None
    self._written = -every_seconds

  def start(self, step: int):
    """The next steps begin now; time before this call is not counted on them."""
    self._measured = (step, time.monotonic())

  def report(self, label: str, step: int, values: Mapping[str, float]):
    """Tells of training up to `step`."""
    now = time.monotonic()
    if self._measured and step > self._measured[0]:
      took = (now - self._measured[1]) / (step - self._measured[0])
      old = self._seconds_per_step
      self._seconds_per_step = (
          took if old is None else _SMOOTHING * took + (1 - _SMOOTHING) * old)
    self._measured = (step, now)
    speed, left = '', ''
    if self._seconds_per_step:
      speed = f' | {self._batch_size / self._seconds_per_step:.1f} videos/s'
      left = f' | {duration((self._total - step) * self._seconds_per_step)} left'
    rates = ' '.join(f'{k.split("/")[1]} {100 * v:.0f} %' for k, v in values.items()
                     if k.startswith('selection/') and v < 1)
    self._write(
        f'{label} | step {step}/{self._total} | loss {values["loss"]:.3f} | top-1 '
        f'{100 * values["top1"]:.1f} %{rates and " | ran: " + rates}{speed}{left}')

  def message(self, text: str):
    """A line that stays."""
    if self._terminal:
      self._stream.write('\r\x1b[K')
    self._stream.write(text + '\n')
    self._stream.flush()

  def close(self):
    """Leaves the last line standing."""
    if self._terminal:
      self._stream.write('\n')
      self._stream.flush()

  def _write(self, line: str):
    if self._terminal:
      self._stream.write(f'\r\x1b[K{line}')
      self._stream.flush()
    elif time.monotonic() - self._written >= self._every:
      self._written = time.monotonic()
      self.message(line)


def duration(seconds: float) -> str:
  """3725 -> '1 h 02 min'."""
  seconds = int(seconds + .5)
  if seconds < 60:
    return f'{seconds} s'
  if seconds < 3600:
    return f'{seconds // 60} min {seconds % 60:02d} s'
  return f'{seconds // 3600} h {seconds % 3600 // 60:02d} min'
