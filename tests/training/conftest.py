"""Child processes in which TensorFlow is imported and has not run an operation yet."""

import multiprocessing

import pytest


@pytest.fixture(scope='session')
def children():
  """start(function, ...) -> exit code of a process that called it."""
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload(['tests.training.tiny_run'])

  def start(target, *args, **kwargs):
    process = context.Process(target=target, args=args, kwargs=kwargs)
    process.start()
    process.join(300)
    return process.exitcode

  return start
