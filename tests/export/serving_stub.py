"""A small gRPC server with TensorFlow Serving's own messages, for client tests.

It checks names, shapes and codes of a round trip. It has no versions, no batching and
no REST, and its error messages carry a prefix that the real server's lack.
"""

from concurrent import futures
import contextlib

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
  """Answers Predict from the signatures of a loaded SavedModel."""

  def __init__(self, name, signatures):
    self.name = name
    self.signatures = signatures

  def Predict(self, request, context):
    if request.model_spec.name != self.name:
      context.abort(grpc.StatusCode.NOT_FOUND, 'Servable not found')
    name = request.model_spec.signature_name or 'serving_default'
    if name not in self.signatures:
      context.abort(grpc.StatusCode.FAILED_PRECONDITION, f'no signature {name}')
    function = self.signatures[name]
    if set(request.inputs) != set(function.structured_input_signature[1]):
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, 'input names differ')
    try:
      outputs = function(**{
          k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()})
    except tf.errors.OpError as e:
      context.abort(_CODES[e.error_code], e.message)
    except (TypeError, ValueError) as e:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(e))
    response = predict_pb2.PredictResponse(model_spec=request.model_spec)
    for k in list(request.output_filter) or outputs:
      response.outputs[k].CopyFrom(tf.make_tensor_proto(outputs[k].numpy()))
    return response


@contextlib.contextmanager
def serve(name, signatures):
  """Yields a stub connected to a server on a free local port."""
  # The real server has no limit on a request; gRPC's own is 4 MiB.
  server = grpc.server(
      futures.ThreadPoolExecutor(2), options=[('grpc.max_receive_message_length', -1)])
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
      Servicer(name, signatures), server)
  port = server.add_insecure_port('127.0.0.1:0')
  server.start()
  try:
    with grpc.insecure_channel(f'127.0.0.1:{port}') as channel:
      yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
  finally:
    server.stop(None)
