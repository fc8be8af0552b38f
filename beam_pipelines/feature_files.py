"""Beside the shards of features: options.json, dataset_info.json, COMPLETED."""

import json
from collections.abc import Sequence
from typing import Any

from beam_pipelines import config as config_lib
from beam_pipelines import feature_config
from beam_pipelines import feature_shards
from beam_pipelines import shards as shards_lib
from beam_pipelines import storage
from tfmm import schema
from tfmm.data import info as info_lib

OPTIONS = 'options.json'  # what the directory was begun with


def shards_of(info: info_lib.DatasetInfo) -> dict[str, int]:
  """Videos of each shard, by its file name, split by split."""
  return {shard['file']: shard['num_videos']
          for split in schema.SPLITS
          for shard in info.splits.get(split, {}).get('shards', ())}


def check_options(job: feature_shards.Job, shards: Sequence[str]):
  """Raises `ValueError` if the directory holds shards made with other options."""
  path = storage.join(job.output_dir, OPTIONS)
  found = [n for n in storage.list_names(job.output_dir) if n.endswith('.tfrecord')]
  if not storage.exists(path):
    if found or storage.exists(storage.join(job.output_dir, schema.COMPLETED)):
      raise ValueError(
          f'{job.output_dir} holds {(*found, schema.COMPLETED)[0]} but no {OPTIONS}: '
          'it was not made by extract_features. Give another --output_dir.')
    return
  try:
    old = json.loads(storage.read_text(path))['options']
  except (ValueError, KeyError, TypeError):
    old = None
  if not isinstance(old, dict) or 'encoder' not in old:
    raise ValueError(f'{path} is damaged or not of extract_features; give another '
                     '--output_dir, or delete that one.')
  changed = config_lib.differences(
      feature_config.flat(old), feature_config.flat(job.options))
  if not changed and not set(found) <= set(shards):
    changed = [f'shards: {len(found)} or more -> {len(shards)}']
  if changed:
    raise ValueError(
        f'{job.output_dir} was begun with other options ({"; ".join(changed)}). Give '
        'another --output_dir, or delete that one.')


def completion_mark(job: feature_shards.Job, shards: Sequence[str]) -> str:
  """Changes when a finished directory must be gone over again."""
  return config_lib.fingerprint(
      [feature_shards.shard_fingerprint(job, shard) for shard in shards])


def is_complete(job: feature_shards.Job, shards: Sequence[str]) -> bool:
  """Whether nothing is left to do."""
  try:
    text = storage.read_text(storage.join(job.output_dir, schema.COMPLETED))
    mark = json.loads(text)['fingerprint']
  except (OSError, ValueError, KeyError, TypeError):
    return False
  return mark == completion_mark(job, shards) and all(
      shards_lib.read_sidecar(job.output_dir, shard) is not None for shard in shards)


def begin(job: feature_shards.Job):
  """Sweeps what a killed run left, takes COMPLETED away, notes the options."""
  storage.make_directory(job.output_dir)
  storage.remove(storage.join(job.output_dir, storage.TEMPORARY))
  storage.remove(storage.join(job.output_dir, schema.COMPLETED))
  storage.make_directory(storage.join(job.output_dir, storage.TEMPORARY))
  storage.write_text(storage.join(job.output_dir, OPTIONS),
                     _json({'options': job.options}))


def finish(job: feature_shards.Job, info: info_lib.DatasetInfo,
           identity: dict[str, Any]) -> dict[str, Any]:
  """Writes dataset_info.json and COMPLETED.

  Args:
    job: The job.
    info: Of the data set.
    identity: Of the encoder, its path included.

  Returns:
    Totals: `num_videos`, `num_steps`, `absent`, `not_finite`.

  Raises:
    OSError: If a shard is missing, whatever the engine reported.
  """
  shards = shards_of(info)
  sidecars = {}
  for shard in shards:
    sidecars[shard] = shards_lib.read_sidecar(job.output_dir, shard)
    if sidecars[shard] is None:
      raise OSError(f'shard {shard} is not complete in {job.output_dir}; run the same '
                    'command again.')
  storage.write_text(storage.join(job.output_dir, schema.DATASET_INFO),
                     _json(dataset_info(job, info, identity, sidecars)))
  totals = {
      'num_videos': sum(s['num_videos'] for s in sidecars.values()),
      'num_steps': sum(sum(s['steps']) for s in sidecars.values()),
      **{key: sum(s[key] for s in sidecars.values())
         for key in ('absent', 'not_finite')}}
  storage.remove(storage.join(job.output_dir, storage.TEMPORARY))
  storage.write_text(
      storage.join(job.output_dir, schema.COMPLETED),
      _json({'fingerprint': completion_mark(job, list(shards)), **totals}))
  storage.remove(storage.join(job.output_dir, storage.TEMPORARY))
  return totals


def dataset_info(job, info, identity, sidecars) -> dict[str, Any]:
  """The content of dataset_info.json: as that of the data, and what the features are.

  Every video is one record, so `clips_per_video` holds ones.
  """
  splits = {}
  for split, entry in info.splits.items():
    mine = [sidecars[shard['file']] for shard in entry['shards']]
    splits[split] = {
        **{k: entry[k] for k in ('num_videos', 'seconds', 'per_label') if k in entry},
        'num_clips': sum(s['num_videos'] for s in mine),
        'bytes': sum(s['bytes'] for s in mine),
        'shards': [{
            'file': s['file'],
            'num_videos': s['num_videos'],
            'clips_per_video': [1] * s['num_videos'],
            'steps': s['steps'],
        } for s in mine],
    }
  return {
      'schema_version': schema.VERSION,
      'labels': list(info.labels),
      'multi_label': info.multi_label,
      'splits': splits,
      'options': {**job.options, 'frames': schema.FEATURES,
                  'encoder': identity, 'data_dir': job.data_dir},
      'views': {job.name.lower(): {
          'key': schema.feature_key(job.name, 'floats'),
          'dtype': 'float32',
          'shape': [job.config.steps, job.options['dimensions']],
      }},
      'versions': feature_shards.versions(),
  }


def _json(value) -> str:
  return json.dumps(value, ensure_ascii=False, indent=1) + '\n'
