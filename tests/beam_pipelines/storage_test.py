"""Tests of beam_pipelines.storage."""

import os

from beam_pipelines import storage


def test_write_is_one_step_and_leaves_no_temporary(tmp_path):
  path = storage.join(str(tmp_path), 'x.json')
  storage.write_text(path, 'é\n')
  storage.write_text(path, 'new\n')
  assert storage.read_text(path) == 'new\n'
  assert os.listdir(tmp_path / storage.TEMPORARY) == []


def test_join_and_remote():
  assert storage.join('gs://b/d/', 'x') == 'gs://b/d/x'
  assert storage.is_remote('gs://b/x') and not storage.is_remote('/a/b:c')


def test_size_exists_remove(tmp_path):
  path = str(tmp_path / 'x')
  assert storage.size(path) is None and not storage.exists(path)
  storage.remove(path)
  (tmp_path / 'x').write_bytes(b'abc')
  assert storage.size(path) == 3 and storage.exists(path)
  assert storage.list_names(str(tmp_path)) == ['x']
  storage.remove(path)
  assert storage.list_names(str(tmp_path / 'none')) == []


def test_local_copy_of_a_local_file_is_itself(tmp_path):
  with storage.local_copy(str(tmp_path / 'x')) as path:
    assert path == str(tmp_path / 'x')
