"""The pipeline: manifest rows, grouped by shard, each shard made in one piece."""

import collections
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_pipelines import guard
from beam_pipelines import job as job_lib
from beam_pipelines import manifest
from beam_pipelines import output_directory
from beam_pipelines import shards as shards_lib
from beam_pipelines import storage

METRICS = 'prepare'  # namespace of the counters


class ProcessShard(beam.DoFn):
  """Makes one shard per element, unless it is there already."""

  def __init__(self, job: job_lib.Job):
    self._job = job
    self._child = None
    self._counters = {name: Metrics.counter(METRICS, name)
                      for name in shards_lib.metric_names()}

  def setup(self):
    self._child = guard.Child(self._job.timeout_seconds)

  def teardown(self):
    if self._child is not None:
      self._child.close()

  def process(self, element: tuple[job_lib.ShardKey, Iterable[Any]]) -> Iterable[str]:
    key, rows = element
    rows = manifest.in_shard_order(row for row in rows if row is not None)
    job, name = self._job, self._job.shard_name(key)
    sidecar = output_directory.read_sidecar(job.output_dir, name)
    if (sidecar is not None
        and sidecar.get('fingerprint') == shards_lib.fingerprint(job, key, rows)
        and not (job.retry_rejected and sidecar['rejected'])):
      self._counters['shards_skipped'].inc()
      report_progress(job.output_dir, name, len(rows))
    else:
      meter = collections.Counter(shards_written=1)
      shards_lib.make_shard(
          job, key, rows, self._child,
          lambda done: report_progress(job.output_dir, name, done), meter)
      for metric, amount in meter.items():
        self._counters[metric].inc(amount)
    yield name


def _read_rows(job: job_lib.Job):
  report_progress(job.output_dir, 'rows', 0)  # says that a worker has begun
  yield from job_lib.keyed_rows(job)


def report_progress(output_dir: str, shard: str, done: int):
  """Leaves a number that the main process shows; works with every local engine."""
  if not storage.is_remote(output_dir):
    folder = storage.join(output_dir, storage.TEMPORARY)
    path = storage.join(folder, f'{shard}.progress')
    with open(path, 'w', encoding='ascii') as file:
      file.write(str(done))


class PrepareShards(beam.PTransform):
  """From nothing to the names of the job's shards, each complete when it comes out."""

  def __init__(self, job: job_lib.Job):
    super().__init__()
    self._job = job

  def expand(self, pbegin):
    return (
        pbegin
        | 'Job' >> beam.Create([self._job])
        | 'ReadRows' >> beam.FlatMap(_read_rows).with_output_types(
            beam.typehints.Tuple[beam.typehints.Tuple[str, int], Any])
        | 'GroupByShard' >> beam.GroupByKey()
        # Without it a runner would fuse all shards into one piece of work.
        | 'Spread' >> beam.Reshuffle()
        | 'ProcessShard' >> beam.ParDo(ProcessShard(self._job)))
