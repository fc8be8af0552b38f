"""Which videos come when."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_dataset
from tfmm import schema
from tfmm.data import dataset


def test_same_seed_same_batches_whatever_the_global_seed(data_dir):
  tf.random.set_seed(1)
  first = tiny_dataset.train(data_dir, 7)
  tf.random.set_seed(2)
  for one, other in zip(first, tiny_dataset.train(data_dir, 7)):
    tiny_dataset.equal(one, other)
  other = tiny_dataset.train(data_dir, 7, seed=4)
  assert tiny_dataset.ids(first) != tiny_dataset.ids(other)


def test_an_epoch_is_whole_batches_of_distinct_videos_in_new_order(data_dir):
  ids = tiny_dataset.ids(tiny_dataset.train(data_dir, 6))
  epochs = ids[:12], ids[12:]
  assert all(len(set(epoch)) == 12 for epoch in epochs)
  assert epochs[0] != epochs[1]


@pytest.mark.parametrize('start', [1, 2, 3, 4, 7])
def test_resume_equals_the_undisturbed_stream(data_dir, start):
  whole = tiny_dataset.train(data_dir, 8)
  rest = tiny_dataset.train(data_dir, 8 - start, start_step=start)
  for one, other in zip(whole[start:], rest):
    tiny_dataset.equal(one, other)


def test_evaluation_keeps_stored_order_and_the_last_part(data_dir):
  options = {'batch_size': 2, 'training': False}
  read = lambda **more: list(dataset.make_dataset(
      tiny_dataset.spec(), data_dir, 'test', **options, **more).as_numpy_iterator())
  whole = read(drop_remainder=False)
  # The two shards hold videos 0, 2, 4 and 1, 3.
  assert tiny_dataset.ids(whole) == ['t0', 't2', 't4', 't1', 't3']
  assert [len(b['label']) for b in whole] == [2, 2, 1]
  assert tiny_dataset.ids(read()) == ['t0', 't2', 't4', 't1']
  assert whole[0]['rgb'].shape == (2, 4, 3, 16, 16, 3)


@pytest.mark.parametrize('workers', [2, 4])
def test_workers_share_the_global_batches(data_dir, workers):
  whole = tiny_dataset.train(data_dir, 5)
  parts = [
      tiny_dataset.train(data_dir, 5, input_context=tf.distribute.InputContext(
          num_input_pipelines=workers, input_pipeline_id=k,
          num_replicas_in_sync=workers))
      for k in range(workers)]
  for step, batch in enumerate(whole):
    joined = {key: np.concatenate([part[step][key] for part in parts])
              for key in batch}
    tiny_dataset.equal(joined, batch)


def test_replicas_of_one_worker_get_successive_parts(data_dir):
  context = tf.distribute.InputContext(
      num_input_pipelines=1, input_pipeline_id=0, num_replicas_in_sync=2)
  parts = tiny_dataset.train(data_dir, 4, input_context=context)
  assert tiny_dataset.ids(parts) == tiny_dataset.ids(tiny_dataset.train(data_dir, 2))
  context = tf.distribute.InputContext(num_replicas_in_sync=3)
  with pytest.raises(ValueError, match='batch_size=4 .* 3 replicas'):
    tiny_dataset.train(data_dir, 1, input_context=context)


def test_shards_with_another_number_of_videos_fail(data_dir, tmp_path):
  broken = tmp_path / 'broken'
  shutil.copytree(data_dir, broken)
  path = broken / schema.DATASET_INFO
  info = json.loads(path.read_text())
  info['splits']['test']['num_videos'] = 6
  path.write_text(json.dumps(info))
  batches = dataset.make_dataset(
      tiny_dataset.spec(), str(broken), 'test', batch_size=1, training=False)
  with pytest.raises(tf.errors.OpError, match='6'):
    list(batches)
