"""What a run leaves on disk, and how it is found again.

A run directory holds `ckpt-<step>` (the last few), `best/` (the best checkpoint of
each stage) with `best.json`, `operative_config.gin`, `run.json`, TensorBoard files
under `train/` and `validation/`, and `COMPLETED` with the final metrics. A checkpoint
is {model, optimizers, step}; everything else about a step follows from its number.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

CONFIG_FILE = 'operative_config.gin'
RUN_FILE = 'run.json'
BEST_FILE = 'best.json'
COMPLETED_FILE = 'COMPLETED'
_BEST_DIRECTORY = 'best'


def write_text(path: str, text: str):
  """Replaces a file in one step, so that a kill leaves the old one or the new one."""
  partial = f'{path}.partial'
  with tf.io.gfile.GFile(partial, 'w') as file:
    file.write(text)
  tf.io.gfile.rename(partial, path, overwrite=True)


def read_text(path: str) -> str:
  with tf.io.gfile.GFile(path) as file:
    return file.read()


def write_json(path: str, value: Any):
  write_text(path, json.dumps(value, indent=1, sort_keys=True) + '\n')


def read_json(path: str, default: Any = None) -> Any:
  if not tf.io.gfile.exists(path):
    return default
  try:
    return json.loads(read_text(path))
  except ValueError as error:
    raise ValueError(
        f'{path} is damaged ({error}); put a copy of it back, or use another run.'
    ) from None


def make_manager(checkpoint: tf.train.Checkpoint, model_dir: str, step: tf.Variable,
                 *, keep: int, every_steps: int, chief: bool
                 ) -> tf.train.CheckpointManager:
  """A manager of `ckpt-<step>` files.

  Saving reads variables that are averaged over replicas, which every worker has to
  take part in; workers other than the chief save into a scratch directory and keep
  one file there. All workers see the same file system.
  """
  directory = model_dir
  if not chief:
    directory = os.path.join(model_dir, 'scratch', f'worker-{os.getpid()}')
  return tf.train.CheckpointManager(
      checkpoint, directory, max_to_keep=keep if chief else 1, step_counter=step,
      checkpoint_interval=every_steps)


def latest_checkpoint(model_dir: str) -> str | None:
  """Path prefix of a run's last checkpoint, or None.

  By the files themselves: TensorFlow's own record of them answers None if the
  checkpoint that it names is gone, and training would begin anew over the others. An
  index is written last, so each one stands for a whole checkpoint.
  """
  if not tf.io.gfile.isdir(model_dir):
    return None
  found = [re.fullmatch(r'ckpt-(\d+)\.index', name)
           for name in tf.io.gfile.listdir(model_dir)]
  steps = [int(match[1]) for match in found if match]
  return os.path.join(model_dir, f'ckpt-{max(steps)}') if steps else None


def restore_latest(checkpoint: tf.train.Checkpoint, model_dir: str) -> str | None:
  """Restores everything from the last checkpoint, if there is one; returns its path."""
  path = latest_checkpoint(model_dir)
  if path:
    with _reading(path):
      checkpoint.restore(path).assert_consumed()
  return path


def restore_model(model: tf.keras.Model, path: str):
  """Restores the model alone; every variable it has must be in the checkpoint."""
  with _reading(path):
    status = tf.train.Checkpoint(model=model).restore(path)
    status.assert_existing_objects_matched().expect_partial()


@contextlib.contextmanager
def _reading(path: str):
  """Tells a checkpoint of another model from a damaged one, and names it."""
  try:
    yield
  except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
    told = _first_line(error)
    if isinstance(error, AssertionError) or 'incompatible tensor' in told:
      raise ValueError(f'the checkpoint {path} is of another model: {told}') from error
    raise OSError(
        f'the checkpoint {path} is damaged ({told}); delete {path}.*, and the one '
        'before it is used, or train again.') from error


def find_checkpoint(path: str, which: str = 'last') -> str:
  """Path prefix of a run's checkpoint.

  Args:
    path: a run directory, or the prefix of a checkpoint in it.
    which: 'last', or 'best' for the best validated one of the last stage.
  """
  if which not in ('last', 'best'):
    raise ValueError(f"checkpoint is {which!r}; it must be 'last' or 'best'.")
  if not tf.io.gfile.isdir(path):
    if tf.io.gfile.exists(f'{path}.index'):
      return path
    raise ValueError(
        f'{path} is neither a run directory nor a checkpoint; train it first: '
        'python -m tfmm.train --gin_file=... --model_dir=' + path)
  if which == 'best':
    return BestRecord(path).last_stage()
  latest = latest_checkpoint(path)
  if latest is None:
    raise ValueError(
        f'{path} has no checkpoint yet; train it first: python -m tfmm.train '
        f'--gin_file=... --model_dir={path}')
  return latest


class BestRecord:
  """The best validated checkpoint of each stage, kept in `best/` and `best.json`.

  The copy is complete before the record names it, and the record is replaced in one
  step, so a kill at any time leaves a record that holds.
  """

  def __init__(self, model_dir: str):
    self._directory = model_dir
    self._path = os.path.join(model_dir, BEST_FILE)
    empty = {'validated_step': -1, 'stages': {}}
    self._record = read_json(self._path, empty)

  @property
  def validated_step(self) -> int:
    """Global step of the last validation that was taken note of; -1 before any."""
    return self._record['validated_step']

  def top1(self, stage: str) -> float | None:
    entry = self._record['stages'].get(stage)
    return entry and entry['top1']

  def checkpoint(self, stage: str) -> str:
    """Path prefix of a stage's best checkpoint."""
    entry = self._record['stages'].get(stage)
    if entry is None:
      raise ValueError(
          f'no validated checkpoint of the stage {stage!r} in {self._directory}; the '
          'data needs a validation split, or choose start=\'last\'.')
    return os.path.join(self._directory, entry['checkpoint'])

  def last_stage(self) -> str:
    """Best checkpoint of the stage that was validated last."""
    stages = self._record['stages']
    if not stages:
      raise ValueError(
          f"{self._directory} has no validated checkpoint; use checkpoint='last'.")
    return self.checkpoint(max(stages, key=lambda s: stages[s]['step']))

  def update(self, stage: str, step: int, top1: float, checkpoint: str):
    """Takes note of a validation; equal accuracies go to the later checkpoint."""
    stages = dict(self._record['stages'])
    old = stages.get(stage)
    if old is None or top1 >= old['top1']:
      name = f'{_BEST_DIRECTORY}/{stage}-{step}'
      self._copy(checkpoint, os.path.join(self._directory, name))
      stages[stage] = {'step': step, 'top1': top1, 'checkpoint': name}
    self._record = {'validated_step': step, 'stages': stages}
    write_json(self._path, self._record)
    if old is not None and old != stages[stage]:
      for file in tf.io.gfile.glob(
          os.path.join(self._directory, old['checkpoint']) + '.*'):
        tf.io.gfile.remove(file)

  def _copy(self, source: str, target: str):
    tf.io.gfile.makedirs(os.path.dirname(target))
    for file in tf.io.gfile.glob(f'{source}.*'):
      tf.io.gfile.copy(file, target + file[len(source):], overwrite=True)


