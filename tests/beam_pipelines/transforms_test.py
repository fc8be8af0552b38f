"""Tests of beam_pipelines.transforms."""

import json
import os
import subprocess
import sys

from apache_beam.testing import test_pipeline
from apache_beam.testing import util
import pytest

from beam_pipelines import config
from beam_pipelines import manifest
from beam_pipelines import storage
from beam_pipelines import transforms
from tests import tiny_videos
from tfmm.media import MediaError

_CONFIG = config.PrepareConfig(frame_rate=10, short_side=36, sample_rate=8000)


class FakeChild:
  """Answers as `guard.Child`, without decoding."""

  def __init__(self, bad=()):
    self.bad = dict(bad)
    self.asked = []

  def run(self, request):
    name = request['media_id']
    self.asked.append(name)
    yield name.encode(), {'frames': 10, 'seconds': 1.0, 'has_audio': 1,
                          'corrupt_frames': 0, 'bad_packets': 0, 'truncated': 0}
    if name in self.bad:
      raise MediaError(self.bad[name], 'as asked')


def _job(tmp_path, rows=4, **options):
  path = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [(f'v{k}.mp4', 'ab'[k % 2], 'train') for k in range(rows)])
  os.makedirs(tmp_path / 'out' / storage.TEMPORARY, exist_ok=True)
  return transforms.Job(**{
      'manifest_path': path, 'output_dir': str(tmp_path / 'out'), 'config': _CONFIG,
      'labels': ('a', 'b'), 'num_shards': {'train': 1}, **options})


def test_keyed_rows_name_every_shard(tmp_path):
  job = _job(tmp_path, rows=5, num_shards={'train': 3})
  pairs = list(transforms.keyed_rows(job))
  assert [key for key, row in pairs if row is None] == [('train', k) for k in range(3)]
  rows = [row for _, row in pairs if row is not None]
  assert [r.video_path for r in rows] == [f'v{k}.mp4' for k in range(5)]


def test_a_bad_video_leaves_no_trace_in_the_shard(tmp_path):
  job = _job(tmp_path)
  rows = manifest.in_shard_order(job.read_manifest())
  done = []
  bad = {rows[1].video_path: 'crashed'}
  with_bad = transforms.make_shard(job, ('train', 0), rows, FakeChild(bad), done.append)
  data = (tmp_path / 'out' / with_bad['file']).read_bytes()
  assert [r['reason'] for r in with_bad['rejected']] == ['crashed']
  assert with_bad['clips_per_video'] == [1, 1, 1] and done == [1, 2, 3, 4]
  without = transforms.make_shard(
      job, ('train', 0), [r for r in rows if r.video_path not in bad], FakeChild())
  assert (tmp_path / 'out' / without['file']).read_bytes() == data
  assert without['sha256'] == with_bad['sha256']
  assert without['fingerprint'] != with_bad['fingerprint']


def test_an_engine_fault_leaves_no_shard(tmp_path):
  class Broken(FakeChild):

    def run(self, request):
      yield from super().run(request)
      raise RuntimeError('no worker')

  job = _job(tmp_path)
  with pytest.raises(RuntimeError):
    transforms.make_shard(job, ('train', 0), job.read_manifest(), Broken())
  assert storage.list_names(job.output_dir) == [storage.TEMPORARY]
  assert storage.list_names(os.path.join(job.output_dir, storage.TEMPORARY)) == []


def _process(job, child):
  do_fn = transforms.ProcessShard(job)
  do_fn._child = child
  return list(do_fn.process((('train', 0), [None, *job.read_manifest()])))


def test_finished_shards_are_skipped_until_something_changes(tmp_path):
  job = _job(tmp_path)

  def asked(job, bad=()):
    child = FakeChild(bad)
    assert _process(job, child) == ['train-00000-of-00001.tfrecord']
    return len(child.asked)

  assert asked(job, {'v1.mp4': 'timeout'}) == 4
  assert asked(job) == 0
  assert asked(_job(tmp_path, retry_rejected=True)) == 4
  assert asked(_job(tmp_path, retry_rejected=True)) == 0  # nothing rejected any more
  assert asked(_job(tmp_path, labels=('A', 'a', 'b'))) == 4
  assert asked(_job(tmp_path, config=config.PrepareConfig(frame_rate=5))) == 4
  os.remove(tmp_path / 'out' / 'train-00000-of-00001.tfrecord')
  assert asked(job) == 4
  (tmp_path / 'v3.mp4').write_bytes(b'now it is there')
  assert asked(job) == 4
  path = tmp_path / 'out' / 'train-00000-of-00001.json'
  path.write_text('{"half a')
  assert asked(job) == 4
  assert json.loads(path.read_text())['num_videos'] == 4


def test_pipeline_makes_all_shards(tmp_path):
  manifest_path = tiny_videos.make_set(tmp_path, num_videos=4, splits=('train', 'test'))
  job = _job(tmp_path, manifest_path=manifest_path,
             num_shards={'train': 2, 'test': 1})
  names = [job.shard_name(key) for key in job.shard_keys()]
  with test_pipeline.TestPipeline(runner='FnApiRunner') as pipeline:
    out = pipeline | transforms.PrepareShards(job)
    util.assert_that(out, util.equal_to(names))
  sidecars = [transforms.read_sidecar(job.output_dir, name) for name in names]
  assert sum(s['num_videos'] for s in sidecars) == 4
  assert sum(s['seconds'] for s in sidecars) == pytest.approx(4.0)


def test_pipeline_code_imports_no_tensorflow():
  code = ('import sys; import beam_pipelines.prepare_videos; '
          'print("tensorflow" in sys.modules)')
  run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       check=True)
  assert run.stdout.strip() == 'False'
  assert run.stderr == ''
