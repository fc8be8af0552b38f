"""A directory of shards: what stands beside them, and whether they are whole."""

import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from beam_pipelines import tfrecord
from tfmm import schema


@dataclasses.dataclass(frozen=True)
class Directory:
  """A directory of shards.

  Attributes:
    path: Where it is.
    info: `dataset_info.json`.
    sidecars: What stands beside each shard; {} where nothing does.
    rejected: Rows of `rejected.csv`.
    is_completed: Whether it was finished.
  """

  path: str
  info: Mapping[str, Any]
  sidecars: Mapping[str, Mapping[str, Any]]
  rejected: list[dict[str, str]]
  is_completed: bool

  def shards(self, split: str) -> list[dict[str, Any]]:
    """The entries of dataset_info.json, and their `split`."""
    entries = self.info['splits'].get(split, {}).get('shards', ())
    return [{**entry, 'split': split} for entry in entries]

  def all_shards(self) -> list[dict[str, Any]]:
    return [entry for split in self.info['splits'] for entry in self.shards(split)]

  def path_of(self, name: str) -> str:
    return os.path.join(self.path, name)


def open_directory(path: str) -> Directory:
  """Reads what stands beside the shards.

  Raises:
    ValueError: If it is no directory of shards, or what it says cannot be read.
  """
  if '://' in path:
    raise ValueError(f'{path} is remote; copy it, or some of its shards with the files '
                     'beside them, and give the copy')
  name = os.path.join(path, schema.DATASET_INFO)
  if not os.path.exists(name):
    raise ValueError(
        f'{path} has no {schema.DATASET_INFO}: it is not what prepare_videos, '
        'adopt_shards or extract_features finished; run that to its end first')
  info = _json(name)
  if not isinstance(info.get('splits'), dict):
    raise ValueError(f'{name} has no splits; run the same prepare_videos again')
  sidecars = {}
  for split in info['splits'].values():
    for entry in split.get('shards', ()):
      beside = os.path.join(path, schema.sidecar_name(entry['file']))
      sidecars[entry['file']] = _json(beside) if os.path.exists(beside) else {}
  rejected = []
  if os.path.exists(os.path.join(path, schema.REJECTED)):
    name = os.path.join(path, schema.REJECTED)
    with open(name, encoding='utf-8', newline='') as file:
      rejected = list(csv.DictReader(file))
  return Directory(path, info, sidecars, rejected,
                   os.path.exists(os.path.join(path, schema.COMPLETED)))


def _json(path):
  try:
    with open(path, encoding='utf-8') as file:
      content = json.load(file)
  except ValueError:
    content = None
  if not isinstance(content, dict):
    raise ValueError(f'{path} is damaged; delete it and run the same command again')
  return content


def damage(directory: Directory) -> Iterator[tuple[str, int, str]]:
  """Checks all shards: `(name, records, what is wrong or '')` of each.

  The content must have the size and sha256 of the sidecar, every record its CRCs, and
  there must be as many records as clips.
  """
  for entry in directory.all_shards():
    name, records = entry['file'], 0
    path, sidecar = directory.path_of(name), directory.sidecars[name]
    try:
      if not sidecar:
        raise ValueError(f'there is no {schema.sidecar_name(name)} beside it')
      size = os.path.getsize(path)
      if size != sidecar['bytes']:
        raise ValueError(f'it has {size} bytes and not {sidecar["bytes"]}')
      with open(path, 'rb') as file:
        if hashlib.file_digest(file, 'sha256').hexdigest() != sidecar['sha256']:
          raise ValueError('its content is not what was written (sha256)')
      for _ in tfrecord.read(path):
        records += 1
      expected = sidecar.get('num_clips', sidecar['num_videos'])
      if records != expected:
        raise ValueError(f'it has {records} records and not {expected}')
    except FileNotFoundError:
      yield name, records, 'it is missing'
    except KeyError as error:
      yield name, records, f'{schema.sidecar_name(name)} has no entry {error}'
    except (ValueError, OSError) as error:
      yield name, records, str(error)
    else:
      yield name, records, ''
