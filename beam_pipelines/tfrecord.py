"""TFRecord files without TensorFlow: framing, and a shard that appears in one step."""

import hashlib
import os
import struct

import google_crc32c

from beam_pipelines import storage


def _masked_crc(data: bytes) -> bytes:
  crc = google_crc32c.value(data)
  return struct.pack('<I', (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(record: bytes) -> bytes:
  """One record as a TFRecord file holds it: length, its CRC, data, their CRC."""
  length = struct.pack('<Q', len(record))
  return b''.join((length, _masked_crc(length), record, _masked_crc(record)))


class ShardWriter:
  """Writes one shard beside its place and moves it there when it is complete.

  Records since the last `mark` can be taken back, because a video can turn out to be
  bad after its first clips were written.
  """

  def __init__(self, directory: str, name: str):
    self._final = storage.join(directory, name)
    self._staged = storage.staging_path(directory, name)
    self._file = open(self._staged, 'wb')
    self._digest = hashlib.sha256()
    self.mark()

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

    Returns:
      Its size in bytes and its sha256.
    """
    self._file.flush()
    os.fsync(self._file.fileno())
    size = self._file.tell()
    self._file.close()
    storage.publish(self._staged, self._final)
    return size, self._digest.hexdigest()

  def abort(self):
    """Removes what was written, unless it is committed."""
    self._file.close()
    storage.remove(self._staged)
