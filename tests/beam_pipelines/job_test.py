"""Tests of beam_pipelines.job."""

from beam_pipelines import job as job_lib
from tests.beam_pipelines import tiny_jobs


def test_keyed_rows_name_every_shard(tmp_path):
  job = tiny_jobs.job(tmp_path, rows=5, num_shards={'train': 3})
  pairs = list(job_lib.keyed_rows(job))
  keys = [key for key, row in pairs if row is None]
  assert sorted(keys) == [('train', k) for k in range(3)]
  assert [row for _, row in pairs[:3]] == [None] * 3
  sizes = [sum(key == k for k, row in pairs if row is not None) for key in keys]
  assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 5
  rows = [row for _, row in pairs if row is not None]
  assert [r.video_path for r in rows] == [f'v{k}.mp4' for k in range(5)]
