"""A trained run, rebuilt from its directory."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfmm import config
from tfmm.training import checkpoints
from tfmm.training import loop

_ENTRIES = frozenset(['labels', 'num_classes', 'data_dir', 'data_options'])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedRun:
  """A run of tfmm.train that can be asked.

  Attributes:
    model_dir: where it was found.
    model: with the weights of `checkpoint`.
    dataset: the DatasetSpec that it was trained on.
    info: `run.json`: labels, data_dir, modalities, seed, versions, steps.
    checkpoint: path that was restored.
    step: global step of that checkpoint.
  """

  model_dir: str
  model: tf.keras.Model
  dataset: Any
  info: Mapping[str, Any]
  checkpoint: str
  step: int

  @property
  def labels(self) -> tuple[str, ...]:
    return tuple(self.info['labels'])

  @property
  def modalities(self) -> tuple[str, ...]:
    return tuple(self.model.modalities)

  @property
  def data_dir(self) -> str:
    return self.info['data_dir']


def load(model_dir: str, checkpoint: str = 'last', *, data_dir: str | None = None,
         gin_files: Sequence[str] = (), gin_params: Sequence[str] = ()) -> TrainedRun:
  """Rebuilds a trained run from its directory.

  Args:
    model_dir: of a run of `tfmm.train`.
    checkpoint: 'last', or 'best' for the best validated one of its last stage.
    data_dir: if the data is elsewhere now.
    gin_files: stronger than what the run was trained with: another gate in test,
      another number of segments.
    gin_params: 'name = value' each, stronger still.

  Raises:
    ValueError, OSError: it is no run, or has no checkpoint.
  """
  path = checkpoints.find_checkpoint(model_dir, checkpoint)
  recipe = os.path.join(model_dir, checkpoints.CONFIG_FILE)
  info = _info(model_dir, recipe)
  if data_dir:
    info = {**info, 'data_dir': data_dir}
  config.load(recipe, configurable=loop.train)
  trained = set(config.all_bindings())
  if gin_files or gin_params:
    config.load([recipe, *gin_files], gin_params, configurable=loop.train)
  make_model, dataset = config.make_parts(loop.train, 'model', 'dataset')
  model = make_model(num_classes=info['num_classes'])
  config.check_used(
      {key for key, value in config.all_bindings() if (key, value) in trained})
  checkpoints.restore_model(model, path)
  return TrainedRun(
      model_dir=model_dir, model=model, dataset=dataset, info=info,
      checkpoint=path, step=int(re.search(r'-(\d+)$', path).group(1)))


def _info(model_dir, recipe):
  """What `run.json` says."""
  info = checkpoints.read_json(os.path.join(model_dir, checkpoints.RUN_FILE))
  if info is None or not tf.io.gfile.exists(recipe):
    raise ValueError(
        f'{model_dir} has checkpoints but no {checkpoints.CONFIG_FILE} and '
        f'{checkpoints.RUN_FILE}; only a directory of tfmm.train can be used.')
  missing = _ENTRIES - set(info)
  if missing:
    raise ValueError(
        f'{model_dir}/{checkpoints.RUN_FILE} has no entry {min(missing)!r}; it is not '
        'what this tfmm.train writes. Train again, or put a copy of it back.')
  return info
