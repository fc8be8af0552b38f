"""The pipeline: manifest rows, grouped by shard, each shard made in one piece."""

import dataclasses
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
import av
import cv2
import numpy as np

from beam_pipelines import config as config_lib
from beam_pipelines import guard
from beam_pipelines import manifest
from beam_pipelines import storage
from beam_pipelines import tfrecord
from tfmm import schema
from tfmm.media import MediaError

ShardKey = tuple[str, int]  # split and index


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """All that a worker must know; plain data.

  Attributes:
    manifest_path: Read again by a worker, so that rows are not part of the graph.
    output_dir: Where shards go.
    config: What records are made with.
    labels: Class names; the position is the index.
    num_shards: Shards of each split; 0 for a split without rows.
    video_root: As `manifest.read`.
    label_separator: As `manifest.read`.
    split_fractions: For rows without a split.
    split_seed: Changes the split by hash.
    timeout_seconds: As `guard.Child`.
    retry_rejected: Whether a finished shard with rejected videos is made again.
  """

  manifest_path: str
  output_dir: str
  config: config_lib.PrepareConfig
  labels: tuple[str, ...]
  num_shards: Mapping[str, int]
  video_root: str | None = None
  label_separator: str = ''
  split_fractions: Mapping[str, float] = dataclasses.field(default_factory=dict)
  split_seed: int = 0
  timeout_seconds: float = 300.0
  retry_rejected: bool = False

  def read_manifest(self) -> list[manifest.Row]:
    return manifest.read(self.manifest_path, video_root=self.video_root,
                         label_separator=self.label_separator)

  def split_of(self, row: manifest.Row) -> str:
    return manifest.split_of(row, self.split_fractions, str(self.split_seed))

  def key_of(self, row: manifest.Row) -> ShardKey:
    split = self.split_of(row)
    return split, manifest.shard_of(row, self.num_shards[split])

  def shard_name(self, key: ShardKey) -> str:
    return schema.shard_name(key[0], key[1], self.num_shards[key[0]])

  def shard_keys(self) -> list[ShardKey]:
    return [(split, k) for split in schema.SPLITS
            for k in range(self.num_shards.get(split, 0))]


def keyed_rows(job: Job) -> Iterator[tuple[ShardKey, manifest.Row | None]]:
  """Yields each row with its shard, and each shard once without a row.

  The latter make a file for a shard that no row falls into, so that `train@4` always
  names four files.
  """
  for key in job.shard_keys():
    yield key, None
  for row in job.read_manifest():
    yield job.key_of(row), row


def shard_fingerprint(job: Job, key: ShardKey, rows: Sequence[manifest.Row]) -> str:
  """What decides a shard's content: rows, their files' sizes, labels, options."""
  index = {name: k for k, name in enumerate(job.labels)}
  return config_lib.fingerprint(
      job.config.to_dict(), job.shard_name(key),
      [[row.video_path, row.labels, [index[text] for text in row.labels],
        storage.size(row.path)] for row in rows])


def read_sidecar(output_dir: str, shard: str) -> dict[str, Any] | None:
  """The sidecar of a shard that is complete, or None."""
  path = storage.join(output_dir, schema.sidecar_name(shard))
  try:
    sidecar = json.loads(storage.read_text(path))
    data = storage.join(output_dir, shard)
    there = (storage.exists(data) if storage.is_remote(data)
             else storage.size(data) == sidecar['bytes'])
    return sidecar if there else None
  except (OSError, ValueError, KeyError, TypeError):
    return None


def versions() -> dict[str, str]:
  """Of what decides bytes; recorded, not compared."""
  return {
      'schema': str(schema.VERSION),
      'python': platform.python_version(),
      'beam': beam.__version__,
      'av': av.__version__,
      'libavcodec': '.'.join(map(str, av.library_versions['libavcodec'])),
      'opencv': cv2.__version__,
      'numpy': np.__version__,
  }


