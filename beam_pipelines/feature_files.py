"""Beside the shards of features: options.json, dataset_info.json, COMPLETED."""

import json
from collections.abc import Sequence
from typing import Any

from beam_pipelines import config as config_lib
from beam_pipelines import feature_config
from beam_pipelines import feature_shards
from beam_pipelines import output_directory
from beam_pipelines import storage
from tfmm import schema
from tfmm.data import info as info_lib


def shards_of(info: info_lib.DatasetInfo) -> dict[str, int]:
  """Videos of each shard, by its file name, split by split."""
  return {shard['file']: shard['num_videos']
          for split in schema.SPLITS
          for shard in info.splits.get(split, {}).get('shards', ())}


def check_options(job: feature_shards.Job, shards: Sequence[str]):
  """Raises `ValueError` if the directory holds shards made with other options."""
  path = storage.join(job.output_dir, output_directory.OPTIONS)
  if not storage.exists(path):
    output_directory.refuse_others(job.output_dir, 'extract_features')
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
  found = [n for n in storage.list_names(job.output_dir) if n.endswith('.tfrecord')]
  if not changed and not set(found) <= set(shards):
    changed = [f'shards: {len(found)} or more -> {len(shards)}']
  output_directory.refuse_changes(job.output_dir, changed)


def completion_mark(job: feature_shards.Job, shards: Sequence[str]) -> str:
  """Changes when a finished directory must be gone over again."""
  return config_lib.fingerprint(
      [feature_shards.shard_fingerprint(job, shard) for shard in shards])


def is_complete(job: feature_shards.Job, shards: Sequence[str]) -> bool:
  """Whether nothing is left to do."""
  return output_directory.is_complete(
      job.output_dir, lambda: completion_mark(job, shards), shards)


def begin(job: feature_shards.Job):
  """Sweeps what a killed run left, takes COMPLETED away, notes the options."""
  output_directory.begin(job.output_dir, {'options': job.options})


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
  shards = list(shards_of(info))
  sidecars = output_directory.read_sidecars(job.output_dir, shards)
  output_directory.write_json(job.output_dir, schema.DATASET_INFO,
                              dataset_info(job, info, identity, sidecars))
  totals = {
      'num_videos': sum(s['num_videos'] for s in sidecars.values()),
      'num_steps': sum(sum(s['steps']) for s in sidecars.values()),
      **{key: sum(s[key] for s in sidecars.values())
         for key in ('absent', 'not_finite')}}
  output_directory.complete(job.output_dir, completion_mark(job, shards), totals)
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
