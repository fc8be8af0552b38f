"""The pickles of PyTorch's files by themselves; torch_file_test has whole files."""

import io
import pickle

import numpy as np
import pytest

from tfmm.weights import torch_pickle

NUMBERS = np.arange(24, dtype=np.float32)


def reference(*pid):
  """A pickle of one reference to a storage."""
  file = io.BytesIO()
  pickler = pickle.Pickler(file, 2)
  pickler.persistent_id = lambda obj: pid if obj is pid else None
  pickler.dump(pid)
  return file.getvalue()


def load(data, numbers=lambda storage: NUMBERS):
  return torch_pickle.Unpickler(io.BytesIO(data), numbers).load()


def named(module, name):
  """A pickle of nothing but a name."""
  return b'\x80\x02c' + f'{module}\n{name}\n'.encode() + b'.'


@pytest.mark.parametrize('module, name', [
    ('os', 'system'), ('builtins', 'eval'), ('torch', 'load'), ('numpy', 'load'),
    ('collections', 'defaultdict'), ('tfmm.weights.torch_pickle', 'Unpickler')])
def test_only_names_of_the_list_stand_for_something(module, name):
  with pytest.raises(torch_pickle.Refused, match=f'{module}.{name}'):
    load(named(module, name))


def test_names_of_the_list_stand_for_data():
  assert load(named('torch', 'FloatStorage')) == 'float32'
  assert load(named('torch.cuda', 'BFloat16Storage')) == torch_pickle.BFLOAT16
  assert load(named('torch', 'Size'))((2, 3)) == (2, 3)
  assert load(named('torch', 'int64')) == 'torch.int64'


def test_a_reference_gives_the_numbers_of_its_storage():
  asked = []
  numbers, kind = load(reference('storage', 'float32', '7', 'cuda:0', 24),
                       lambda storage: asked.append(storage) or NUMBERS)
  assert numbers is NUMBERS and kind == 'float32'
  assert asked == [torch_pickle.Storage('7', 'float32', 24)]
  part, _ = load(reference('storage', 'float32', '7', 'cpu', 24, ('p', 4, 5)))
  np.testing.assert_array_equal(part, NUMBERS[4:9])


@pytest.mark.parametrize('pid', [
    ('module', 'float32', '0', 'cpu', 4), ('storage', 'float32', '0', 'cpu'),
    ('storage', 'object', '0', 'cpu', 4), ('storage', 'float32', '0', 'cpu', -1),
    ('storage', 'float32', '0', 'cpu', 'many'),
    ('storage', 'float32', '0', 'cpu', 24, ('p', 20, 5)),
    ('storage', 'float32', '0', 'cpu', 24, ('p', -1, 5))])
def test_references_that_make_no_sense(pid):
  with pytest.raises(pickle.UnpicklingError):
    load(reference(*pid))


@pytest.mark.parametrize('offset, size, stride', [
    (0, (4, 6), (6, 1)), (3, (2, 3), (1, 7)), (5, (2, 2, 2), (8, 3, 1)), (7, (), ()),
    (0, (3, 4), (0, 1)), (2, (0, 5), (5, 1))])
def test_tensors_are_views_with_strides(offset, size, stride):
  rebuild = load(named('torch._utils', '_rebuild_tensor_v2'))
  found = rebuild((NUMBERS, 'float32'), offset, size, stride, False, {})
  expected = np.zeros(size, np.float32)
  for place in np.ndindex(*size):
    expected[place] = NUMBERS[offset + sum(i * s for i, s in zip(place, stride))]
  np.testing.assert_array_equal(found, expected)
  assert found.shape == size and not (found.size and found.flags.writeable)


def test_byte_orders_of_numpys_numbers():
  dtype = load(named('numpy', 'dtype'))
  scalar = load(named('numpy.core.multiarray', 'scalar'))
  for order in '<>':
    kind = dtype('f8', 0, 1)
    kind.__setstate__((3, order, None))
    assert scalar(kind, np.array(2.5, f'{order}f8').tobytes()) == 2.5
  with pytest.raises(pickle.UnpicklingError, match="'O' is no number"):
    dtype('O')
