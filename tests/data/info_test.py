import hashlib
import json

import pytest
import tensorflow as tf

from tests.data import tiny_shards
from tfmm import schema
from tfmm.data import info as info_lib


@pytest.fixture
def data(tmp_path):
  """A finished directory with one shard and the checksum beside it."""
  directory = tmp_path / 'data'
  tiny_shards.write(str(directory), [
      tiny_shards.noise_video(f'v{k}', 4, labels=(k,)) for k in range(3)],
      split='train', num_shards=1)
  [shard] = directory.glob('*.tfrecord')
  digest = hashlib.sha256(shard.read_bytes()).hexdigest()
  (directory / schema.sidecar_name(shard.name)).write_text(
      json.dumps({'sha256': digest}))
  return directory, shard


def read(directory):
  info = info_lib.load_info(str(directory))
  with info_lib.reading(info):
    [path] = [s['file'] for s in info.splits['train']['shards']]
    return list(tf.data.TFRecordDataset(str(directory / path)))


def flip(shard):
  content = bytearray(shard.read_bytes())
  content[200] ^= 255
  shard.write_bytes(content)


@pytest.mark.parametrize('harm, says', [
    (flip, 'is damaged'), (lambda s: s.write_bytes(s.read_bytes()[:300]), 'is damaged'),
    (lambda s: s.unlink(), 'is missing')])
def test_a_damaged_shard_is_named_with_the_way_to_mend_it(data, harm, says):
  directory, shard = data
  assert len(read(directory)) == 3
  harm(shard)
  with pytest.raises(
      OSError, match=f'{shard.name} {says}.*give the prepare_videos command') as error:
    read(directory)
  assert '\n' not in str(error.value)


def test_an_error_that_no_shard_explains_stays_as_it_is(data):
  info = info_lib.load_info(str(data[0]))
  with pytest.raises(tf.errors.NotFoundError):
    with info_lib.reading(info):
      tf.io.read_file(str(data[0] / 'nothing'))


@pytest.mark.parametrize('text, says', [
    ('{', 'is not JSON'), ('[]', 'schema_version None'),
    ('{"schema_version": 99}', 'schema_version 99'),
    (f'{{"schema_version": {schema.VERSION}}}', "has no entry 'labels'")])
def test_a_damaged_description_is_one_line(data, text, says):
  (data[0] / schema.DATASET_INFO).write_text(text)
  with pytest.raises(ValueError, match=says) as error:
    info_lib.load_info(str(data[0]))
  assert '\n' not in str(error.value)
