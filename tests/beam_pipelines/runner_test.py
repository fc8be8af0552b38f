"""Tests of beam_pipelines.runner."""

import socket

from absl import flags
import pytest

from beam_pipelines import runner


def test_defaults_are_added_to_beams_options():
  assert runner.beam_arguments('x', []) == [
      '--runner=FnApiRunner', '--direct_running_mode=multi_threading',
      '--direct_num_workers=2']
  given = ['--runner=FnApiRunner', '--direct_num_workers=3']
  assert runner.beam_arguments('x', given) == [
      *given, '--direct_running_mode=multi_threading']
  assert runner.beam_arguments('x', ['--runner=DataflowRunner']) == [
      '--runner=DataflowRunner', '--no_save_main_session',
      '--number_of_worker_harness_threads=1']
  given = ['--runner=DataflowRunner', '--save_main_session',
           '--number_of_worker_harness_threads=2']
  assert runner.beam_arguments('x', given) == given
  assert runner.beam_arguments('x', ['--runner=FlinkRunner']) == [
      '--runner=FlinkRunner']


@pytest.mark.parametrize('arguments, says', [
    (['--direct_num_worker=2'], 'neither of x nor of Beam; did you mean '
     '--direct_num_workers?'),
    (['--direct_num_workers=two'], "invalid int value: 'two' (an option of Beam)."),
    (['--runner=DaskRunner'], 'runner DaskRunner is refused'),
    (['--dry_run=True'], '--dry_run is for DataflowRunner'),
])
def test_mistakes(arguments, says):
  with pytest.raises(ValueError) as error:
    runner.make_pipeline('x', arguments)
  assert says in str(error.value)


def test_addresses_where_nobody_answers_are_refused():
  with socket.socket() as sock:
    sock.bind(('localhost', 0))
    place = f'localhost:{sock.getsockname()[1]}'
  with pytest.raises(OSError, match=f'nothing answers at --job_endpoint={place}'):
    runner.make_pipeline('x', ['--runner=PortableRunner', f'--job_endpoint={place}'])


@pytest.mark.parametrize('error, code, says', [
    (None, 7, ''),
    (ValueError('two\n  lines'), 1, 'error: two lines\n'),
    (OSError('gone'), 1, 'error: gone\n'),
    (KeyboardInterrupt(), 130, 'stopped; finished shards are kept'),
    (RuntimeError('Traceback (most recent\n  at x\nRuntimeError: full [while]'), 1,
     'error: the pipeline stopped: full [while] (finished shards are kept'),
])
def test_errors_become_one_line(capsys, error, code, says):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()

  def run(arguments):
    assert arguments == ['--a']
    if error is not None:
      raise error
    return 7

  assert runner.guarded(run, ['command', '--a']) == code
  err = capsys.readouterr().err
  assert err.startswith(says) and len(err.splitlines()) == bool(says)
