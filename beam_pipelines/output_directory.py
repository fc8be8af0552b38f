"""What stands beside the shards of every command here, and when a directory is whole.

A sidecar is written after its shard and says what the shard was made of; COMPLETED is
written last. So a run that was killed at any moment goes on from what is whole.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from beam_pipelines import storage
from tfmm import schema

OPTIONS = 'options.json'  # what the directory was begun with
SHARD_FILE = re.compile(
    rf'({"|".join(schema.SPLITS)})-\d{{5}}-of-\d{{5}}\.(tfrecord|json)')


def write_json(directory: str, name: str, value: Any):
  """Writes a file in one step."""
  storage.write_text(storage.join(directory, name),
                     json.dumps(value, ensure_ascii=False, indent=1) + '\n')


def read_sidecar(directory: str, shard: str) -> dict[str, Any] | None:
  """The sidecar of a shard that is complete, or None."""
  path = storage.join(directory, schema.sidecar_name(shard))
  try:
    sidecar = json.loads(storage.read_text(path))
    data = storage.join(directory, shard)
    there = (storage.exists(data) if storage.is_remote(data)
             else storage.size(data) == sidecar['bytes'])
    return sidecar if there else None
  except (OSError, ValueError, KeyError, TypeError):
    return None


def read_sidecars(directory: str, shards: Iterable[str]) -> dict[str, dict[str, Any]]:
  """The sidecars of all shards, by the names of these.

  Raises:
    OSError: If a shard is missing, whatever the engine reported.
  """
  sidecars = {}
  for shard in shards:
    sidecars[shard] = read_sidecar(directory, shard)
    if sidecars[shard] is None:
      raise OSError(f'shard {shard} is not complete in {directory}; run the same '
                    'command again.')
  return sidecars


def refuse_others(directory: str, command: str):
  """Raises `ValueError` if there are shards, but not those of a command of ours."""
  found = [name for name in storage.list_names(directory)
           if SHARD_FILE.fullmatch(name) or name.endswith('.tfrecord')
           or name == schema.COMPLETED]
  if found:
    raise ValueError(f'{directory} holds {found[0]} but no {OPTIONS}: it was not made '
                     f'by {command}. Give another --output_dir.')


def refuse_changes(directory: str, changed: Sequence[str]):
  """Raises `ValueError` if options have changed since the directory was begun."""
  if changed:
    raise ValueError(
        f'{directory} was begun with other options ({"; ".join(changed)}). Give '
        'another --output_dir, or delete that one.')


def begin(directory: str, options: Mapping[str, Any]):
  """Sweeps what a killed run left, takes COMPLETED away, notes the options."""
  storage.make_directory(directory)
  storage.remove(storage.join(directory, storage.TEMPORARY))
  storage.remove(storage.join(directory, schema.COMPLETED))
  storage.make_directory(storage.join(directory, storage.TEMPORARY))
  write_json(directory, OPTIONS, options)


def complete(directory: str, fingerprint: str, totals: Mapping[str, Any]):
  """Writes COMPLETED, as the last file."""
  storage.remove(storage.join(directory, storage.TEMPORARY))
  write_json(directory, schema.COMPLETED, {'fingerprint': fingerprint, **totals})
  storage.remove(storage.join(directory, storage.TEMPORARY))


def _completed_with(directory):
  """The fingerprint that a finished directory was completed with, or None."""
  try:
    text = storage.read_text(storage.join(directory, schema.COMPLETED))
    return json.loads(text)['fingerprint']
  except (OSError, ValueError, KeyError, TypeError):
    return None


def is_complete(directory: str, fingerprint: Callable[[], str], shards: Iterable[str]
               ) -> bool:
  """Whether it was completed with that fingerprint and has lost no shard since.

  Args:
    directory: Where.
    fingerprint: Gives it; called only if it is needed, because it reads all sources.
    shards: Names of their files.
  """
  completed = _completed_with(directory)
  return completed is not None and completed == fingerprint() and all(
      read_sidecar(directory, shard) is not None for shard in shards)
