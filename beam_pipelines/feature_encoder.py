"""Opens an encoder and says what it reads: a SavedModel, one of a run, or a new one.

Whatever it is, the result is a `RowEncoder`: rows of one view in, features out.
"""

import ast
import hashlib
import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from beam_pipelines import feature_config
from beam_pipelines import feature_saved_model as saved_model
from beam_pipelines import feature_views
from tfmm import trained_run
from tfmm.encoders import encoder as encoder_lib
from tfmm.models import base
from tfmm.training import checkpoints


class RowEncoder:
  """Rows to features; threads share it.

  Attributes:
    views: what it reads, last, after the views that this is made from.
    window: consecutive frames of the record that make a step.
    dimensions: D.
    identity: what it is: `path`, `sha256` of its content, and how it is called.
    name: of the features, unless the user gives another.
    trained_on: options of the data set it was trained on, if known.
  """

  def __init__(self, function: Callable[[tf.Tensor], tf.Tensor], *,
               views: Sequence[Any], window: int, identity: Mapping[str, Any],
               name: str, trained_on: Mapping[str, Any] | None = None):
    self.views = tuple(views)
    self.window = window
    self.identity = dict(identity)
    self.name = name
    self.trained_on = dict(trained_on or {})
    spec = self.views[-1].spec()
    rows = tf.TensorSpec([None, *spec.shape], spec.dtype)
    self._function = tf.function(function, input_signature=[rows], autograph=False)
    self.dimensions = self._try(spec)

  def __call__(self, rows: np.ndarray) -> np.ndarray:
    """[N, *row] -> float32 [N, D]; N is at least 1."""
    return np.asarray(self._function(tf.constant(rows)), np.float32)

  def _try(self, spec: tf.TensorSpec) -> int:
    """Encodes one row of zeros; returns D."""
    try:
      features = self._function(tf.zeros([1, *spec.shape], spec.dtype))
    except saved_model.MISFITS as error:
      raise ValueError(
          f'encoder {self.identity["path"]} does not take rows '
          f'{feature_views.text(spec)} ({saved_model.line(error)}).') from None
    if features.shape.rank != 2 or features.shape[0] != 1:
      raise ValueError(
          f'encoder {self.identity["path"]} gives {features.shape} for one row; '
          'features must be [1, D]: choose another --output, such as that of a pooling '
          'layer.')
    return int(features.shape[1])


def open_encoder(config: feature_config.FeatureConfig,
                 data_options: Mapping[str, Any]) -> RowEncoder:
  """The encoder of `config`, tried on one row.

  Args:
    config: what to open.
    data_options: how the records were made; `frame_rate` in hertz and so on.

  Raises:
    ValueError, OSError: it is not there, or does not take what the view gives.
  """
  if config.kind == 'run':
    return _open_run(config)
  view = feature_views.of_config(config)
  window = config.segment_frames or feature_views.span(
      view, float(data_options['frame_rate']))
  opener = _new if config.kind == 'new' else saved_model.open_saved_model
  function, identity = opener(config, view)
  return RowEncoder(function, views=[view], window=window, identity=identity,
                    name=config.name or config.view.upper())


def _open_run(config) -> RowEncoder:
  path = config.encoder.removeprefix('run:')
  model_dir, _, modality = path.rstrip('/').rpartition('/')
  if modality not in base.MODALITIES:
    model_dir, modality = path, None
  run = trained_run.load(model_dir, config.checkpoint)
  if modality is None and len(run.modalities) == 1:
    modality = run.modalities[0]
  if modality not in run.model.encoders:
    raise ValueError(
        f'the run {model_dir} has encoders of {", ".join(run.modalities)}'
        f'{f", none of {modality}" if modality else ""}; give --encoder='
        f'run:{model_dir.rstrip("/")}/{run.modalities[0]}.')
  encoder = run.model.encoders[modality]
  views = {view.name: view for view in run.dataset.views}
  view = views[encoder.view]
  source = getattr(view, 'source', None)
  files = tf.io.gfile.glob(f'{run.checkpoint}.*')
  files.append(os.path.join(model_dir, checkpoints.CONFIG_FILE))
  return RowEncoder(
      lambda rows: encoder.backbone(rows, training=False),
      views=([views[source]] if source else []) + [view], window=run.dataset.window,
      identity={'path': config.encoder, 'modality': modality, 'step': run.step,
                'sha256': saved_model.hash_files(sorted(files))},
      name=config.name or modality.upper(), trained_on=run.info['data_options'])


def _new(config, view):
  """A class of tfmm.encoders with weights of a seed."""
  text = config.encoder.removeprefix('new:')
  try:
    call = ast.parse(text, mode='eval').body
    module, name = call.func.value.id, call.func.attr
    options = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    if call.args:
      raise ValueError('options need their names')
    made = getattr(importlib.import_module(f'tfmm.encoders.{module}'), name)
    if not (inspect.isclass(made) and issubclass(made, encoder_lib.Encoder)):
      raise ValueError(f'{name} is no encoder')
  except (SyntaxError, AttributeError, ImportError, ValueError) as error:
    raise ValueError(
        f'encoder {config.encoder}: it must be a class of tfmm.encoders with options, '
        'as new:resnet.ResNet(depth=18, num_frames=8) '
        f'({saved_model.line(error)}).') from None
  tf.keras.utils.set_random_seed(config.seed)
  try:
    encoder = made(**options)
  except TypeError as error:
    raise ValueError(
        f'encoder {config.encoder}: {saved_model.line(error)}.') from None
  digest = hashlib.sha256()
  for variable in encoder.variables:
    digest.update(variable.numpy().tobytes())
  spec = tf.TensorSpec([None, *encoder.row_spec.shape], encoder.row_spec.dtype)
  adapt = feature_views.adapter(config, view, spec)
  return (lambda rows: encoder(adapt(rows), training=False),
          {'path': config.encoder, 'sha256': digest.hexdigest(),
           'seed': config.seed})
