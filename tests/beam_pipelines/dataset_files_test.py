"""Tests of beam_pipelines.dataset_files; the command's test covers the rest."""

import json
import os

import pytest

from beam_pipelines import config
from beam_pipelines import dataset_files
from beam_pipelines import job as job_lib
from beam_pipelines import storage
from tests import tiny_videos


def _job(tmp_path, **options):
  path = tiny_videos.write_manifest(tmp_path / 'm.csv', [('a.mp4', 'x', 'train')])
  return job_lib.Job(**{
      'manifest_path': path, 'output_dir': str(tmp_path / 'out'),
      'config': config.PrepareConfig(), 'labels': ('x',), 'num_shards': {'train': 1},
      **options})


def test_begin_sweeps_only_what_is_ours(tmp_path):
  out = tmp_path / 'out'
  (out / '_tmp').mkdir(parents=True)
  for name in ('_tmp/x', 'COMPLETED', 'test-00000-of-00001.tfrecord',
               'test-00000-of-00001.json', 'train-00000-of-00001.tfrecord',
               'notes.txt'):
    (out / name).write_text('x')
  dataset_files.begin(_job(tmp_path))
  assert storage.list_names(str(out)) == [
      '_tmp', 'notes.txt', 'options.json', 'train-00000-of-00001.tfrecord']
  assert os.listdir(out / '_tmp') == []


def test_options_of_the_split_count_only_for_hash_splits(tmp_path):
  assert 'split_seed' not in dataset_files.job_options(_job(tmp_path))
  options = dataset_files.job_options(_job(tmp_path, split_fractions={'train': 1.0}))
  assert options['split_seed'] == 0
  assert json.loads(json.dumps(options)) == options


def test_damaged_options_are_one_clear_line(tmp_path):
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'options.json').write_text('{')
  with pytest.raises(ValueError, match='damaged'):
    dataset_files.check_options(_job(tmp_path))


def test_a_new_split_is_no_change_of_options(tmp_path):
  dataset_files.begin(_job(tmp_path))
  dataset_files.check_options(_job(tmp_path, num_shards={'train': 1, 'test': 2}))
  with pytest.raises(ValueError, match='num_shards of train: 1 -> 3'):
    dataset_files.check_options(_job(tmp_path, num_shards={'train': 3}))


def test_finish_demands_every_shard(tmp_path):
  job = _job(tmp_path)
  dataset_files.begin(job)
  with pytest.raises(OSError, match='train-00000-of-00001.tfrecord is not complete'):
    dataset_files.finish(job, job.read_manifest())
  assert not (tmp_path / 'out' / 'COMPLETED').exists()
