"""A SavedModel as an encoder: which function, which of its outputs, which input."""

import hashlib
import os
import warnings
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from beam_pipelines import feature_config
from beam_pipelines import feature_views

# What TensorFlow and Keras raise of a model that does not fit.
MISFITS = (TypeError, ValueError, KeyError, IndexError, tf.errors.OpError)

_WAYS_OUT = 'give a directory with an unpacked SavedModel, or run:RUN_DIR/MODALITY'


def open_saved_model(config: feature_config.FeatureConfig, view: Any):
  """A SavedModel, local or of TensorFlow Hub.

  Returns:
    (function of rows of the view, identity).

  Raises:
    ValueError, OSError: it is not there, or does not take what the view gives.
  """
  handle = config.encoder
  if handle.startswith(('http://', 'https://')):
    path = _hub().resolve_hub(handle)
  else:
    path = handle
    if not tf.io.gfile.exists(os.path.join(path, 'saved_model.pb')):
      raise OSError(f'encoder {handle}: no saved_model.pb there; {_WAYS_OUT}.')
  identity = {'path': handle, 'sha256': hash_files(_files_in(path)),
              'signature': config.signature, 'output': config.output}
  try:
    model = tf.saved_model.load(path)
  except (OSError, *MISFITS) as error:
    raise ValueError(
        f'encoder {handle} cannot be loaded ({line(error)}); {_WAYS_OUT}.') from None
  function, spec, outputs = _entry(model, config)
  if (config.output is not None and config.output not in outputs
      and tf.io.gfile.exists(os.path.join(path, 'keras_metadata.pb'))):
    function, spec = _up_to_layer(path, config)
  if spec is not None and spec.shape.rank == 1 and config.view == 'audio':
    return _listener(path, model, config), identity
  adapt = feature_views.adapter(config, view, spec)

  def encode(rows):
    return _select(function(adapt(rows)), config)

  encode.model = model  # its variables live no longer than it does
  return encode, identity


def _entry(model, config):
  """(function of rows, spec of its input or None, keys of its outputs if known)."""
  signatures = model.signatures
  name = config.signature or (
      'serving_default' if 'serving_default' in signatures else None)
  if name is not None:
    if name not in signatures:
      raise ValueError(f'encoder {config.encoder} has no signature {name!r}; it has '
                       f'{", ".join(signatures) or "none"}.')
    function = signatures[name]
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
      raise ValueError(
          f'signature {name!r} of {config.encoder} takes {sorted(inputs)}; an encoder '
          'takes one tensor of rows. Give another --signature.')
    [(key, spec)] = inputs.items()
    return (lambda rows: function(**{key: rows})), spec, function.structured_outputs
  if not callable(model):
    raise ValueError(
        f'encoder {config.encoder} has no signature and cannot be called; save it with '
        'a signature: tf.saved_model.save(model, path, signatures=...).')
  spec = None
  for concrete in getattr(model.__call__, 'concrete_functions', ()):
    first = (*concrete.structured_input_signature[0], None)[0]
    spec = spec or (first if isinstance(first, tf.TensorSpec) else None)
  return model, spec, ()


def _up_to_layer(path, config):
  """A Keras model up to the output of a layer."""
  try:
    model = tf.keras.models.load_model(path, compile=False)
    part = tf.keras.Model(model.inputs, model.get_layer(config.output).output)
    [spec] = [tf.TensorSpec(x.shape, x.dtype) for x in part.inputs]
  except (AttributeError, *MISFITS) as error:
    raise ValueError(f'encoder {config.encoder} has neither an output nor a layer '
                     f'{config.output!r} ({line(error)}).') from None
  return (lambda rows: {config.output: part(rows, training=False)}), spec


def _listener(path, model, config):
  """A model of one waveform, as YAMNet: the mean of its embeddings."""
  if not callable(model):
    raise ValueError(f'encoder {config.encoder} takes one waveform at a time and '
                     'cannot be called; save it as YAMNet is, with __call__.')
  outputs = model(tf.zeros([round(config.seconds * config.sample_rate)]))
  key = config.output
  if key is None and isinstance(outputs, (tuple, list)):
    key = '1'  # YAMNet's: (scores, embeddings, log_mel)
  key = int(key) if key and key.isdigit() else key
  try:
    dimensions = (outputs if key is None else outputs[key]).shape[-1]
  except MISFITS as error:
    raise ValueError(f'encoder {config.encoder} has no output {key!r} '
                     f'({line(error)}); it gives {_outputs_text(outputs)}.') from None
  return _hub().HubAudioEncoder(
      handle=path, seconds=config.seconds, sample_rate=config.sample_rate,
      feature_dim=dimensions, output=key)


def _select(outputs, config):
  """The features among outputs."""
  key = config.output
  if isinstance(outputs, (tuple, list)):
    outputs = {str(k): value for k, value in enumerate(outputs)}
  if not isinstance(outputs, Mapping):
    if key is None:
      return outputs
    outputs = {'0': outputs}
  if key is None and len(outputs) == 1:
    return next(iter(outputs.values()))
  if key not in outputs:
    raise ValueError(f'output={key!r}: it gives {_outputs_text(outputs)}; choose one, '
                     'as --output=NAME')
  return outputs[key]


def _outputs_text(outputs):
  if isinstance(outputs, (tuple, list)):
    outputs = dict(enumerate(outputs))
  if not isinstance(outputs, Mapping):
    return f'one tensor {outputs.shape}'
  return ', '.join(f'{k} {v.shape}' for k, v in sorted(outputs.items()))


def _hub():
  """The module of hub models; TensorFlow Hub warns of its own age when imported."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    from tfmm.encoders import hub
  return hub


def _files_in(directory):
  return sorted(
      os.path.join(folder, name)
      for folder, _, names in tf.io.gfile.walk(directory) for name in names)


def hash_files(paths):
  """sha256 of names and contents."""
  digest = hashlib.sha256()
  for path in paths:
    digest.update(os.path.basename(path).encode() + b'\0')
    with tf.io.gfile.GFile(path, 'rb') as file:
      while block := file.read(1 << 20):
        digest.update(block)
  return digest.hexdigest()


def line(error):
  return ' '.join(str(error).split())[:300].rstrip('.')
