"""Files of a data set, local or remote (`gs://...` through Beam's file systems)."""

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator

TEMPORARY = '_tmp'  # inside the output directory; swept at the start of a run
_SAMPLE_BYTES = 1 << 16


def is_remote(path: str) -> bool:
  """Whether Beam's file systems must be asked."""
  return '://' in path


def _beam():
  from apache_beam.io import filesystems  # heavy, and only for remote paths
  return filesystems.FileSystems


def absolute(path: str) -> str:
  """A path that means the same in every folder."""
  return path if is_remote(path) else os.path.abspath(path)


def read_bytes(path: str) -> bytes:
  """The whole file; `FileNotFoundError` or another `OSError` if it cannot be read."""
  if is_remote(path):
    with _beam().open(path) as file:
      return file.read()
  with open(path, 'rb') as file:
    return file.read()


def read_text(path: str) -> str:
  return io.TextIOWrapper(io.BytesIO(read_bytes(path)), 'utf-8').read()


def exists(path: str) -> bool:
  return _beam().exists(path) if is_remote(path) else os.path.exists(path)


def size(path: str) -> int | None:
  """Bytes of a file, or None if there is none (remote files: not looked at)."""
  if is_remote(path):
    return None
  try:
    return os.path.getsize(path)
  except OSError:
    return None


def content_mark(path: str) -> str | None:
  """Changes when a local file changes: its size and a hash of three pieces of it.

  A hash of all bytes would cost a second run minutes on a large corpus. None if there
  is no file; remote files are not looked at.
  """
  if is_remote(path):
    return None
  try:
    with open(path, 'rb') as file:
      length = os.fstat(file.fileno()).st_size
      digest = hashlib.blake2b(digest_size=16)
      for place in (0, length // 2, max(0, length - _SAMPLE_BYTES)):
        file.seek(place)
        digest.update(file.read(_SAMPLE_BYTES))
    return f'{length}-{digest.hexdigest()}'
  except OSError:
    return None


def join(directory: str, name: str) -> str:
  return f'{directory.rstrip("/")}/{name}' if is_remote(directory) else os.path.join(
      directory, name)


def list_names(directory: str) -> list[str]:
  """Sorted names of the entries of a directory; empty if there is none."""
  if is_remote(directory):
    [result] = _beam().match([join(directory, '*')])
    return sorted(os.path.basename(m.path) for m in result.metadata_list)
  return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def make_directory(directory: str):
  if not is_remote(directory):
    os.makedirs(directory, exist_ok=True)


def remove(path: str):
  """Removes a file or a local directory tree; nothing there is fine."""
  if is_remote(path):
    if exists(path):
      _beam().delete([path])
  elif os.path.isdir(path):
    shutil.rmtree(path, ignore_errors=True)
  else:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)


def staging_path(directory: str, name: str) -> str:
  """A fresh local path for a file that `publish` will move into `directory`."""
  folder = (tempfile.gettempdir() if is_remote(directory)
            else os.path.join(directory, TEMPORARY))
  os.makedirs(folder, exist_ok=True)
  return os.path.join(folder, f'{name}.{uuid.uuid4().hex}')


def publish(staged: str, final: str):
  """Moves a staged local file to its place in one step."""
  if not is_remote(final):
    os.replace(staged, final)
    return
  with open(staged, 'rb') as source, _beam().create(final) as target:
    shutil.copyfileobj(source, target, 1 << 20)
  os.unlink(staged)


def write_text(path: str, text: str):
  """Writes a file in one step: a reader sees the old file or the new one."""
  staged = staging_path(os.path.dirname(path), os.path.basename(path))
  with open(staged, 'w', encoding='utf-8', newline='') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  publish(staged, path)


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
  """The path of a local file with the same content, for decoders."""
  if not is_remote(path):
    yield path
    return
  staged = os.path.join(tempfile.gettempdir(), uuid.uuid4().hex)
  try:
    with _beam().open(path) as source, open(staged, 'wb') as target:
      shutil.copyfileobj(source, target, 1 << 20)
    yield staged
  finally:
    remove(staged)