def initialize_from(model: tf.keras.Model, runs: Sequence[str]) -> dict[str, str]:
  """Gives a model the encoders and classifiers that other runs have trained.

  A run that has what the model's `joint_parts` names gives that, too: so a trained or
  converted AdaMML is fine-tuned on other data of the same classes, and an HMS trained
  on features gets the encoders that made them.

  Args:
    model: gets `encoders[m]` and `classifiers[m]` of every modality m that has
      variables.
    runs: run directories (their last checkpoint) or checkpoint prefixes. Each
      modality must be in exactly one of them.

  Returns:
    {modality: checkpoint it came from}.

  Raises:
    ValueError: a modality is in none or in several, a joint part is in several, or
      shapes differ.
  """
  source: dict[str, str] = {}
  joint: dict[str, str] = {}  # {part: path}
  for run in runs:
    path = find_checkpoint(run)
    with _reading(path):
      keys = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    found = [part for part in model.joint_parts()
             if any(k.startswith(f'model/{part}/') for k in keys)]
    for part in found:
      if joint.setdefault(part, path) != path:
        raise ValueError(f'init_from: both {joint[part]} and {path} have {part!r}; '
                         'name one of them.')
    here = [m for m in model.modalities
            if any(k.startswith(f'model/encoders/{m}/') for k in keys)]
    if not here and not found:
      raise ValueError(
          f'init_from: {run} has no encoder of {model.modalities}; name runs that '
          'trained one of them.')
    for modality in here:
      if modality in source:
        raise ValueError(
            f'init_from: both {source[modality]} and {path} have an encoder of '
            f'{modality!r}; name one of them.')
      source[modality] = path
  missing = [m for m in model.modalities
             if m not in source and model.encoders[m].variables]
  if missing:
    raise ValueError(
        f'init_from has no encoder of {missing[0]!r}; it has {sorted(source)}. Train '
        f'that modality alone and add its run: --init_from={",".join(runs)},RUN')
  for path in dict.fromkeys([*source.values(), *joint.values()]):
    _restore_parts(model, [m for m in source if source[m] == path], path,
                   joint=[part for part in joint if joint[part] == path])
  return source


