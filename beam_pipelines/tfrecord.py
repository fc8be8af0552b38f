"""TFRecord files without TensorFlow: checked reading, shards written in one step."""

import hashlib
import itertools
import os
import struct
from collections.abc import Iterator

import google_crc32c

from beam_pipelines import storage
from tfmm import schema

_GZIP = b'\x1f\x8b'


def _masked_crc(data: bytes) -> bytes:
  crc = google_crc32c.value(data)
  return struct.pack('<I', (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(record: bytes) -> bytes:
  """One record as a TFRecord file holds it: length, its CRC, data, their CRC."""
  length = struct.pack('<Q', len(record))
  return b''.join((length, _masked_crc(length), record, _masked_crc(record)))


def read(path: str) -> Iterator[bytes]:
  """Yields the records of a TFRecord file; checksums are checked.

  Raises:
    ValueError: If it is no TFRecord file, cut, or damaged; names the file.
  """
  left = os.path.getsize(path)
  with open(path, 'rb') as file:
    for number in itertools.count():
      head = file.read(12)
      if not head:
        return
      if not number and head[:2] == _GZIP:
        raise ValueError(f'{path} is compressed; unpack it with gunzip.')
      length = struct.unpack('<Q', head[:8])[0] if len(head) == 12 else left
      # The length of a damaged head could be anything: never read beyond the file.
      rest = file.read(length + 4) if length + 16 <= left else b''
      record = rest[:-4]
      if not rest or frame(record) != head + rest:
        raise ValueError(f'{path}, record {number}: it is cut or damaged, or this is '
                         'no TFRecord file.')
      left -= 16 + length
      yield record


class ShardWriter:
  """Writes one shard beside its place and moves it there when it is complete.

  A context manager: what is not committed when it is left is removed. Records since the
  last `mark` can be taken back, because a video can turn out to be bad after its first
  clips were written.
  """

  def __init__(self, directory: str, name: str):
    self._final = storage.join(directory, name)
    self._sidecar = storage.join(directory, schema.sidecar_name(name))
    self._staged = storage.staging_path(directory, name)
    self._file = open(self._staged, 'wb')
    self._digest = hashlib.sha256()
    self.mark()

  def __enter__(self) -> 'ShardWriter':
    return self

  def __exit__(self, *unused):
    self.abort()

  def mark(self):
    """Remembers this point for `rollback`."""
    self._marked = (self._file.tell(), self._digest.copy())

  def rollback(self):
    """Forgets all records since the last mark."""
    position, digest = self._marked
    self._file.seek(position)
    self._file.truncate()
    self._digest = digest.copy()

  def write(self, record: bytes):
    """Appends one record."""
    data = frame(record)
    self._file.write(data)
    self._digest.update(data)

  def commit(self) -> tuple[int, str]:
    """Puts the file in its place.

    The sidecar of an older shard is removed before, and the new one is to be written
    after it: whenever a run is killed, no sidecar stands beside another shard than its
    own.

    Returns:
      Its size in bytes and its sha256.
    """
    self._file.flush()
    os.fsync(self._file.fileno())
    size = self._file.tell()
    self._file.close()
    storage.remove(self._sidecar)
    storage.publish(self._staged, self._final)
    return size, self._digest.hexdigest()

  def abort(self):
    """Removes what was written, unless it is committed."""
    self._file.close()
    storage.remove(self._staged)
