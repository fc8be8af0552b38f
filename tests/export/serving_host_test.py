"""The export in a session without Python, as a model server runs it.

`serving_host.c` links the C library of the installed wheel. tensorflow_model_server
itself is not run here: it comes in no package.
"""

import os
import shutil
import struct
import subprocess
import sysconfig

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.export import tiny_export
from tfmm.export import samples
from tfmm.export import signatures

pytestmark = pytest.mark.skipif(
    not shutil.which('gcc') or 'linux' not in sysconfig.get_platform(),
    reason='needs gcc on Linux')


@pytest.fixture(scope='module', name='host')
def host_fixture(tmp_path_factory):
  """Path of the compiled host."""
  source = os.path.join(os.path.dirname(__file__), 'serving_host.c')
  program = str(tmp_path_factory.mktemp('host') / 'serving_host')
  library = os.path.dirname(tf.__file__)
  subprocess.run(
      ['gcc', '-O1', source, '-o', program, '-I', os.path.join(library, 'include'),
       '-L', library, '-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2',
       f'-Wl,-rpath,{library}'], check=True)
  return program


def write_tensor(path, value):
  """Writes what `serving_host` reads; returns its SPEC."""
  shape = 'x'.join(map(str, value.shape))
  with open(path, 'wb') as f:
    if value.dtype != object:
      f.write(value.astype('<f4').tobytes())
      return f'float:{shape}:{path}'
    for data in value.ravel():
      f.write(struct.pack('<q', len(data)) + data)
  return f'string:{shape}:{path}'


def run_host(host, version_dir, requests, folder):
  """[(code, message, {output: flat values})] of the requests, in one session."""
  with open(os.path.join(version_dir, 'saved_model.pb'), 'rb') as f:
    proto = saved_model_pb2.SavedModel.FromString(f.read())
  signature = proto.meta_graphs[0].signature_def['serving_default']
  arguments = []
  for i, request in enumerate(requests):
    if i:
      arguments.append('++')
    for name, value in request.items():
      operation = signature.inputs[name].name.split(':')[0]
      spec = write_tensor(os.path.join(folder, f'{i}-{name}'), value)
      arguments.append(f'{operation}={spec}')
  outputs = [signature.outputs[name].name for name in signatures.OUTPUTS]
  answer = subprocess.run(
      [host, version_dir, *arguments, '--', *outputs], capture_output=True, text=True,
      env={}, check=False)
  assert answer.returncode == 0, answer.stderr
  results, lines = [], iter(answer.stdout.splitlines())
  for line in lines:
    _, code, message = (line + ' ').split(' ', 2)
    values = {}
    if code == '0':
      values = {n: np.array(next(lines).split(), float) for n in signatures.OUTPUTS}
    results.append((int(code), message, values))
  return results


def test_same_numbers_and_one_bad_request_spoils_nothing(
    exported, served, host, tmp_path):
  requests = list(samples.requests(exported.record))[:4]
  good = requests[0]
  closed = {k: v.copy() for k, v in good.items()}
  closed['present'][:, 1, 0] = 0
  junk_closed = {k: v.copy() for k, v in closed.items()}
  junk_closed['image'][:, 1] = b'no picture'
  junk_open = {k: v.copy() for k, v in good.items()}
  junk_open['image'][:] = b'no picture'
  wrong_shape = {**good, 'image': good['image'].reshape([1, 2, 4])}
  wrong_rank = {**good, 'image': good['image'].reshape([4, 2])}
  answers = run_host(
      host, exported.version_dir,
      [*requests, closed, junk_closed, junk_open, wrong_shape, wrong_rank, good],
      str(tmp_path))
  for request, (code, _, values) in zip([*requests, closed], answers):
    assert code == 0
    tensors = {k: tf.constant(v) for k, v in request.items()}
    expected = served['serving_default'](**tensors)
    for name, value in expected.items():
      np.testing.assert_allclose(
          values[name], value.numpy().ravel(), rtol=1e-5, atol=1e-6, err_msg=name)
  for name, value in answers[4][2].items():
    np.testing.assert_array_equal(answers[5][2][name], value)
  codes = [code for code, _, _ in answers[6:]]
  assert codes == [3, 3, 3, 0]  # INVALID_ARGUMENT, then the session still works
  assert 'Unknown image file format' in answers[6][1]
  assert 'shape' in answers[7][1] and 'shape' in answers[8][1]
  for name, value in answers[0][2].items():
    np.testing.assert_array_equal(answers[-1][2][name], value)


@pytest.mark.parametrize('kind', ['difference'], indirect=True)
def test_flow_and_differences(kind, host, tmp_path):
  check_same_numbers(kind, list(samples.requests(kind.record))[:2], host, tmp_path)


def test_steps_under_budgets(host, tmp_path, tmp_path_factory):
  """A loop in the graph, whose rounds decode what they buy."""
  steps = tiny_export.exported(tmp_path_factory, 'steps')
  free = steps.request
  cost = tf.saved_model.load(steps.version_dir).signatures['serving_default'](
      **{k: tf.constant(v) for k, v in free.items()})['gflops']
  check_same_numbers(
      steps, [free, samples.limited(free, cost.numpy())], host, tmp_path)


def check_same_numbers(export, requests, host, folder):
  """The host says of all requests what this process says."""
  answers = run_host(host, export.version_dir, requests, str(folder))
  serve = tf.saved_model.load(export.version_dir).signatures['serving_default']
  for request, (code, message, values) in zip(requests, answers, strict=True):
    assert code == 0, message
    expected = serve(**{k: tf.constant(v) for k, v in request.items()})
    for name, value in expected.items():
      np.testing.assert_allclose(
          values[name], value.numpy().ravel(), rtol=1e-5, atol=1e-6, err_msg=name)
