"""Tests of beam_pipelines.output_directory."""

import json
import os

import pytest

from beam_pipelines import output_directory

_SHARD = 'train-00000-of-00001.tfrecord'
_SIDECAR = 'train-00000-of-00001.json'


@pytest.fixture(name='whole')
def whole_fixture(tmp_path):
  """A directory with one whole shard, as text."""
  (tmp_path / _SHARD).write_bytes(b'12345')
  output_directory.write_json(str(tmp_path), _SIDECAR, {'bytes': 5, 'é': [1]})
  return str(tmp_path)


def _damage(directory, name, content):
  path = os.path.join(directory, name)
  if content is None:
    os.remove(path)
  else:
    with open(path, 'w', encoding='utf-8') as file:
      file.write(content)


def test_files_are_utf8_with_one_line_per_entry(whole):
  with open(os.path.join(whole, _SIDECAR), encoding='utf-8') as file:
    assert file.read() == '{\n "bytes": 5,\n "é": [\n  1\n ]\n}\n'


def test_the_sidecar_of_a_whole_shard(whole):
  assert output_directory.read_sidecar(whole, _SHARD) == {'bytes': 5, 'é': [1]}
  assert list(output_directory.read_sidecars(whole, [_SHARD])) == [_SHARD]


@pytest.mark.parametrize('name, content', [
    (_SHARD, None), (_SHARD, '1234'), (_SIDECAR, None), (_SIDECAR, '{"bytes": '),
    (_SIDECAR, '{}'), (_SIDECAR, '[]')])
def test_a_shard_that_is_not_whole(whole, name, content):
  _damage(whole, name, content)
  assert output_directory.read_sidecar(whole, _SHARD) is None
  with pytest.raises(OSError, match=f'shard {_SHARD} is not complete in .*; run the'):
    output_directory.read_sidecars(whole, [_SHARD])


@pytest.mark.parametrize('name', [_SHARD, _SIDECAR, 'a.tfrecord', 'COMPLETED'])
def test_directories_of_others_are_refused(tmp_path, name):
  for other in ('notes.txt', 'labels.json'):
    (tmp_path / other).write_text('x')
  output_directory.refuse_others(str(tmp_path), 'this_command')
  output_directory.refuse_others(str(tmp_path / 'none'), 'this_command')
  (tmp_path / name).write_text('x')
  with pytest.raises(ValueError) as error:
    output_directory.refuse_others(str(tmp_path), 'this_command')
  assert str(error.value) == (
      f'{tmp_path} holds {name} but no options.json: it was not made by this_command. '
      'Give another --output_dir.')


def test_changed_options_are_refused():
  output_directory.refuse_changes('D', [])
  with pytest.raises(ValueError, match=r'D was begun with other options \(a: 1 -> 2; '
                     r'b: 3 -> 4\)\. Give another'):
    output_directory.refuse_changes('D', ['a: 1 -> 2', 'b: 3 -> 4'])


def test_from_begin_to_complete(whole):
  def is_complete(fingerprint='f', shards=(_SHARD,)):
    return output_directory.is_complete(whole, lambda: fingerprint, shards)

  os.makedirs(os.path.join(whole, '_tmp'), exist_ok=True)
  _damage(whole, '_tmp/left_over', 'x')
  _damage(whole, 'COMPLETED', '{"fingerprint": "f"}')
  assert is_complete()
  output_directory.begin(whole, {'frame_rate': 25})
  assert sorted(os.listdir(whole)) == [
      '_tmp', 'options.json', _SIDECAR, _SHARD]
  assert os.listdir(os.path.join(whole, '_tmp')) == []
  # What a fingerprint is made of is not read in vain.
  assert not output_directory.is_complete(whole, lambda: pytest.fail('read'), [_SHARD])

  output_directory.complete(whole, 'f', {'num_videos': 3})
  assert sorted(os.listdir(whole)) == [
      'COMPLETED', 'options.json', _SIDECAR, _SHARD]
  with open(os.path.join(whole, 'COMPLETED'), encoding='utf-8') as file:
    assert json.load(file) == {'fingerprint': 'f', 'num_videos': 3}
  assert is_complete() and not is_complete('other')
  assert not is_complete(shards=(_SHARD, 'test-00000-of-00001.tfrecord'))
  _damage(whole, _SHARD, '1')
  assert not is_complete()
