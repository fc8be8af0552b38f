"""Engines wait for ever for workers that are not there; here it is noticed and told."""

import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from apache_beam.options import pipeline_options
from apache_beam.runners.portability import portable_runner

_ANSWER_SECONDS = 10.0  # for a connection
_NOTE_SECONDS = 30.0
_GRACE_SECONDS = 120.0  # for an engine and its workers to start
_WORKERS = (
    'Look at the output of the worker pool: the first python in its PATH must import '
    'apache_beam and beam_pipelines (PYTHONPATH), and see the same files.')


def check_endpoints(options: pipeline_options.PipelineOptions):
  """Looks whether anybody answers where Beam would wait, for minutes or for ever.

  Raises:
    OSError: If nobody does.
  """
  portable = options.view_as(pipeline_options.PortableOptions)
  places = [('--job_endpoint', portable.job_endpoint, 'local_job_service_main --port')]
  # A pool is near the engine; only one on this machine can be looked for from here.
  if portable.environment_type == 'EXTERNAL' and re.match(
      r'(localhost|127\.0\.0\.1):', portable.environment_config or ''):
    places.append(('--environment_config', portable.environment_config,
                   'worker_pool_main --service_port'))
  for flag, place, service in places:
    host, _, port = (place or '').rpartition(':')
    if not port.isdigit():
      continue  # none given, or 'embed'
    try:
      socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
      raise OSError(f'nothing answers at {flag}={place} ({error}); start it first '
                    f'({service}={port}), or correct the address.') from None


def wait(result, look: Callable[[], Any], timeout_seconds: float, stream: TextIO):
  """Waits until a job has finished, but not for workers that are not there.

  A pool whose Python does not start, or a machine that went away, is no error to an
  engine: it waits for ever. Dataflow tells of its workers itself.

  Args:
    result: Of `pipeline.run`.
    look: Its value changes while workers do something.
    timeout_seconds: Workers give a sign at least so often.
    stream: For a note to the user.

  Raises:
    OSError: If nothing has changed for two minutes longer than that.
  """
  if not isinstance(result, portable_runner.PipelineResult):
    result.wait_until_finish()
    return
  failures = []
  thread = threading.Thread(
      target=lambda: _collect(result.wait_until_finish, failures), daemon=True)
  thread.start()
  before, since = look(), time.monotonic()
  noted = begun = False
  while thread.is_alive():
    thread.join(1.0)
    now, still = look(), time.monotonic() - since
    if now != before:
      before, since, begun = now, time.monotonic(), True
    elif still > timeout_seconds + _GRACE_SECONDS:
      what = 'gone on' if begun else 'begun'
      raise OSError(f'no worker has {what} for {still:.0f} s. {_WORKERS}')
    elif still > _NOTE_SECONDS and not noted and not begun:
      noted = True
      print(f'note: no worker has begun yet. {_WORKERS}', file=stream, flush=True)
  if failures:
    raise RuntimeError(_portable_cause(result) or str(failures[0])) from failures[0]


def _portable_cause(result) -> str:
  """What a job service said of the failure, if it said anything: its last traceback."""
  messages = result._messages  # pylint: disable=protected-access
  texts = [m.message_response.message_text for m in messages]
  texts = [text for text in texts if 'Traceback' in text]
  if not texts:
    return ''
  details = re.search(r'details = "(.*)"', texts[-1])  # of gRPC, over several lines
  last = details[1] if details else texts[-1].strip().splitlines()[-1]
  return last.removeprefix('RuntimeError: ')


def _collect(call, failures):
  try:
    call()
  except Exception as error:  # pylint: disable=broad-exception-caught
    failures.append(error)
