"""Tests of beam_pipelines.transforms."""

import json
import os
import subprocess
import sys

from apache_beam.testing import test_pipeline
from apache_beam.testing import util
import pytest

from beam_pipelines import config
from beam_pipelines import output_directory
from beam_pipelines import transforms
from tests import tiny_videos
from tests.beam_pipelines import tiny_jobs


def _process(job, child):
  do_fn = transforms.ProcessShard(job)
  do_fn._child = child
  return list(do_fn.process((('train', 0), [None, *job.read_manifest()])))


def test_finished_shards_are_skipped_until_something_changes(tmp_path):
  job = tiny_jobs.job(tmp_path)

  def asked(job, bad=()):
    child = tiny_jobs.FakeChild(bad)
    assert _process(job, child) == ['train-00000-of-00001.tfrecord']
    return len(child.asked)

  assert asked(job, {'v1.mp4': 'timeout'}) == 4
  assert asked(job) == 0
  assert asked(tiny_jobs.job(tmp_path, retry_rejected=True)) == 4
  # Nothing is rejected any more.
  assert asked(tiny_jobs.job(tmp_path, retry_rejected=True)) == 0
  assert asked(tiny_jobs.job(tmp_path, labels=('A', 'a', 'b'))) == 4
  assert asked(tiny_jobs.job(tmp_path, config=config.PrepareConfig(frame_rate=5))) == 4
  os.remove(tmp_path / 'out' / 'train-00000-of-00001.tfrecord')
  assert asked(job) == 4
  (tmp_path / 'v3.mp4').write_bytes(b'now it is there')
  assert asked(job) == 4
  assert asked(job) == 0
  (tmp_path / 'v3.mp4').write_bytes(b'now it is There')  # as many bytes, other ones
  assert asked(job) == 4
  path = tmp_path / 'out' / 'train-00000-of-00001.json'
  path.write_text('{"half a')
  assert asked(job) == 4
  assert json.loads(path.read_text())['num_videos'] == 4


def test_pipeline_makes_all_shards(tmp_path):
  manifest_path = tiny_videos.make_set(tmp_path, num_videos=4, splits=('train', 'test'))
  job = tiny_jobs.job(tmp_path, manifest_path=manifest_path,
             num_shards={'train': 2, 'test': 1})
  names = [job.shard_name(key) for key in job.shard_keys()]
  with test_pipeline.TestPipeline(runner='FnApiRunner') as pipeline:
    out = pipeline | transforms.PrepareShards(job)
    util.assert_that(out, util.equal_to(names))
  sidecars = [output_directory.read_sidecar(job.output_dir, name) for name in names]
  assert sum(s['num_videos'] for s in sidecars) == 4
  assert sum(v['seconds'] for s in sidecars for v in s['videos']) == pytest.approx(4.0)


def test_pipeline_code_imports_no_tensorflow():
  code = ('import sys; import beam_pipelines.prepare_videos; '
          'print("tensorflow" in sys.modules)')
  run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       check=True)
  assert run.stdout.strip() == 'False'
  assert run.stderr == ''
