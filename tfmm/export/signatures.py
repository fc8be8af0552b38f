"""The served functions of a model.

`serving_default` takes what a client has: JPEGs of frames and of optical flow, and
sound. `views` takes what the model reads: tensors made by somebody else's
preprocessing. Both answer alike. A model that reads features has `views` alone.

A model with steps has one more input of both, `budget_gflops` [B]: what each video may
cost; infinite: no limit.

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
    inputs: the `ServedInputs` that says how requests become the model's views; None:
      they cannot, and `views` is served alone.
    num_segments: S of every request.
  """

  def __init__(self, model, inputs, *, num_segments):
    super().__init__(name='served_model')
    self._signatures = {}
    answer = _Answer(model)
    before = model.skip
    model.skip = 'gather'
    try:
      if inputs is not None:
        self._signatures[SERVING] = _serving(model, inputs, answer, num_segments)
      self._signatures[VIEWS] = _views(model, answer, num_segments)
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
  """Recognition -> the output dict; costs are constants of the graph.

  Multiply-adds are summed up exactly, so that `gflops` never exceeds a budget that was
  kept.
  """

  def __init__(self, model):
    cost = model.segment_cost()
    macs = lambda count: getattr(count, model.cost_convention)
    self.per_row = [macs(cost.modality[m]) for m in model.modalities]
    self.overhead, self.once = macs(cost.overhead), macs(cost.once)

  def __call__(self, recognition, present):
    awake = recognition.extras.get('awake', tf.reduce_max(present, axis=2))  # [B, S]
    segments = tf.reduce_sum(tf.cast(awake, tf.float64), axis=1)  # [B]
    spent = self._rows(recognition.ran) + segments * self.overhead + self.once
    return {
        'probabilities': tf.nn.softmax(recognition.logits),
        'logits': recognition.logits,
        'gates': recognition.gates,
        'ran': recognition.ran,
        'gflops': _gflops(spent),
        'gflops_all_modalities': _gflops(self._rows(present)),
    }

  def _rows(self, ran):
    """[B, S, M] 0/1 -> float64 [B], multiply-adds of encoders."""
    rows = tf.reduce_sum(tf.cast(ran, tf.float64), axis=1)  # [B, M]
    return tf.linalg.matvec(rows, tf.constant(self.per_row, tf.float64))


def _gflops(macs):
  return tf.cast(macs / 1e9, tf.float32)


def recognize(model, clips, present):
  """The `Recognition` of views [B, S, ...] and `present` [B, S, M], at inference.

  `clips` may hold what the model reads if it is there (`optional_specs`), too.
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


def _optional(model):
  """{name: spec} of further inputs, such as 'budget_gflops' [B]."""
  return {name: tf.TensorSpec(spec.shape, spec.dtype, name=name)
          for name, spec in model.optional_specs().items()}


def _views(model, answer, num_segments):
  specs = {
      view: tf.TensorSpec([None, num_segments, *spec.shape[2:]], spec.dtype, name=view)
      for view, spec in model.input_specs().items()}
  specs['present'] = tf.TensorSpec(
      [None, num_segments, len(model.modalities)], tf.float32, name='present')

  def serve(tensors):
    present = _binary(tensors['present'])
    return answer(recognize(model, tensors, present), present)

  return _concrete(serve, {**specs, **_optional(model)})


def _serving(model, inputs, answer, num_segments):
  optional = _optional(model)

  def serve(tensors):
    present = inputs.audible(tensors, _binary(tensors['present']))
    clips = inputs.clips(tensors, present)
    clips.update((name, tensors[name]) for name in optional)
    return answer(recognize(model, clips, present), present)

  with preprocessing.encoded_rows(model, inputs.pictures):
    return _concrete(serve, {**inputs.specs(num_segments), **optional})
