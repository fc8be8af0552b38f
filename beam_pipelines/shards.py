"""One shard: what it is made of, whether it is there, and making it.

Pure Python without Beam; `transforms` runs it.
"""

import collections
import contextlib
import importlib.metadata
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import av
import cv2
import numpy as np

from beam_pipelines import config as config_lib
from beam_pipelines import guard
from beam_pipelines import job as job_lib
from beam_pipelines import manifest
from beam_pipelines import output_directory
from beam_pipelines import storage
from beam_pipelines import tfrecord
from tfmm import schema
from tfmm.media import MediaError
from tfmm.media import clips

# Where CPU time goes: what a worker does for a clip, and writing the shard.
STAGES = (*clips.STAGES, 'record', 'write')


def metric_names() -> list[str]:
  """All counters of a job; times are CPU time."""
  return ['shards_written', 'shards_skipped', 'videos', 'frames', 'bytes',
          'microseconds_of_film', *(f'rejected_{r}' for r in schema.REJECT_REASONS),
          *(f'microseconds_{stage}' for stage in STAGES)]


def fingerprint(job: job_lib.Job, key: job_lib.ShardKey,
                rows: Sequence[manifest.Row]) -> str:
  """What decides a shard's content: rows, their files, labels, options."""
  index = {name: k for k, name in enumerate(job.labels)}
  return config_lib.fingerprint(
      job.config.to_dict(), job.shard_name(key),
      [[row.media_id, row.labels, [index[text] for text in row.labels],
        storage.content_mark(row.path)] for row in rows])


def versions() -> dict[str, str]:
  """Of what decides bytes; recorded, not compared."""
  return {
      'schema': str(schema.VERSION),
      'python': platform.python_version(),
      'beam': importlib.metadata.version('apache-beam'),
      'av': av.__version__,
      'libavcodec': '.'.join(map(str, av.library_versions['libavcodec'])),
      'opencv': cv2.__version__,
      'numpy': np.__version__,
  }


def make_shard(job: job_lib.Job, key: job_lib.ShardKey, rows: Sequence[manifest.Row],
               child: guard.Child,
               report: Callable[[int], Any] = lambda done: None,
               meter: collections.Counter | None = None) -> dict[str, Any]:
  """Decodes the rows of one shard and writes it, then its sidecar.

  Args:
    job: The job.
    key: Which shard.
    rows: Its rows in stored order.
    child: The decoding process.
    report: Called with the number of videos done, at every sign of life.
    meter: Counts what was done, by the names of `metric_names`.

  Returns:
    The sidecar.
  """
  name = job.shard_name(key)
  index = {text: k for k, text in enumerate(job.labels)}
  meter = collections.Counter() if meter is None else meter
  videos, rejected = [], []
  per_label = dict.fromkeys(job.labels, 0)
  with tfrecord.ShardWriter(job.output_dir, name) as writer:
    for done, row in enumerate(rows, start=1):
      request = {
          'path': row.path,
          'media_id': row.media_id,
          'data_path': row.video_path,
          'start_s': row.start_s,
          'end_s': row.end_s,
          'labels': row.labels,
          'label_indices': [index[text] for text in row.labels],
          'config': job.config.to_dict(),
      }
      writer.mark()
      summaries = []
      try:
        for record, summary in child.run(request, lambda: report(done - 1)):
          with _timed(meter, 'write'):
            writer.write(record)
          summaries.append(summary)
      except MediaError as error:
        writer.rollback()
        rejected.append({
            'video_path': row.media_id, 'label': '|'.join(row.labels),
            'split': key[0], 'reason': error.reason, 'detail': error.detail})
        meter[f'rejected_{error.reason}'] += 1
      else:
        videos.append({'media_id': row.media_id, **_of_video(summaries)})
        for text in row.labels:
          per_label[text] += 1
        meter['videos'] += 1
        meter['frames'] += videos[-1]['frames']
        meter['microseconds_of_film'] += round(1e6 * videos[-1]['seconds'])
      spent = summaries[-1]['stage_seconds'] if summaries else {}
      for stage, seconds in spent.items():
        meter[f'microseconds_{stage}'] += round(1e6 * seconds)
      report(done)
    with _timed(meter, 'write'):
      size, digest = writer.commit()
    meter['bytes'] += size
  sidecar = {
      'schema_version': schema.VERSION,
      'file': name,
      'fingerprint': fingerprint(job, key, rows),
      'sha256': digest,
      'bytes': size,
      'num_videos': len(videos),
      'num_clips': sum(video['clips'] for video in videos),
      'per_label': {text: count for text, count in per_label.items() if count},
      'videos': videos,
      'rejected': rejected,
      'versions': versions(),
  }
  output_directory.write_json(job.output_dir, schema.sidecar_name(name), sidecar)
  return sidecar


@contextlib.contextmanager
def _timed(meter, stage):
  begin = time.thread_time()
  try:
    yield
  finally:
    meter[f'microseconds_{stage}'] += round(1e6 * (time.thread_time() - begin))


def _of_video(summaries):
  """What the sidecar says of a video, from what the worker said of its clips."""
  last = summaries[-1]
  return {
      'clips': len(summaries),
      'seconds': round(sum(s['seconds'] for s in summaries), 6),
      'frames': sum(s['frames'] for s in summaries),
      'height': last['height'],
      'width': last['width'],
      'has_audio': int(any(s['has_audio'] for s in summaries)),
      'truncated': last['truncated'],
      'corrupt_frames': last['corrupt_frames'],
  }
