"""Files that are written here by hand; see torch_save_test.py for PyTorch's own."""

import collections
import os
import pickle
import zipfile

import numpy as np
import pytest

from tests.weights import torch_writer
from tfmm.weights import torch_file
from tfmm.weights import torch_pickle

WRITERS = (torch_writer.write_archive, torch_writer.write_legacy)
both = pytest.mark.parametrize('write', WRITERS)
ORDERS = ('little', 'big')


def checkpoint():
  """What a training script saves, with tensors of all kinds."""
  rng = np.random.default_rng(0)
  tensors = {k: rng.integers(0, 2, (2, 3)).astype(k) for k in torch_writer.KINDS}
  tensors['float32'] = rng.normal(size=(4, 3, 7, 7)).astype(np.float32)
  tensors['none'] = np.zeros((0, 5), np.float32)
  tensors['scalar'] = np.array(7, np.int64)
  return {
      'state_dict': collections.OrderedDict(tensors), 'epoch': 20, 'arch': 'net',
      'best_top1': np.array(81.5, np.float32), 'optimizer': {
          'state': {0: {'momentum_buffer': np.ones((2, 2), np.float32)}},
          'param_groups': [{'lr': .01, 'params': [0]}]}}


def assert_same(read, expected):
  if isinstance(expected, dict):
    assert list(read) == list(expected)
    for key in expected:
      assert_same(read[key], expected[key])
  elif isinstance(expected, np.ndarray):
    assert read.dtype.newbyteorder('=') == expected.dtype
    np.testing.assert_array_equal(read, expected)
    assert read.shape == expected.shape
  else:
    assert read == expected


@both
@pytest.mark.parametrize('byteorder', ORDERS)
def test_values_come_back(tmp_path, write, byteorder):
  path = write(tmp_path / 'x.pth', checkpoint(), byteorder=byteorder)
  assert_same(torch_file.read(path), checkpoint())


def test_archives_of_any_name_without_byte_order_or_compressed(tmp_path):
  path = torch_writer.write_archive(
      tmp_path / 'x.pth', checkpoint(), folder='model_best', byteorder=None,
      compression=zipfile.ZIP_DEFLATED)
  assert_same(torch_file.read(path), checkpoint())


@both
def test_views_of_one_storage(tmp_path, write):
  numbers = np.arange(24, dtype=np.float32)
  storage = torch_writer.Storage(numbers)
  path = write(tmp_path / 'x.pth', {
      'transposed': torch_writer.tensor(storage, 0, (4, 6), (1, 4)),
      'part': torch_writer.tensor(storage, 7, (2, 3), (6, 2)),
      'expanded': torch_writer.tensor(storage, 3, (2, 5), (1, 0)),
      'first version': torch_writer.tensor(
          storage, 23, (1,), (1,), function='_rebuild_tensor')})
  read = torch_file.read(path)
  np.testing.assert_array_equal(read['transposed'], numbers.reshape(6, 4).T)
  np.testing.assert_array_equal(read['part'], [[7, 9, 11], [13, 15, 17]])
  np.testing.assert_array_equal(read['expanded'], [[3] * 5, [4] * 5])
  np.testing.assert_array_equal(read['first version'], [23])
  assert not read['part'].flags.writeable


def test_part_of_a_storage_in_an_old_file(tmp_path):
  storage = torch_writer.Storage(np.arange(9, dtype=np.int32), part=('v', 4, 3))
  path = torch_writer.write_legacy(
      tmp_path / 'x.pth', [torch_writer.tensor(storage, 1, (2,), (1,))])
  np.testing.assert_array_equal(torch_file.read(path)[0], [5, 6])


@both
def test_bfloat16(tmp_path, write):
  values = np.array([1, -2.5, 3e38, 0], np.float32)
  halves = (values.view(np.uint32) >> 16).astype(np.uint16)
  storage = torch_writer.Storage(halves, kind='BFloat16')
  path = write(tmp_path / 'x.pth', [torch_writer.tensor(storage, 0, (2, 2), (2, 1))])
  read, = torch_file.read(path)
  assert read.dtype == np.float32
  np.testing.assert_allclose(read.ravel(), values, rtol=2**-7)


@both
def test_plain_values_and_parameters(tmp_path, write):
  call = torch_writer.Call
  number = call('numpy', 'dtype', 'f8', 0, 1,
                state=(3, '<', None, None, None, -1, -1, 0))
  data = call('_codecs', 'encode', np.float64(2.5).tobytes().decode('latin1'), 'latin1')
  one = np.ones(3, np.float32)
  path = write(tmp_path / 'x.pth', {
      'top1': call('numpy.core.multiarray', 'scalar', number, data),
      'shape': call('torch', 'Size', (2, 3)),
      'place': call('torch', 'device', 'cuda', 0),
      'milestones': call('collections', 'Counter', {10: 1, 15: 1}),
      'parameter': call('torch._utils', '_rebuild_parameter', one, True,
                        collections.OrderedDict()),
      'old parameter': call('torch.nn.parameter', 'Parameter', one, True)})
  read = torch_file.read(path)
  np.testing.assert_array_equal(read.pop('parameter'), one)
  np.testing.assert_array_equal(read.pop('old parameter'), one)
  assert read == {'top1': 2.5, 'shape': (2, 3), 'place': 'cuda:0',
                  'milestones': {10: 1, 15: 1}}