def make_shard(job: Job, key: ShardKey, rows: Sequence[manifest.Row],
               child: guard.Child,
               report: Callable[[int], Any] = lambda done: None) -> dict[str, Any]:
  """Decodes the rows of one shard and writes it, then its sidecar.

  Args:
    job: The job.
    key: Which shard.
    rows: Its rows in stored order.
    child: The decoding process.
    report: Called with the number of videos done after each one.

  Returns:
    The sidecar.
  """
  name = job.shard_name(key)
  index = {text: k for k, text in enumerate(job.labels)}
  clips_per_video, media_ids, rejected = [], [], []
  per_label = dict.fromkeys(job.labels, 0)
  totals = dict.fromkeys(
      ('seconds', 'frames', 'without_audio', 'truncated', 'corrupt_frames'), 0)
  writer = tfrecord.ShardWriter(job.output_dir, name)
  try:
    for done, row in enumerate(rows, start=1):
      request = {
          'path': row.path,
          'media_id': row.video_path,
          'labels': row.labels,
          'label_indices': [index[text] for text in row.labels],
          'config': job.config.to_dict(),
      }
      writer.mark()
      summaries = []
      try:
        for record, summary in child.run(request):
          writer.write(record)
          summaries.append(summary)
      except MediaError as error:
        writer.rollback()
        rejected.append({
            'video_path': row.video_path, 'label': '|'.join(row.labels),
            'split': key[0], 'reason': error.reason, 'detail': error.detail})
      else:
        media_ids.append(row.video_path)
        clips_per_video.append(len(summaries))
        for text in row.labels:
          per_label[text] += 1
        for field in ('seconds', 'frames'):
          totals[field] += sum(summary[field] for summary in summaries)
        totals['without_audio'] += not any(s['has_audio'] for s in summaries)
        for field in ('truncated', 'corrupt_frames'):
          totals[field] += summaries[-1][field]
      report(done)
    storage.remove(storage.join(job.output_dir, schema.sidecar_name(name)))
    size, digest = writer.commit()
  except BaseException:
    writer.abort()
    raise
  sidecar = {
      'schema_version': schema.VERSION,
      'file': name,
      'fingerprint': shard_fingerprint(job, key, rows),
      'sha256': digest,
      'bytes': size,
      'num_videos': len(media_ids),
      'num_clips': sum(clips_per_video),
      'clips_per_video': clips_per_video,
      'media_ids': media_ids,
      'per_label': {text: count for text, count in per_label.items() if count},
      **totals,
      'rejected': rejected,
      'versions': versions(),
  }
  storage.write_text(storage.join(job.output_dir, schema.sidecar_name(name)),
                     json.dumps(sidecar, ensure_ascii=False, indent=1) + '\n')
  return sidecar


class ProcessShard(beam.DoFn):
  """Makes one shard per element, unless it is there already."""

  def __init__(self, job: Job):
    self._job = job
    self._child = None
    self._counters = {
        name: Metrics.counter('prepare', name)
        for name in ('shards_written', 'shards_skipped', 'videos_written', 'rejected',
                     'frames')
    }

  def setup(self):
    self._child = guard.Child(self._job.timeout_seconds)

  def teardown(self):
    if self._child is not None:
      self._child.close()

  def process(self, element: tuple[ShardKey, Iterable[Any]]) -> Iterable[str]:
    key, rows = element
    rows = manifest.in_shard_order(row for row in rows if row is not None)
    job, name = self._job, self._job.shard_name(key)
    sidecar = read_sidecar(job.output_dir, name)
    if (sidecar is not None
        and sidecar.get('fingerprint') == shard_fingerprint(job, key, rows)
        and not (job.retry_rejected and sidecar['rejected'])):
      self._counters['shards_skipped'].inc()
    else:
      sidecar = make_shard(job, key, rows, self._child,
                           lambda done: report_progress(job.output_dir, name, done))
      self._counters['shards_written'].inc()
      self._counters['videos_written'].inc(sidecar['num_videos'])
      self._counters['rejected'].inc(len(sidecar['rejected']))
      self._counters['frames'].inc(sidecar['frames'])
    yield name


def report_progress(output_dir: str, shard: str, done: int):
  """Leaves a number that the main process shows; works with every local engine."""
  if not storage.is_remote(output_dir):
    folder = storage.join(output_dir, storage.TEMPORARY)
    path = storage.join(folder, f'{shard}.progress')
    with open(path, 'w', encoding='ascii') as file:
      file.write(str(done))


class PrepareShards(beam.PTransform):
  """From nothing to the names of the job's shards, each complete when it comes out."""

  def __init__(self, job: Job):
    super().__init__()
    self._job = job

  def expand(self, pbegin):
    return (
        pbegin
        | 'Job' >> beam.Create([self._job])
        | 'ReadRows' >> beam.FlatMap(keyed_rows).with_output_types(
            beam.typehints.Tuple[beam.typehints.Tuple[str, int], Any])
        | 'GroupByShard' >> beam.GroupByKey()
        # Without it a runner would fuse all shards into one piece of work.
        | 'Spread' >> beam.Reshuffle()
        | 'ProcessShard' >> beam.ParDo(ProcessShard(self._job)))
