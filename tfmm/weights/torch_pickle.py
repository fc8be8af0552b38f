"""The pickle inside a PyTorch file, read as data: nothing that it names is run.

A pickle is a small program which may call any function that it names. This reader
knows a fixed list of names, and each stands for a function of this module that makes a
container, an array or a plain value. Any other name ends the reading.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
import pickle
import re
from typing import Any, NamedTuple

import numpy as np

# Number types of PyTorch's storages. NumPy has no bfloat16: these are the upper halves
# of float32 numbers.
BFLOAT16 = 'bfloat16'
_STORAGES = {
    'Float': 'float32', 'Double': 'float64', 'Half': 'float16', 'BFloat16': BFLOAT16,
    'Long': 'int64', 'Int': 'int32', 'Short': 'int16', 'Char': 'int8', 'Byte': 'uint8',
    'Bool': 'bool'}


class Refused(ValueError):
  """The pickle names something that is not data."""


class Storage(NamedTuple):
  """A flat piece of numbers that tensors refer to.

  Attributes:
    key: its name in the file.
    kind: number type, a value of `_STORAGES`.
    count: numbers in it.
  """

  key: str
  kind: str
  count: int

  @property
  def dtype(self) -> np.dtype:
    """As it lies in the file, in little-endian order."""
    kind = 'uint16' if self.kind == BFLOAT16 else self.kind
    return np.dtype(kind).newbyteorder('<')


class Unpickler(pickle.Unpickler):
  """Reads one pickle of containers, tensors and plain values.

  Args:
    file: binary; left behind the pickle.
    numbers: gives the numbers of a `Storage`, flat; or None, and tensors become None.
  """

  def __init__(self, file, numbers: Callable[[Storage], np.ndarray | None]):
    # Pickles of Python 2 hold byte strings; names and numbers of them survive this.
    super().__init__(file, encoding='latin1')
    self._numbers = numbers
    # Made for each reading: a pickle can set attributes of what it is given.
    self._known: dict[str, Any] = {
        'collections.OrderedDict': collections.OrderedDict,
        'collections.Counter': dict,  # milestones of learning rates
        'torch.Size': tuple,
        'torch.device': lambda *place: ':'.join(map(str, place)),
        'torch._utils._rebuild_tensor': lambda *a: _rebuild_tensor(*a),
        'torch._utils._rebuild_tensor_v2': lambda *a: _rebuild_tensor(*a[:4]),
        'torch._utils._rebuild_parameter': lambda data, *rest: data,
        'torch.nn.parameter.Parameter': lambda data, *rest: data,
        '_codecs.encode': lambda *a: _encode(*a),
        'numpy.dtype': lambda text, *rest: _NumberType(text),
        'numpy.core.multiarray.scalar': lambda *a: _scalar(*a),
        'numpy._core.multiarray.scalar': lambda *a: _scalar(*a),
    }
    for name, kind in _STORAGES.items():
      self._known[f'torch.{name}Storage'] = kind
      self._known[f'torch.cuda.{name}Storage'] = kind
    for kind in _STORAGES.values():
      self._known[f'torch.{kind}'] = f'torch.{kind}'

  def find_class(self, module, name):
    """What a name stands for, from the fixed list."""
    known = self._known.get(f'{module}.{name}')
    if known is None:
      raise Refused(f'{module}.{name}')
    return known

  def persistent_load(self, pid):
    """A reference to a storage -> (its numbers, their type).

    Args:
      pid: ('storage', type, key, device, count) and, in old files, what part of the
        storage is meant: None or (key, first number, count).
    """
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != 'storage':
      raise pickle.UnpicklingError('a reference that is to no storage')
    _, kind, key, _, count, *part = pid
    if kind not in _STORAGES.values() or not isinstance(count, int) or count < 0:
      raise pickle.UnpicklingError(f'storage {key!r} has no known type and length')
    numbers = self._numbers(Storage(str(key), kind, count))
    if numbers is not None and part and part[0] is not None:
      _, first, length = part[0]
      if min(first, length) < 0 or first + length > count:
        raise pickle.UnpicklingError(f'a part of storage {key!r} lies outside of it')
      numbers = numbers[first:first + length]
    return numbers, kind


def _rebuild_tensor(storage, offset, size, stride) -> np.ndarray | None:
  """A view of a storage: `offset` and `stride` count numbers."""
  numbers, kind = storage
  if numbers is None:
    return None
  size, stride = tuple(map(int, size)), tuple(map(int, stride))
  # ValueError unless both are equally long.
  last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
  if min((offset, *size, *stride)) < 0 or 0 not in size and last >= len(numbers):
    raise pickle.UnpicklingError(
        f'a tensor of shape {size} lies outside its storage of {len(numbers)}')
  if 0 in size:
    return np.zeros(size, numbers.dtype)
  array = np.lib.stride_tricks.as_strided(
      numbers[offset:], size, [s * numbers.itemsize for s in stride], writeable=False)
  if kind == BFLOAT16:
    array = (array.astype(np.uint32) << 16).view(np.float32)
  return array


class _NumberType:
  """Stands for a `numpy.dtype` of numbers."""

  def __init__(self, text):
    if not re.fullmatch(r'[<>=|]?[bifu]\d', str(text)):
      raise pickle.UnpicklingError(f'numpy type {text!r} is no number')
    self.text = str(text).lstrip('<>=|')
    self.order = '<'

  def __setstate__(self, state):
    # (version, byte order, ...); '|' where it does not matter.
    self.order = '>' if state[1] == '>' else '<'


def _scalar(kind, data) -> int | float | bool:
  """A NumPy number -> a plain one."""
  data = data.encode('latin1') if isinstance(data, str) else data
  return np.frombuffer(data, np.dtype(kind.order + kind.text), 1)[0].item()


def _encode(text, encoding) -> bytes:
  """How pickles of old protocols write bytes."""
  if encoding != 'latin1':
    raise pickle.UnpicklingError(f'bytes in the encoding {encoding!r}')
  return text.encode('latin1')
