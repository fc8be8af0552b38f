"""One writer per directory: a second run in it is told so and changes nothing."""

import contextlib
import fcntl
import os
from collections.abc import Iterator


@contextlib.contextmanager
def hold(directory: str, flag: str) -> Iterator[None]:
  """Makes a local directory if needed and keeps other processes from writing in it.

  The lock is the system's, on the directory itself: it leaves no file and ends with
  the process, also by a kill. Remote directories, and file systems without locks, are
  not guarded.

  Args:
    directory: to write in.
    flag: that named it, for messages.

  Raises:
    OSError: it cannot be made or written in, or another process holds it.
  """
  if '://' in directory:
    yield
    return
  make(directory, flag)
  handle = os.open(directory, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise OSError(
          f'{flag}={directory} is in use by another process that writes there; wait '
          'for it, stop it, or give another directory.') from None
    except OSError:
      pass  # a file system without locks
    yield
  finally:
    os.close(handle)


def make(directory: str, flag: str):
  """Makes a local directory if needed; OSError if it cannot be written in."""
  try:
    os.makedirs(directory, exist_ok=True)
    if not os.access(directory, os.W_OK | os.X_OK):
      raise PermissionError(None, 'no permission to write in it')
  except OSError as error:
    why = ('it is a file' if isinstance(error, FileExistsError)
           else (error.strerror or str(error)).lower())
    raise OSError(f'{flag}={directory} is no directory that can be written in ({why}); '
                  'give another.') from None
