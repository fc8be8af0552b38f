"""A decoding child that can be killed: a hang or a crash costs one video, no more."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfmm.media import MediaError

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_START_SECONDS = 120.0
_COMMAND = (sys.executable, '-m', 'beam_pipelines.worker')


class Child:
  """Owns one child process, started when needed and again after it was killed."""

  def __init__(self, timeout_seconds: float, command: Sequence[str] = _COMMAND):
    """Sets up; nothing is started yet.

    Args:
      timeout_seconds: Longest wait for a sign of life. A long video that makes
        progress is never cut off.
      command: What to run, for tests.
    """
    self._timeout = timeout_seconds
    self._command = tuple(command)
    self._process = None
    self._log = None
    self._buffer = bytearray()

  def run(self, request: dict, alive: Callable[[], Any] = lambda: None
          ) -> Iterator[tuple[bytes, dict]]:
    """Sends one request; yields `(record, summary)` for each clip.

    Raises:
      MediaError: If the child rejects the video, dies on it (`crashed`) or does not
        answer in time (`timeout`).
      RuntimeError: If no child can be started: that is not the video's fault.
    """
    if self._process is None or self._process.poll() is not None:
      self._start()
    finished = False
    try:
      try:
        self._process.stdin.write(json.dumps(request).encode() + b'\n')
        self._process.stdin.flush()
      except OSError:
        self._died()
      while True:
        answer, payload = self._receive(self._timeout)
        kind = answer.pop('kind')
        alive()
        if kind == 'alive':
          continue
        if kind == 'clip':
          yield payload, answer
          continue
        finished = True
        if kind == 'rejected':
          raise MediaError(answer['reason'], answer['detail'])
        return
    finally:
      if not finished:
        self.close()  # a new child knows nothing of the rest of this video

  def _start(self):
    self.close()
    path = [_ROOT, *filter(None, [os.environ.get('PYTHONPATH')])]
    self._log = tempfile.TemporaryFile()
    self._buffer.clear()
    # Its own process group: Ctrl-C would kill it too, and look like a bad video.
    self._process = subprocess.Popen(
        self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        process_group=0, env={**os.environ, 'PYTHONPATH': os.pathsep.join(path)})
    try:
      self._receive(_START_SECONDS)
    except MediaError as error:
      tail = self._tail()
      self.close()
      raise RuntimeError(
          f'the decoding worker does not start ({error.detail}). It is run as '
          f'{" ".join(self._command)} and said: {tail or "nothing"}') from None

  def _receive(self, seconds: float) -> tuple[dict, bytes]:
    deadline = time.monotonic() + seconds
    while b'\n' not in self._buffer:
      self._fill(deadline, seconds)
    line, _, rest = self._buffer.partition(b'\n')
    self._buffer = bytearray(rest)
    answer = json.loads(line)
    size = answer.pop('bytes')
    while len(self._buffer) < size:
      self._fill(deadline, seconds)
    payload = bytes(self._buffer[:size])
    del self._buffer[:size]
    return answer, payload

  def _fill(self, deadline: float, seconds: float):
    pipe = self._process.stdout.fileno()
    left = deadline - time.monotonic()
    poll = select.poll()  # `select.select` ends at 1024 open files
    poll.register(pipe, select.POLLIN)
    if left <= 0 or not poll.poll(left * 1000):
      raise MediaError('timeout', f'no answer within {seconds:g} s')
    data = os.read(pipe, 1 << 20)
    if not data:
      self._died()
    self._buffer += data

  def _died(self):
    code = self._process.wait()
    how = (f'signal {signal.Signals(-code).name}' if code < 0 else f'exit code {code}')
    tail = self._tail()
    detail = f'worker ended by {how}'
    raise MediaError('crashed', f'{detail}: {tail}' if tail else detail)

  def _tail(self) -> str:
    """The last line that the child wrote to its standard error."""
    if self._log is None:
      return ''
    self._log.seek(0)
    lines = self._log.read().decode('utf-8', 'replace').split('\n')
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), '')

  def close(self):
    """Kills the child, if there is one."""
    if self._process is not None:
      self._process.kill()
      self._process.wait()
      for pipe in (self._process.stdin, self._process.stdout):
        try:
          pipe.close()
        except OSError:
          pass
      self._process = None
    if self._log is not None:
      self._log.close()
      self._log = None
