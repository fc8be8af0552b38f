"""Beside the shards: options.json, dataset_info.json, rejected.csv, COMPLETED.

Totals come from the sidecars and not from Beam's counters, so that a resumed run adds
up to the same as one that was never interrupted.
"""

import collections
import csv
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beam_pipelines import config as config_lib
from beam_pipelines import job as job_lib
from beam_pipelines import manifest
from beam_pipelines import output_directory
from beam_pipelines import shards as shards_lib
from beam_pipelines import storage
from tfmm import schema


def read_options(output_dir: str) -> dict[str, Any] | None:
  """The options that a directory was begun with; None if there are none."""
  path = storage.join(output_dir, output_directory.OPTIONS)
  if not storage.exists(path):
    return None
  try:
    return json.loads(storage.read_text(path))
  except ValueError:
    raise ValueError(f'{path} is damaged; delete {output_dir} and prepare it again, or '
                     'give another --output_dir.') from None


def job_options(job: job_lib.Job) -> dict[str, Any]:
  """The options of a job that must not change within one directory."""
  options = {
      'schema_version': schema.VERSION,
      **job.config.to_dict(),
      'label_separator': job.label_separator,
      'num_shards': {s: n for s, n in job.num_shards.items() if n},
  }
  if job.split_fractions:
    options['split_fractions'] = dict(job.split_fractions)
    options['split_seed'] = job.split_seed
    options['split_method'] = job.split_method
  return options


def check_options(job: job_lib.Job):
  """Raises `ValueError` if the directory holds shards made with other options."""
  old = read_options(job.output_dir)
  if old is None:
    output_directory.refuse_others(job.output_dir, 'prepare_videos')
    return
  old, new = dict(old), job_options(job)
  before, now = old.pop('num_shards', {}), new.pop('num_shards')
  # A split that gained or lost all of its rows is no change of options.
  output_directory.refuse_changes(
      job.output_dir, config_lib.differences(old, new) + [
          f'num_shards of {split}: {before[split]} -> {now[split]}'
          for split in schema.SPLITS if before.get(split, 0) != now.get(split, 0)
          and split in before and split in now])


def completion_mark(job: job_lib.Job, rows: Sequence[manifest.Row]) -> str:
  """Changes when a finished directory must be gone over again."""
  return config_lib.fingerprint(
      job_options(job), job.labels,
      sorted([row.media_id, row.labels, row.split, storage.content_mark(row.path)]
             for row in rows))


def is_complete(job: job_lib.Job, rows: Sequence[manifest.Row]) -> bool:
  """Whether nothing is left to do."""
  return output_directory.is_complete(
      job.output_dir, lambda: completion_mark(job, rows), job.shard_names())


def begin(job: job_lib.Job):
  """Makes a directory ready for a run: no shards are there that are not the job's."""
  output_directory.begin(job.output_dir, job_options(job))
  wanted = {*job.shard_names(), *map(schema.sidecar_name, job.shard_names())}
  for name in storage.list_names(job.output_dir):
    if output_directory.SHARD_FILE.fullmatch(name) and name not in wanted:
      storage.remove(storage.join(job.output_dir, name))


def finish(job: job_lib.Job, rows: Sequence[manifest.Row]) -> dict[str, Any]:
  """Writes dataset_info.json and rejected.csv and, if any video is in, COMPLETED.

  Returns:
    `num_videos`, `num_clips`, `seconds`, `rejected` (reason -> count), `info`.

  Raises:
    OSError: If a shard is missing, whatever the engine reported.
  """
  sidecars = output_directory.read_sidecars(job.output_dir, job.shard_names())
  info = dataset_info(job, sidecars)
  rejected = [entry for sidecar in sidecars.values() for entry in sidecar['rejected']]
  order = {row.media_id: k for k, row in enumerate(rows)}
  rejected.sort(key=lambda entry: order.get(entry['video_path'], len(order)))
  table = io.StringIO()
  writer = csv.DictWriter(table, schema.REJECTED_COLUMNS, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rejected)
  storage.write_text(storage.join(job.output_dir, schema.REJECTED), table.getvalue())
  output_directory.write_json(job.output_dir, schema.DATASET_INFO, info)
  totals = {
      field: sum(split[field] for split in info['splits'].values())
      for field in ('num_videos', 'num_clips', 'seconds', 'frames', 'bytes')
  }
  if totals['num_videos']:
    output_directory.complete(job.output_dir, completion_mark(job, rows), totals)
  else:
    storage.remove(storage.join(job.output_dir, storage.TEMPORARY))
  reasons = collections.Counter(entry['reason'] for entry in rejected)
  return {**totals, 'rejected': dict(sorted(reasons.items())), 'info': info,
          **{field: sum(split[field] for split in info['splits'].values())
             for field in ('without_audio', 'truncated')}}


def statistics_of(videos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Sums and spread over the videos of a split, as sidecars describe them."""
  lengths = sorted(video['seconds'] for video in videos)
  spread = {}
  if lengths:
    spread = {'min': lengths[0], 'median': statistics.median(lengths),
              'mean': round(statistics.fmean(lengths), 6), 'max': lengths[-1]}
  sizes = collections.Counter(f'{v["width"]}x{v["height"]}' for v in videos)
  return {
      'seconds': round(sum(lengths), 6),
      'seconds_per_video': spread,
      'frames': sum(video['frames'] for video in videos),
      'frame_sizes': dict(sizes.most_common(20)),
      'without_audio': sum(not video['has_audio'] for video in videos),
      'truncated': sum(video['truncated'] for video in videos),
      'corrupt_frames': sum(video['corrupt_frames'] for video in videos),
  }


def split_entries(sidecars: Iterable[Mapping[str, Any]], labels: Sequence[str]
                 ) -> dict[str, Any]:
  """`splits` of dataset_info.json; every split of the schema is in it.

  Args:
    sidecars: Of all shards, in the order of their names.
    labels: Names of the classes.
  """
  splits = {}
  sidecars = list(sidecars)
  for split in schema.SPLITS:
    shards = [s for s in sidecars if s['file'].startswith(f'{split}-')]
    videos = [video for shard in shards for video in shard['videos']]
    splits[split] = {
        'num_videos': len(videos),
        'num_clips': sum(video['clips'] for video in videos),
        'bytes': sum(s['bytes'] for s in shards),
        **statistics_of(videos),
        'rejected': sum(len(s['rejected']) for s in shards),
        'per_label': {
            text: sum(s['per_label'].get(text, 0) for s in shards) for text in labels},
        'shards': [{
            'file': s['file'],
            'num_videos': s['num_videos'],
            'clips_per_video': [video['clips'] for video in s['videos']],
        } for s in shards],
    }
  return splits


def dataset_info(job: job_lib.Job, sidecars: Mapping[str, Mapping[str, Any]]
                ) -> dict[str, Any]:
  """The content of dataset_info.json."""
  return {
      'schema_version': schema.VERSION,
      'labels': list(job.labels),
      'multi_label': bool(job.label_separator),
      'splits': split_entries(sidecars.values(), job.labels),
      'options': job_options(job),
      'views': job.config.views(),
      'versions': shards_lib.versions(),
  }
