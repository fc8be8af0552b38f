"""Tests of beam_pipelines.feature_shards: their bytes, and when they are made."""

import hashlib
import json

from beam_pipelines import feature_config
from beam_pipelines import feature_shards
from tests.beam_pipelines import tiny_encoders
from tests.beam_pipelines import tiny_extraction
from tests.data import tiny_shards

_extract = tiny_extraction.extract
_bytes = tiny_extraction.contents
_ONE = tiny_extraction.ONE
_TWO = tiny_extraction.TWO
_SMALL = tiny_encoders.SMALL


def test_bytes_do_not_depend_on_workers_and_the_encoder_is_loaded_once(
    data_dir, looker, tmp_path, monkeypatch):
  loads = []
  load = feature_shards.ShardHandler.load_model
  monkeypatch.setattr(feature_shards.ShardHandler, 'load_model',
                      lambda self: loads.append(1) or load(self))
  assert _extract(data_dir, tmp_path / 'one', looker, *_ONE, **_SMALL) == 0
  assert len(loads) == 1
  assert _extract(data_dir, tmp_path / 'two', looker, *_TWO, **_SMALL) == 0
  assert len(loads) == 2
  assert _bytes(tmp_path / 'one') == _bytes(tmp_path / 'two')
  assert len(_bytes(tmp_path / 'one')) == 5
  for name in ('dataset_info.json', 'COMPLETED'):
    assert len({(tmp_path / out / name).read_text() for out in ('one', 'two')}) == 1


def test_only_shards_of_changed_data_are_made_again(looker, tmp_path):
  videos = [tiny_shards.noise_video(f'v{k}', 8, seed=k) for k in range(4)]
  data_dir = tiny_shards.write(tmp_path / 'D', videos, num_shards=2)
  assert _extract(data_dir, tmp_path / 'F', looker, **_SMALL) == 0
  before = _bytes(tmp_path / 'F')
  videos[1] = tiny_shards.noise_video('v1', 9, seed=9)
  tiny_shards.write(tmp_path / 'D', videos, num_shards=2)
  assert _extract(data_dir, tmp_path / 'F', looker, **_SMALL) == 0
  after = _bytes(tmp_path / 'F')
  changed = [name for name in after if after[name] != before[name]]
  assert changed == ['train-00001-of-00002.tfrecord']


def test_a_damaged_shard_is_named(looker, tmp_path, capsys):
  data_dir = tiny_shards.write(tmp_path / 'D', [tiny_shards.noise_video('a', 8)])
  [shard] = (tmp_path / 'D').glob('*.tfrecord')
  content = bytearray(shard.read_bytes())
  shard.with_suffix('.json').write_text(json.dumps({
      'sha256': hashlib.sha256(content).hexdigest(), 'bytes': len(content)}))
  content[len(content) // 2] ^= 255
  shard.write_bytes(bytes(content))
  assert _extract(data_dir, tmp_path / 'F', looker, **_SMALL) == 1
  captured = capsys.readouterr()
  assert f'{shard} is damaged' in captured.err.splitlines()[-1]
  assert 'Traceback' not in captured.err + captured.out
  assert not list((tmp_path / 'F').glob('*.tfrecord'))


def test_workers_give_signs_of_life_at_each_batch(data_dir, looker, tmp_path):
  config = feature_config.FeatureConfig(
      encoder=looker, steps=4, batch_size=3, **_SMALL)
  loaded = feature_shards.ShardEncoder(config, str(data_dir))
  job = feature_shards.Job(
      config=config, data_dir=str(data_dir), output_dir=str(tmp_path), name='RGB',
      options=loaded.options)
  done = []
  sidecar = feature_shards.make_shard(
      job, 'train-00000-of-00003.tfrecord', loaded, done.append)
  assert sidecar['steps'] == [4, 4, 4]
  # After each of 4 batches, and after each of 3 videos.
  assert len(done) == 7 and done == sorted(done) and done[-1] == 3
  assert feature_shards.is_finished(job, 'train-00000-of-00003.tfrecord')
