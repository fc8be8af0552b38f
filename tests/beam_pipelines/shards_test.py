"""Tests of beam_pipelines.shards."""

import collections
import os

import pytest

from beam_pipelines import manifest
from beam_pipelines import shards as shards_lib
from beam_pipelines import storage
from tests.beam_pipelines import tiny_jobs


def test_a_bad_video_leaves_no_trace_in_the_shard(tmp_path):
  job = tiny_jobs.job(tmp_path)
  rows = manifest.in_shard_order(job.read_manifest())
  done = []
  bad = {rows[1].video_path: 'crashed'}
  meter = collections.Counter()
  with_bad = shards_lib.make_shard(
      job, ('train', 0), rows, tiny_jobs.FakeChild(bad), done.append, meter)
  data = (tmp_path / 'out' / with_bad['file']).read_bytes()
  assert [r['reason'] for r in with_bad['rejected']] == ['crashed']
  assert [v['clips'] for v in with_bad['videos']] == [1, 1, 1]
  assert done == [0, 1, 1, 2, 2, 3, 3, 4]  # at each sign of life, too
  assert meter['videos'] == 3 and meter['rejected_crashed'] == 1
  assert meter['microseconds_decode'] == 4 * 500_000
  assert meter['bytes'] == len(data) and set(meter) <= set(shards_lib.metric_names())
  without = shards_lib.make_shard(
      job, ('train', 0), [r for r in rows if r.video_path not in bad],
      tiny_jobs.FakeChild())
  assert (tmp_path / 'out' / without['file']).read_bytes() == data
  assert without['sha256'] == with_bad['sha256']
  assert without['fingerprint'] != with_bad['fingerprint']


def test_an_engine_fault_leaves_no_shard(tmp_path):
  class Broken(tiny_jobs.FakeChild):

    def run(self, request, alive=lambda: None):
      yield from super().run(request, alive)
      raise RuntimeError('no worker')

  job = tiny_jobs.job(tmp_path)
  with pytest.raises(RuntimeError):
    shards_lib.make_shard(job, ('train', 0), job.read_manifest(), Broken())
  assert storage.list_names(job.output_dir) == [storage.TEMPORARY]
  assert storage.list_names(os.path.join(job.output_dir, storage.TEMPORARY)) == []