@both
@pytest.mark.parametrize('module, name', [
    ('os', 'system'), ('builtins', 'eval'), ('__builtin__', 'getattr'),
    ('torch._utils', '_rebuild_tensor_v2.__globals__'), ('pickle', 'loads'),
    ('torch.nn.modules.conv', 'Conv2d')])
def test_code_is_refused_and_not_run(tmp_path, write, module, name):
  witness = tmp_path / 'witness'
  path = write(tmp_path / 'x.pth', {
      'state_dict': np.ones(2, np.float32),
      'x': torch_writer.Call(module, name, f'touch {witness}')})
  with pytest.raises(ValueError, match='Nothing was run') as told:
    torch_file.read(path)
  assert f'{path} is refused: it wants to run {module}.{name},' in str(told.value)
  assert not witness.exists() and '\n' not in str(told.value)


def test_a_plain_pickle_that_runs_code_is_refused(tmp_path):
  class Evil:
    def __reduce__(self):
      return os.system, (f'touch {tmp_path}/witness',)

  path = tmp_path / 'x.pth'
  path.write_bytes(pickle.dumps(Evil()))
  with pytest.raises(ValueError, match=r'run (posix|nt)\.system'):
    torch_file.read(str(path))
  assert not (tmp_path / 'witness').exists()


def test_what_a_file_sets_on_a_function_is_gone_for_the_next_file(tmp_path):
  evil = pickle.PROTO + b'\x02' + pickle.GLOBAL + b'torch._utils\n_rebuild_tensor_v2\n'
  # BUILD with (None, attributes) sets attributes.
  evil += pickle.dumps((None, {'__defaults__': (0,), 'spoilt': 1}), 2)[2:-1]
  path = tmp_path / 'evil.pth'
  path.write_bytes(evil + pickle.BUILD + pickle.STOP)
  with pytest.raises(ValueError, match='no magic number'):
    torch_file.read(str(path))
  good = torch_writer.write_legacy(tmp_path / 'good.pth', checkpoint())
  assert_same(torch_file.read(good), checkpoint())
  assert not any(hasattr(f, 'spoilt') for f in vars(torch_pickle).values())


@both
def test_a_file_cut_anywhere_is_one_line(tmp_path, write):
  path = write(tmp_path / 'x.pth', checkpoint())
  whole = (tmp_path / 'x.pth').read_bytes()
  for length in (0, 1, 3, 4, 40, len(whole) // 3, len(whole) // 2, len(whole) - 1):
    (tmp_path / 'x.pth').write_bytes(whole[:length])
    with pytest.raises(ValueError, match='is damaged or no file of PyTorch') as told:
      torch_file.read(path)
    assert path in str(told.value) and '\n' not in str(told.value)


@pytest.mark.parametrize('size, stride', [((5,), (1,)), ((2, 2), (1, 3)), ((2,), (-1,)),
                                          ((2, 2), (1,)), ((-1,), (1,))])
@both
def test_tensors_outside_their_storage_are_refused(tmp_path, write, size, stride):
  storage = torch_writer.Storage(np.zeros(4, np.float32))
  path = write(tmp_path / 'x.pth', [torch_writer.tensor(storage, 0, size, stride)])
  with pytest.raises(ValueError, match='is damaged'):
    torch_file.read(path)


@pytest.mark.parametrize('content', [
    b'not a file of weights', pickle.dumps({'a': 1}), b'PK\x03\x04 and nothing'])
def test_foreign_files(tmp_path, content):
  path = tmp_path / 'x.pth'
  path.write_bytes(content)
  with pytest.raises(ValueError, match='no file of PyTorch'):
    torch_file.read(str(path))


def test_no_file():
  with pytest.raises(OSError):
    torch_file.read('nowhere.pth')


@both
def test_numbers_are_not_read_before_they_are_used(tmp_path, write):
  """The optimiser's state of a large file costs nothing."""
  content = checkpoint()
  content['optimizer']['state'][0]['momentum_buffer'] = np.full(99, 1.5, np.float32)
  path = tmp_path / 'x.pth'
  read = torch_file.read(write(path, content))
  place = path.read_bytes().index(np.full(99, 1.5, np.float32).tobytes())
  with open(path, 'r+b') as file:
    file.seek(place)
    file.write(np.float32(-7).tobytes())
  assert read['optimizer']['state'][0]['momentum_buffer'][0] == -7
