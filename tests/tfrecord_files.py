"""Reads TFRecord files without TensorFlow, checking every checksum."""

import struct

import google_crc32c


def _unmask(masked):
  rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
  return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def read(path):
  """Yields the records of a file."""
  with open(path, 'rb') as file:
    while header := file.read(12):
      [length, crc] = struct.unpack('<QI', header)
      assert google_crc32c.value(header[:8]) == _unmask(crc)
      record = file.read(length)
      [crc] = struct.unpack('<I', file.read(4))
      assert google_crc32c.value(record) == _unmask(crc)
      yield record
