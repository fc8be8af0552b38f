"""A run directory that was not trained here: for the tools that convert weights.

It has what `tfmm.train` leaves: `operative_config.gin`, `run.json`, a checkpoint (of
step 0, without optimisers) and `COMPLETED`. So evaluate, export_model and
`tfmm.train --init_from` take it as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import os
import platform
import tempfile
from typing import Any, NamedTuple

from absl import flags
import tensorflow as tf

from beam_pipelines import config as prepare_config
from tfmm import config
from tfmm.data import dataset as dataset_lib
from tfmm.models import base
from tfmm.training import checkpoints
from tfmm.training import loop


class Classes(NamedTuple):
  """Names of a model's classes, and what is known of their data.

  Attributes:
    labels: in the model's order.
    order: for each class of the model, its number in the file; None if equal.
    info: of --data_dir, or None.
    told: how the names are known, for people.
  """

  labels: tuple[str, ...]
  order: list[int] | None
  info: dataset_lib.DatasetInfo | None
  told: str


class Recipe(NamedTuple):
  """What a run is rebuilt from.

  Attributes:
    make_model: makes the model when called with `num_classes`.
    text: for `operative_config.gin`.
  """

  make_model: Callable[..., base.GatedMultimodalModel]
  text: str


def load_recipe(values: flags.FlagValues, default: str | None = None) -> Recipe:
  """Reads the recipe that the flags name.

  It is written and read again, and that decides: gin writes dictionaries in the order
  of their keys, and whoever loads the run gets that order.
  """
  files = values.gin_file or default and [default]
  if not files:
    raise ValueError('no recipe is of these networks; give one: --gin_file=...')
  if checkpoints.latest_checkpoint(values.output_dir):
    raise ValueError(
        f'{values.output_dir} holds a run already; give another --output_dir.')
  config.load(
      files, values.gin_param, configurable=loop.train, overrides=[
          config.Override('data_dir', 'DATA_DIR', 'data_dir', values.data_dir or ''),
          config.Override('model_dir', 'MODEL_DIR', 'model_dir', values.output_dir)])
  text = config.text()
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, checkpoints.CONFIG_FILE)
    checkpoints.write_text(path, text)
    config.load(path, configurable=loop.train)
  # Views that do not fit together fail here.
  make_model, _ = config.make_parts(loop.train, 'model', 'dataset')
  return Recipe(make_model, text)


def read_classes(values: flags.FlagValues, num_classes: int | None = None,
                 source: str = '') -> Classes:
  """The classes that the flags name.

  Args:
    values: --data_dir and --labels.
    num_classes: of the weights; None if they have none of their own.
    source: of the weights, for messages.

  Raises:
    ValueError: their numbers or names do not agree, or there are none.
  """
  info = values.data_dir and dataset_lib.load_info(values.data_dir) or None
  given = values.labels and _read_labels(values.labels) or None
  for name, labels in ((values.labels, given), (values.data_dir, info and info.labels)):
    if labels and num_classes not in (None, len(labels)):
      raise ValueError(
          f'{source} has {num_classes} classes and {name} has {len(labels)}; give the '
          'labels of the data that it was trained on.')
  if given and info:
    strange = sorted(set(given) ^ set(info.labels))
    if strange:
      raise ValueError(f'{values.labels} and {values.data_dir} do not have the same '
                       f'classes: {strange[0]!r} is in one alone.')
    return Classes(info.labels, [given.index(name) for name in info.labels], info,
                   f'names of {values.labels}, in the order of {values.data_dir}')
  if given:
    return Classes(given, None, None, f'names of {values.labels}')
  if info:
    told = f'names of {values.data_dir}'
    if num_classes:
      told += ' in its order; if the weights have another, give theirs as --labels=FILE'
    return Classes(info.labels, None, info, told)
  if num_classes is None:
    raise ValueError('the classes of the run are not known; give --data_dir=DATA or '
                     '--labels=FILE.')
  width = len(str(num_classes - 1))
  return Classes(
      tuple(f'class_{i:0{width}}' for i in range(num_classes)), None, None,
      'without names, which the file does not have; convert again with --labels=FILE, '
      'one name a line, or --data_dir=DATA')


def _read_labels(path: str) -> tuple[str, ...]:
  with open(path, encoding='utf-8') as file:
    labels = tuple(line.strip() for line in file if line.strip())
  if len(set(labels)) != len(labels):
    twice = next(name for name in labels if labels.count(name) > 1)
    raise ValueError(f'{path} has the class {twice!r} twice; give each once.')
  if not labels:
    raise ValueError(f'{path} has no line; give one class name a line.')
  return labels


def write(model: base.GatedMultimodalModel, model_dir: str, *, recipe: Recipe,
          classes: Classes, source: Mapping[str, Any]) -> str:
  """Writes the run; returns the checkpoint's path.

  Args:
    model: with its final values.
    model_dir: made if missing.
    recipe: that the model was made by.
    classes: of the model.
    source: what the weights came from, for `run.json`.
  """
  tf.io.gfile.makedirs(model_dir)
  checkpoints.write_text(os.path.join(model_dir, checkpoints.CONFIG_FILE), recipe.text)
  # Without data the recipes' own: the defaults of prepare_videos.
  options = (dict(classes.info.options) if classes.info
             else prepare_config.PrepareConfig().to_dict())
  checkpoints.write_json(os.path.join(model_dir, checkpoints.RUN_FILE), {
      'labels': list(classes.labels),
      'multi_label': bool(classes.info and classes.info.multi_label),
      'num_classes': len(classes.labels),
      'data_dir': classes.info.data_dir if classes.info else '',
      'data_options': options, 'modalities': list(model.modalities), 'seed': 0,
      'batch_size': 0, 'steps': 0, 'phases': [], 'converted_from': dict(source),
      'versions': {'python': platform.python_version(), 'tensorflow': tf.__version__}})
  step = tf.Variable(0, dtype=tf.int64, name='global_step')
  manager = checkpoints.make_manager(
      tf.train.Checkpoint(model=model, step=step), model_dir, step, keep=1,
      every_steps=1, chief=True)
  path = manager.save(checkpoint_number=0)
  checkpoints.write_json(
      os.path.join(model_dir, checkpoints.COMPLETED_FILE), {'step': 0})
  return path
