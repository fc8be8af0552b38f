"""Writes PyTorch's two file formats by hand, for tests without PyTorch."""

import collections
import pickle
import struct
import zipfile

import numpy as np

MAGIC_NUMBER = 0x1950a86a20f9469cfc6c
KINDS = {'float32': 'Float', 'float64': 'Double', 'float16': 'Half', 'int64': 'Long',
         'int32': 'Int', 'int16': 'Short', 'int8': 'Char', 'uint8': 'Byte',
         'bool': 'Bool'}


class Name:
  """A name in a pickle: a function or class that whoever loads it would import."""

  def __init__(self, module, name):
    self.module, self.name = module, name

  def __call__(self):
    raise NotImplementedError


class Call:
  """What a function gives when the pickle is loaded, and attributes set on it."""

  def __init__(self, module, name, *arguments, state=None):
    self.reduced = (Name(module, name), arguments, state)


class Storage:
  """A flat array in the file."""

  def __init__(self, numbers, kind=None, part=None):
    self.numbers = np.ascontiguousarray(numbers).reshape(-1)
    self.kind = kind or KINDS[self.numbers.dtype.name]
    self.part = part  # old files: (key, first, count)
    self.key = None


def tensor(storage, offset, size, stride, function='_rebuild_tensor_v2'):
  """A view of a storage; strides count numbers."""
  rest = (False, collections.OrderedDict()) if function.endswith('v2') else ()
  return Call('torch._utils', function, storage, offset, tuple(size), tuple(stride),
              *rest)


class _Pickler(pickle._Pickler):  # pylint: disable=protected-access
  """Tensors from arrays, names without import, storages by reference."""

  def __init__(self, file, old):
    super().__init__(file, 2)
    self.storages, self._old, self._held = [], old, []

  def persistent_id(self, obj):
    if not isinstance(obj, Storage):
      return None
    if obj.key is None:
      obj.key = str(len(self.storages))
      self.storages.append(obj)
    pid = ('storage', Name('torch', f'{obj.kind}Storage'), obj.key, 'cpu',
           len(obj.numbers))
    return (*pid, obj.part) if self._old else pid

  def reducer_override(self, obj):
    if isinstance(obj, Name):
      return obj.name
    if isinstance(obj, Call):
      return obj.reduced
    if isinstance(obj, np.ndarray):
      strides = [s // obj.itemsize for s in np.empty(obj.shape, obj.dtype).strides]
      made = tensor(Storage(obj), 0, obj.shape, strides)
      self._held.append(made)  # the memo goes by identity
      return made.reduced
    return NotImplemented

  def save_global(self, obj, name=None):
    if not isinstance(obj, Name):
      return super().save_global(obj, name)
    self.write(pickle.GLOBAL + f'{obj.module}\n{obj.name}\n'.encode())
    self.memoize(obj)


def _forget_keys(storages):
  for storage in storages:
    storage.key = None


def write_archive(path, content, *, folder='archive', byteorder='little',
                  compression=zipfile.ZIP_STORED):
  """The format since 1.6."""
  with zipfile.ZipFile(path, 'w', compression) as archive:
    with archive.open(f'{folder}/data.pkl', 'w') as file:
      pickler = _Pickler(file, old=False)
      pickler.dump(content)
    if byteorder:
      archive.writestr(f'{folder}/byteorder', byteorder)
    for storage in pickler.storages:
      archive.writestr(f'{folder}/data/{storage.key}', _bytes(storage, byteorder))
    archive.writestr(f'{folder}/version', '3\n')
  _forget_keys(pickler.storages)
  return str(path)


def write_legacy(path, content, *, byteorder='little'):
  """The format before 1.6."""
  with open(path, 'wb') as file:
    for value in (MAGIC_NUMBER, 1001, {
        'protocol_version': 1001, 'little_endian': byteorder == 'little',
        'type_sizes': {'short': 2, 'int': 4, 'long': 4}}):
      pickle.dump(value, file, 2)
    pickler = _Pickler(file, old=True)
    pickler.dump(content)
    in_any_order = pickler.storages[::-1]
    pickle.dump([s.key for s in in_any_order], file, 2)
    for storage in in_any_order:
      order = '<' if byteorder == 'little' else '>'
      file.write(struct.pack(f'{order}q', len(storage.numbers)))
      file.write(_bytes(storage, byteorder))
  _forget_keys(pickler.storages)
  return str(path)


def _bytes(storage, byteorder):
  numbers = storage.numbers
  return (numbers.byteswap() if byteorder == 'big' else numbers).tobytes()
