"""PyTorch's files (.pth, .pt, .pth.tar), read without PyTorch.

Two formats. Since PyTorch 1.6 a file is a ZIP archive with the pickle `data.pkl` and
one entry per storage. Before, it is a row of pickles (a magic number, a version, facts
about the machine, the content, names of storages) and then the storages themselves,
each behind its length. See `torch_pickle` for what a pickle may hold.

Arrays are views of the mapped file: what is not looked at is not read.
"""

from __future__ import annotations

from collections.abc import Callable
import struct
from typing import Any
import zipfile

import numpy as np

from tfmm.weights import torch_pickle

_MAGIC_NUMBER = 0x1950a86a20f9469cfc6c
_VERSION = 1001
_LOCAL_HEADER = struct.Struct('<26xHH')  # of a ZIP entry: lengths of name and extra


def read(path: str) -> Any:
  """The content of a file: containers, NumPy arrays and plain values.

  Args:
    path: local.

  Returns:
    What was saved, such as {'state_dict': {name: array}, 'epoch': 20}. Parameters are
    arrays, numbers of NumPy plain ones, bfloat16 becomes float32. Arrays cannot be
    written to.

  Raises:
    OSError: the file cannot be opened.
    ValueError: it is damaged, is no PyTorch file, or names what is not data. Nothing
      of it was run.
  """
  with open(path, 'rb') as file:
    try:
      data = np.asarray(np.memmap(path, np.uint8, 'r'))
      if data[:4].tobytes() == b'PK\x03\x04':
        return _read_archive(file, data)
      return _read_legacy(file, data)
    except torch_pickle.Refused as error:
      raise ValueError(
          f'{path} is refused: it wants to run {error}, and weights are data. Nothing '
          'was run. Save its state_dict alone: torch.save(model.state_dict(), ...)'
      ) from None
    except OSError:
      raise
    except Exception as error:  # a damaged pickle can fail in any way
      told = ' '.join(str(error).split()) or type(error).__name__
      raise ValueError(
          f'{path} is damaged or no file of PyTorch ({told}); get it again.') from error


def _read_archive(file, data: np.ndarray) -> Any:
  """Reads the format since PyTorch 1.6."""
  with zipfile.ZipFile(file) as archive:
    entries = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in entries if name.endswith('data.pkl')]
    if len(pickles) != 1:
      raise ValueError(f'{len(pickles)} entries data.pkl in the archive')
    folder = pickles[0].removesuffix('data.pkl')
    order = 'little'
    if f'{folder}byteorder' in entries:
      order = archive.read(f'{folder}byteorder').decode()

    def numbers(storage: torch_pickle.Storage) -> np.ndarray:
      info = entries.get(f'{folder}data/{storage.key}')
      if info is None:
        raise ValueError(f'storage {storage.key!r} is missing')
      if info.compress_type != zipfile.ZIP_STORED:  # packed again by someone
        return _view(np.frombuffer(archive.read(info), np.uint8), 0, storage, order)
      start = info.header_offset
      lengths = _LOCAL_HEADER.unpack(data[start:start + 30].tobytes())
      return _view(data, start + 30 + sum(lengths), storage, order)

    with archive.open(pickles[0]) as content:
      return torch_pickle.Unpickler(content, numbers).load()


def _read_legacy(file, data: np.ndarray) -> Any:
  """Reads the format before PyTorch 1.6."""
  if _load(file) != _MAGIC_NUMBER:
    raise ValueError('no magic number')
  version, machine = _load(file), _load(file)
  if version != _VERSION:
    raise ValueError(f'version {version}, and {_VERSION} is known')
  order = 'little' if machine.get('little_endian', True) else 'big'
  # Where the storages lie stands behind the content that refers to them, so it is read
  # twice: first without tensors.
  content = file.tell()
  storages: dict[str, torch_pickle.Storage] = {}

  def note(storage: torch_pickle.Storage):
    storages[storage.key] = storage

  _load(file, note)
  keys = _load(file)
  places = {}
  place = file.tell()
  for key in keys:
    storage = storages[str(key)]
    length = int.from_bytes(data[place:place + 8].tobytes(), order)
    if length != storage.count:
      raise ValueError(f'storage {key!r} has {length} numbers of {storage.count}')
    places[storage.key] = place + 8
    place += 8 + length * storage.dtype.itemsize
  file.seek(content)
  return _load(
      file, lambda storage: _view(data, places[storage.key], storage, order))


def _load(file, numbers: Callable = lambda storage: None) -> Any:
  return torch_pickle.Unpickler(file, numbers).load()


def _view(data: np.ndarray, place: int, storage: torch_pickle.Storage, order: str
          ) -> np.ndarray:
  """The numbers of a storage that begins at the byte `place`."""
  if order not in ('little', 'big'):
    raise ValueError(f'byte order {order!r}')
  end = place + storage.count * storage.dtype.itemsize
  if end > len(data):
    raise ValueError(f'storage {storage.key!r} is cut short')
  dtype = storage.dtype if order == 'little' else storage.dtype.newbyteorder('>')
  return data[place:end].view(dtype)
