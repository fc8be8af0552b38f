"""Progress of a running job, from the files that workers leave; any local engine."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from beam_pipelines import storage
from tfmm import schema


def duration(seconds: float) -> str:
  """Seconds as `59s`, `2m05s` or `3h07m`."""
  seconds = int(seconds + 0.5)
  if seconds < 60:
    return f'{seconds}s'
  if seconds < 3600:
    return f'{seconds // 60}m{seconds % 60:02d}s'
  return f'{seconds // 3600}h{seconds % 3600 // 60:02d}m'


def line(done: int, total: int, done_now: int, elapsed: float) -> str:
  """One line of progress.

  Args:
    done: Videos that are done, those of earlier runs included.
    total: Videos in all.
    done_now: Videos done since this run began.
    elapsed: Seconds since this run began.
  """
  rate = done_now / elapsed if elapsed > 0 else 0.0
  left = duration((total - done) / rate) if rate else '?'
  return f'{done}/{total} videos, {rate:.2f} videos/s, {left} left'


def signs_of_life(output_dir: str) -> Callable[[], Any]:
  """A function whose value changes while workers do something; see `watchdog.wait`.

  Workers touch a file whenever a decoding process says that it is alive.
  """
  def look():
    if storage.is_remote(output_dir):
      return None
    folder = storage.join(output_dir, storage.TEMPORARY)
    signs = []
    for name in storage.list_names(folder):
      with contextlib.suppress(OSError):
        signs.append((name, os.stat(storage.join(folder, name)).st_mtime_ns))
    return signs, len(storage.list_names(output_dir))
  return look


class Progress:
  """Context manager that prints a line every few seconds to standard error."""

  def __init__(self, output_dir: str, videos_per_shard: Mapping[str, int],
               every_seconds: float = 5.0, stream: TextIO | None = None):
    self._output_dir = output_dir
    self._videos = dict(videos_per_shard)
    self._every = every_seconds
    self._stream = stream or sys.stderr
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True)

  def __enter__(self) -> 'Progress':
    self._begin = time.monotonic()
    self._before = self.done()
    self._thread.start()
    return self

  def __exit__(self, *unused):
    self._stop.set()
    self._thread.join()

  def done(self) -> int:
    """Videos of finished shards and those done of running ones."""
    names = set(storage.list_names(self._output_dir))
    folder = storage.join(self._output_dir, storage.TEMPORARY)
    running = {} if storage.is_remote(folder) else {
        name.removesuffix('.progress'): name
        for name in storage.list_names(folder) if name.endswith('.progress')}
    total = 0
    for shard, videos in self._videos.items():
      if schema.sidecar_name(shard) in names:
        total += videos
      elif shard in running:
        try:
          total += int(storage.read_text(storage.join(folder, running[shard])) or 0)
        except (OSError, ValueError):
          pass  # being written
    return total

  def _run(self):
    total = sum(self._videos.values())
    while not self._stop.wait(self._every):
      done = self.done()
      print(line(done, total, done - self._before, time.monotonic() - self._begin),
            file=self._stream, flush=True)
