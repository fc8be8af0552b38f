"""Requests that TensorFlow Serving runs on a model before it answers with it.

The server reads `assets.extra/tf_serving_warmup_requests`, a TFRecord file of
`PredictionLog` messages (at most 1000). Without it the first client pays for memory
allocation and lazy initialisation.
"""

import os

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

ASSETS = 'assets.extra'
FILE_NAME = 'tf_serving_warmup_requests'


def predict_request(inputs, *, model_name, signature_name='serving_default'):
  """Returns a `PredictRequest`.

  Args:
    inputs: `{name: array}`. Byte strings must be in object arrays: NumPy's `S` type
      strips trailing zero bytes, which belong to the file.
    model_name: the name under which the server knows the model.
    signature_name: one of the model's signatures.
  """
  request = predict_pb2.PredictRequest()
  request.model_spec.name = model_name
  request.model_spec.signature_name = signature_name
  for name, value in inputs.items():
    if getattr(value, 'dtype', None) is not None and value.dtype.kind == 'S':
      raise ValueError(
          f'input {name!r} is a NumPy {value.dtype} array, which loses trailing zero '
          'bytes; use dtype=object for encoded images'
      )
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
  return request


def write_warmup_requests(version_dir, requests):
  """Writes `PredictRequest`s where the server looks for them; returns the path."""
  directory = os.path.join(version_dir, ASSETS)
  tf.io.gfile.makedirs(directory)
  path = os.path.join(directory, FILE_NAME)
  with tf.io.TFRecordWriter(path) as writer:
    for request in requests:
      log = prediction_log_pb2.PredictionLog(
          predict_log=prediction_log_pb2.PredictLog(request=request)
      )
      writer.write(log.SerializeToString())
  return path


def read_warmup_requests(version_dir):
  """Returns the list of `(signature name, {input name: array})` of a version."""
  path = os.path.join(version_dir, ASSETS, FILE_NAME)
  requests = []
  for serialized in tf.data.TFRecordDataset(path):
    log = prediction_log_pb2.PredictionLog.FromString(serialized.numpy())
    if log.WhichOneof('log_type') != 'predict_log':
      raise ValueError(
          f'{path} holds a {log.WhichOneof("log_type")}; only predict_log is written'
      )
    request = log.predict_log.request
    inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
    requests.append((request.model_spec.signature_name or 'serving_default', inputs))
  return requests
