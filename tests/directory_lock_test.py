import os
import signal
import subprocess
import sys

import pytest

from tfmm import directory_lock

_HOLD = """
import sys, time
from tfmm import directory_lock
with directory_lock.hold(sys.argv[1], '--dir'):
  print('held', flush=True)
  time.sleep(60)
"""


def test_second_writer_is_refused_until_the_first_is_gone_even_by_a_kill(tmp_path):
  place = str(tmp_path / 'new' / 'run')
  with subprocess.Popen(
      [sys.executable, '-c', _HOLD, place], stdout=subprocess.PIPE,
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}) as other:
    assert other.stdout.readline() == b'held\n'
    with pytest.raises(OSError, match='--dir=.*run is in use by another process'):
      with directory_lock.hold(place, '--dir'):
        pass
    other.send_signal(signal.SIGKILL)
  for _ in range(2):
    with directory_lock.hold(place, '--dir'):
      assert os.listdir(place) == []  # the lock leaves no file


def test_what_cannot_be_written_in_is_one_line(tmp_path):
  (tmp_path / 'file').write_text('mine')
  for place, why in (('file', 'it is a file'), ('file/below', 'not a directory')):
    with pytest.raises(OSError, match=f'--dir=.*{why}.*give another') as error:
      with directory_lock.hold(str(tmp_path / place), '--dir'):
        pass
    assert '\n' not in str(error.value)
  assert (tmp_path / 'file').read_text() == 'mine'


def test_remote_directories_are_not_touched(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with directory_lock.hold('gs://bucket/run', '--dir'):
    assert os.listdir(tmp_path) == []