def _restore_parts(model: tf.keras.Model, modalities: Sequence[str], path: str, *,
                   joint: Sequence[str]):
  parts = {'encoders': {m: model.encoders[m] for m in modalities}}
  if hasattr(model, 'classifiers'):
    parts['classifiers'] = {m: model.classifiers[m] for m in modalities}
  for part in joint:
    parts |= model.joint_parts()[part]
  shell = tf.train.Checkpoint(**parts)  # stands for the model of the other run
  try:
    status = tf.train.Checkpoint(model=shell).restore(path)
    status.assert_existing_objects_matched().expect_partial()
  except (AssertionError, ValueError) as error:
    raise ValueError(
        f'init_from: {path} does not fit {"+".join([*modalities, *joint])} of this '
        'model (same encoder, policy and number of classes?): '
        f'{_first_line(error)}') from error


def _first_line(error: BaseException) -> str:
  return (str(error).strip() or type(error).__name__).splitlines()[0]


def config_statements(text: str) -> dict[str, str]:
  """Bindings of a written configuration as {name: value}, one line each."""
  statements: dict[str, str] = {}
  name = None
  for line in text.splitlines():
    if line.startswith(' ') and name:
      statements[name] += ' ' + line.strip()
    elif ' = ' in line and not line.startswith('#'):
      name, value = line.split(' = ', 1)
      statements[name] = value.removesuffix('\\').strip()
    else:
      name = None
  return {k: v.strip() for k, v in statements.items()}


def check_same_recipe(model_dir: str, config: str, *, ignored: Sequence[str] = ()):
  """Refuses to go on with another recipe's run.

  Args:
    model_dir: may hold a run.
    config: the configuration of this run, as text.
    ignored: last parts of parameter names, and macro names, that may differ.

  Raises:
    ValueError: naming the first differences.
  """
  if not latest_checkpoint(model_dir):
    return
  path = os.path.join(model_dir, CONFIG_FILE)
  if not tf.io.gfile.exists(path):
    raise ValueError(
        f'{model_dir} has checkpoints but no {CONFIG_FILE}, so it cannot be told '
        'which recipe they are of; use another --model_dir.')
  old, new = config_statements(read_text(path)), config_statements(config)
  differing = [k for k in {*old, *new}
               if old.get(k) != new.get(k) and k.rsplit('.', 1)[-1] not in ignored]
  if not differing:
    return
  # What says most comes first: the call itself, then what both recipes set.
  differing.sort(key=lambda k: ('train.' not in k, k not in old or k not in new, k))
  shown = '; '.join(
      f'{k} was {old.get(k, "not set")} and is now {new.get(k, "not set")}'
      for k in differing[:3])
  more = f' (and {len(differing) - 3} more)' if len(differing) > 3 else ''
  raise ValueError(
      f'{model_dir} holds a run of another recipe: {shown}{more}. Use another '
      '--model_dir, or the recipe that it was started with.')
