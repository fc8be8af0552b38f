"""Requests and answers survive TensorFlow Serving's messages."""

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.export import serving_stub
from tfmm.export import signatures
from tfmm.export import warmup


@pytest.fixture(scope='module', name='stub')
def stub_fixture(served):
  with serving_stub.serve('tfmm', served) as stub:
    yield stub


def ask(stub, inputs, name='tfmm', signature='serving_default'):
  request = warmup.predict_request(inputs, model_name=name, signature_name=signature)
  return stub.Predict(request, timeout=60)


def test_round_trip(exported, served, stub):
  response = ask(stub, exported.request)
  got = {k: tf.make_ndarray(v) for k, v in response.outputs.items()}
  assert set(got) == set(signatures.OUTPUTS)
  tensors = {k: tf.constant(v) for k, v in exported.request.items()}
  for name, value in served['serving_default'](**tensors).items():
    np.testing.assert_array_equal(got[name], value)


def test_output_filter(exported, stub):
  request = warmup.predict_request(exported.request, model_name='tfmm')
  request.output_filter.append('ran')
  assert list(stub.Predict(request, timeout=60).outputs) == ['ran']


def test_large_requests_pass(exported, stub):
  picture = np.random.default_rng(0).integers(0, 256, [900, 1200, 3], np.uint8)
  data = tf.io.encode_jpeg(picture, quality=95).numpy()
  inputs = {**exported.request, 'image': np.full([1, 4, 2], data, object)}
  assert 8 * len(data) > 4 * 2**20
  assert ask(stub, inputs).outputs


def test_errors_have_codes(exported, stub):
  good = exported.request
  bad_bytes = {**good, 'image': np.full([1, 4, 2], b'junk', object)}
  cases = [
      (dict(inputs=bad_bytes), 'INVALID_ARGUMENT'),
      (dict(inputs={**good, 'present': good['present'][:, :, :1]}), 'INVALID_ARGUMENT'),
      (dict(inputs={'present': good['present']}), 'INVALID_ARGUMENT'),
      (dict(inputs=good, name='other'), 'NOT_FOUND'),
      (dict(inputs=good, signature='other'), 'FAILED_PRECONDITION'),
  ]
  for arguments, code in cases:
    with pytest.raises(grpc.RpcError) as e:
      ask(stub, **arguments)
    assert e.value.code() == grpc.StatusCode[code]
  assert ask(stub, good).outputs
