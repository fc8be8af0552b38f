"""Tests of beam_pipelines.watchdog; engines_test.py has a real job service and pool."""

import io
import socket
import time
import types

from apache_beam.options import pipeline_options
from apache_beam.runners.portability import portable_runner
import pytest

from beam_pipelines import watchdog


class FakeResult(portable_runner.PipelineResult):
  """A job of a portable engine that ends when `finish` says so."""

  def __init__(self, finish, texts=()):  # pylint: disable=super-init-not-called
    self._finish = finish
    self._messages = [types.SimpleNamespace(
        message_response=types.SimpleNamespace(message_text=text)) for text in texts]
    self._state = 'DONE'

  def wait_until_finish(self, duration=None):
    self._finish()


def _options(*arguments):
  return pipeline_options.PipelineOptions(list(arguments))


def _closed_port():
  with socket.socket() as sock:
    sock.bind(('localhost', 0))
    return sock.getsockname()[1]


def test_addresses_where_nobody_answers_are_told():
  port = _closed_port()
  with pytest.raises(OSError, match='nothing answers at --job_endpoint=localhost:'
                     f'{port} .*local_job_service_main'):
    watchdog.check_endpoints(_options(f'--job_endpoint=localhost:{port}'))
  with socket.socket() as service:
    service.bind(('localhost', 0))
    service.listen()
    there = service.getsockname()[1]
    watchdog.check_endpoints(_options(f'--job_endpoint=localhost:{there}'))
    with pytest.raises(OSError, match='nothing answers at --environment_config'):
      watchdog.check_endpoints(_options(
          f'--job_endpoint=localhost:{there}', '--environment_type=EXTERNAL',
          f'--environment_config=localhost:{port}'))
  for other in ((), ('--job_endpoint=embed',),
                ('--environment_type=EXTERNAL', '--environment_config=pool:1')):
    watchdog.check_endpoints(_options(*other))


@pytest.fixture(name='impatient')
def impatient_fixture(monkeypatch):
  monkeypatch.setattr(watchdog, '_NOTE_SECONDS', 0.5)
  monkeypatch.setattr(watchdog, '_GRACE_SECONDS', 1.0)


def test_a_job_without_workers_is_given_up(impatient):
  del impatient
  stream = io.StringIO()
  with pytest.raises(OSError, match='no worker has begun for .*output of the worker'):
    watchdog.wait(FakeResult(lambda: time.sleep(60)), lambda: 0, 0.5, stream)
  assert stream.getvalue().count('note: no worker has begun yet') == 1


def test_a_job_that_stops_moving_is_given_up(impatient):
  del impatient
  signs = iter([0, 1])
  with pytest.raises(OSError, match='no worker has gone on for'):
    watchdog.wait(FakeResult(lambda: time.sleep(60)), lambda: next(signs, 2), 0.5,
                  io.StringIO())


def test_a_job_that_moves_is_waited_for(impatient):
  del impatient
  stream = io.StringIO()
  watchdog.wait(FakeResult(lambda: time.sleep(3.5)), time.monotonic, 0.5, stream)
  assert not stream.getvalue()


def test_the_cause_is_what_the_worker_said(impatient):
  del impatient

  def fail():
    raise RuntimeError('Pipeline job failed in state FAILED')

  text = 'Traceback (most recent call last):\n  at x\nRuntimeError: disk full'
  for texts, says in (((), 'Pipeline job failed'), (('hello', text), '^disk full')):
    with pytest.raises(RuntimeError, match=says):
      watchdog.wait(FakeResult(fail, texts), lambda: 0, 1.0, io.StringIO())


def test_other_engines_are_left_alone():
  calls = []
  result = types.SimpleNamespace(wait_until_finish=lambda: calls.append(1))
  watchdog.wait(result, lambda: pytest.fail('was looked at'), 0.0, io.StringIO())
  assert calls == [1]
