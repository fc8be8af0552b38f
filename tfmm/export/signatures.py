"""The served functions of a model.

`serving_default` takes what a client has: JPEGs of frames and of optical flow, and
sound. `views` takes what the model reads: tensors made by somebody else's
preprocessing. Both answer alike.

Every input and output carries the batch axis, because a batching server splits and
joins along it. Sessions do not check a signature's static shape, so each function
starts with `tf.ensure_shape`: without it a wrong shape gives wrong groups silently.
"""

import tensorflow as tf

from tfmm.export import preprocessing

SERVING = 'serving_default'
VIEWS = 'views'
OUTPUTS = (
    'probabilities', 'logits', 'gates', 'ran', 'gflops', 'gflops_all_modalities')


class ServedModel(tf.Module):
  """One model's variables and its two signatures, without the Keras object.

  Saving a Keras model would trace its `call` once more without AutoGraph; this module
  tracks only the variables that the traced functions read.

  Args:
    model: a `GatedMultimodalModel`; it runs in gather mode while it is traced here and
      is given back as it was.
    inputs: the `ServedInputs` that says how requests become the model's views.
    num_segments: S of every request.
  """

  def __init__(self, model, inputs, *, num_segments):
    super().__init__(name='served_model')
    self._signatures = {}
    answer = _Answer(model)
    before = model.skip
    model.skip = 'gather'
    try:
      self._signatures[SERVING] = _serving(model, inputs, answer, num_segments)
      self._signatures[VIEWS] = _views(model, inputs, answer, num_segments)
    finally:
      model.skip = before
    # Every variable that a function reads must be tracked, or saving fails.
    read = {}
    for function in self._signatures.values():
      for variable in function.graph.variables:
        read[variable.ref()] = variable
    self.served_variables = list(read.values())

  @property
  def signatures(self):
    """{name: concrete function} for `tf.saved_model.save`."""
    return dict(self._signatures)


class _Answer:
  """Recognition -> the output dict; costs are constants of the graph."""

  def __init__(self, model):
    cost = model.segment_cost()
    gflops = lambda count: getattr(count, model.cost_convention) / 1e9
    self.per_row = [gflops(cost.modality[m]) for m in model.modalities]
    self.overhead, self.once = gflops(cost.overhead), gflops(cost.once)

  def __call__(self, recognition, present):
    per_row = tf.constant(self.per_row, tf.float32)
    segments = tf.reduce_sum(tf.reduce_max(present, axis=2), axis=1)  # [B]
    spent = tf.linalg.matvec(tf.reduce_sum(recognition.ran, 1), per_row)
    everything = tf.linalg.matvec(tf.reduce_sum(present, 1), per_row)
    return {
        'probabilities': tf.nn.softmax(recognition.logits),
        'logits': recognition.logits,
        'gates': recognition.gates,
        'ran': recognition.ran,
        'gflops': spent + segments * self.overhead + self.once,
        'gflops_all_modalities': everything,
    }


def recognize(model, clips, present):
  """The `Recognition` of views [B, S, ...] and `present` [B, S, M], at inference.

  A model that samples its gates at test time draws the same ones for every request.
  """
  seed = tf.zeros([2], tf.int64)
  return model({**clips, 'present': present}, training=False, seed=seed)


def _concrete(function, specs):
  """Traces `function({name: tensor})`; names in the signature are those of `specs`."""

  @tf.function
  def served(**tensors):
    return function(_checked(tensors, specs))

  return served.get_concrete_function(**specs)


def _checked(tensors, specs):
  """The inputs after the checks that a session does not make by itself."""
  shaped = {name: tf.ensure_shape(tensors[name], specs[name].shape) for name in specs}
  first = next(iter(shaped))
  batch = tf.shape(shaped[first])[0]
  checks = [
      tf.debugging.assert_equal(
          tf.shape(value)[0], batch,
          message=f'inputs {first!r} and {name!r} differ in the number of videos')
      for name, value in shaped.items() if name != first]
  with tf.control_dependencies(checks):
    return {name: tf.identity(value) for name, value in shaped.items()}


def _binary(present):
  return tf.cast(present > 0, tf.float32)


def _views(model, inputs, answer, num_segments):
  specs = {
      view: tf.TensorSpec([None, num_segments, *spec.shape[2:]], spec.dtype, name=view)
      for view, spec in model.input_specs().items()}
  specs['present'] = inputs.specs(num_segments)['present']

  def serve(tensors):
    present = _binary(tensors['present'])
    return answer(recognize(model, tensors, present), present)

  return _concrete(serve, specs)


def _serving(model, inputs, answer, num_segments):
  def serve(tensors):
    present = inputs.audible(tensors, _binary(tensors['present']))
    clips = inputs.clips(tensors, present)
    return answer(recognize(model, clips, present), present)

  with preprocessing.encoded_rows(model, inputs.pictures):
    return _concrete(serve, inputs.specs(num_segments))
