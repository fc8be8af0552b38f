"""Prepared shards of 12 small videos, and extractions of features of them."""

from pathlib import Path

from absl import flags
import numpy as np
import tensorflow as tf

from beam_pipelines import feature_config
from beam_pipelines import feature_extraction
from beam_pipelines import runner
from tests.data import tiny_shards

ONE = ('--direct_running_mode=in_memory', '--direct_num_workers=1')
TWO = ('--direct_running_mode=multi_threading', '--direct_num_workers=2')


def write_data(folder):
  """9 training videos in 3 shards, one in three clips; 3 test videos in 2 shards."""
  tiny_shards.write(folder, [tiny_shards.noise_video(
      f'v{k}', 8 + k, seed=k, labels=(k % 3,), has_audio=k != 2,
      clip_frames=5 if k == 4 else None) for k in range(9)], num_shards=3)
  return tiny_shards.write(folder, [
      tiny_shards.noise_video(f't{k}', 15, seed=50 + k) for k in range(3)],
                           split='test', num_shards=2)


def extract(data_dir, output_dir, encoder, *arguments, **options):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  options = {'steps': 4, **options}
  if not options.get('steps'):
    del options['steps']

  def run(rest):
    config = feature_config.FeatureConfig(encoder=str(encoder), **options)
    pipeline, dry_run = runner.make_pipeline('extract_features', rest)
    return feature_extraction.extract(
        config, str(data_dir), str(output_dir), pipeline=pipeline, dry_run=dry_run)

  return runner.guarded(run, ['extract_features', *(arguments or ONE)])


def contents(folder, pattern='*.tfrecord'):
  return {p.name: p.read_bytes() for p in sorted(Path(folder).glob(pattern))}


def records(folder):
  """{media_id: SequenceExample}, read without any of our code."""
  found = {}
  for path in sorted(Path(folder).glob('*.tfrecord')):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      example = tf.train.SequenceExample.FromString(record)
      [name] = example.context.feature['clip/media_id'].bytes_list.value
      found.setdefault(name.decode(), []).append(example)
  return found


def floats(example, name='RGB'):
  lists = example.feature_lists.feature_list[f'{name}/feature/floats'].feature
  return np.array([f.float_list.value for f in lists])
