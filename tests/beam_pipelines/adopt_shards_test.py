"""Tests of adopt_shards, from records of other writers to what training reads."""

import json
import os
import pathlib
import subprocess
import sys

from absl import flags
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import adopt_shards
from tests.beam_pipelines import tiny_foreign
from tfmm.data import dataset

ROOT = pathlib.Path(__file__).resolve().parents[2]
dmvr, mediapipe = tiny_foreign.dmvr, tiny_foreign.mediapipe


def _write(path, *examples):
  path.parent.mkdir(exist_ok=True)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for example in examples:
      writer.write(example.SerializeToString())
  return path


def _run(out, **options):
  values = flags.FlagValues()
  adopt_shards.define_flags(values)
  arguments = [f'--{name}={value}' for name, value in options.items()]
  values(['adopt_shards', f'--output_dir={out}', *arguments])
  return adopt_shards.main(['adopt_shards'], values)


def _info(out):
  return json.loads((out / 'dataset_info.json').read_text())


def _failure(capsys, out, **options):
  """The one line that the command says when it fails."""
  assert _run(out, **options) == 1
  err = capsys.readouterr().err
  assert err.startswith('adopt_shards: ') and len(err.splitlines()) == 1, err
  assert not out.exists() or not os.listdir(out)
  return err


def _spec(*views, modalities=('rgb',)):
  rgb = dataset.RgbFrames(num_frames=2, stride=4, size=32, short_side=36,
                          scale_range=(36, 36))
  return dataset.DatasetSpec(views=(rgb, *views), modalities=modalities,
                             num_segments=2, eval_segments=2)


def test_dmvr_records_are_read(tmp_path, capsys):
  """Two runs of DMVR's writer number the labels differently: names count."""
  old = tmp_path / 'old'
  _write(old / 'train-00000-of-00002', dmvr(10, 'run', 0), dmvr(60, 'eat', 1))
  _write(old / 'train-00001-of-00002', dmvr(110, 'run', 0))
  _write(old / 'test-00000-of-00001', dmvr(10, 'run', 1, name='t.mp4'))
  out = tmp_path / 'out'
  assert _run(out, train=old / 'train*', test=old / 'test*') == 0
  err = capsys.readouterr().err
  assert 'train: 3 videos, 3 records in 2 shards' in err
  assert '2 classes; 10 frames per second; sound: 8000 Hz; flow: none' in err
  assert {p.name for p in out.iterdir()} == {
      'train-00000-of-00002.tfrecord', 'train-00000-of-00002.json',
      'train-00001-of-00002.tfrecord', 'train-00001-of-00002.json',
      'test-00000-of-00001.tfrecord', 'test-00000-of-00001.json',
      'dataset_info.json', 'COMPLETED'}
  assert (out / 'train-00001-of-00002.tfrecord').is_symlink()
  info = _info(out)
  assert info['labels'] == ['eat', 'run'] and not info['multi_label']
  assert info['splits']['train']['per_label'] == {'eat': 1, 'run': 2}
  assert info['splits']['validation']['num_videos'] == 0
  assert info['options'] == {
      'schema_version': 1, 'foreign': True, 'frames': 'dense', 'frame_rate': 10.0,
      'short_side': 36, 'sample_rate': 8000, 'waveform': 'float', 'flow': '',
      'log_mels': []}

  sound = dataset.LogSpectrogram(sample_rate=8000, seconds=.64, n_fft=127, window=120,
                                 hop=80)
  spec = _spec(sound, modalities=('rgb', 'audio'))
  [batch] = dataset.make_dataset(spec, out, 'train', batch_size=3, training=False)
  assert batch['label'].numpy().tolist() == [1, 0, 1]
  assert batch['present'].numpy().tolist() == [[[1, 1]] * 2] * 3
  # Frames 0 and 4 of the first segment, 12 and 16 of the second.
  levels = batch['rgb'].numpy()[0].mean((2, 3, 4))
  np.testing.assert_allclose(levels, [[10, 18], [34, 42]], atol=1.5)
  np.testing.assert_allclose(batch['segment_times'][0], [[3, 3.8], [4.2, 5]], atol=1e-6)
  [batch] = dataset.make_dataset(spec, out, 'test', batch_size=1, training=False)
  assert batch['label'].numpy().tolist() == [1]
  assert batch['media_id'].numpy().tolist() == [b't.mp4']
  training = dataset.make_dataset(spec, out, 'train', batch_size=3, training=True)
  assert sorted(next(iter(training))['label'].numpy()) == [0, 1, 1]


def test_mediapipe_records_are_read(tmp_path, capsys):
  """Clips of one video that follow each other are one; gaps and labels part them."""
  second = 400_000
  _write(tmp_path / 'old' / 'x.tfrecord',
         mediapipe(start=0), mediapipe(start=second), mediapipe(start=3 * second),
         mediapipe(('eat', 'run'), start=4 * second), mediapipe(media_id='n'))
  out = tmp_path / 'out'
  assert _run(out, validation=tmp_path / 'old' / '*.tfrecord', copy=True) == 0
  assert not (out / 'validation-00000-of-00001.tfrecord').is_symlink()
  assert 'sound: none' in capsys.readouterr().err
  info = _info(out)
  assert info['labels'] == ['eat', 'run'] and info['multi_label']
  assert info['options']['sample_rate'] is None
  assert info['options']['frame_rate'] == 25
  [shard] = info['splits']['validation']['shards']
  assert shard == {'file': 'validation-00000-of-00001.tfrecord', 'num_videos': 4,
                   'clips_per_video': [2, 1, 1, 1]}
  [batch] = dataset.make_dataset(
      _spec(), out, 'validation', batch_size=4, training=False)
  assert batch['label'].numpy().tolist() == [[0, 1], [0, 1], [1, 1], [0, 1]]
  np.testing.assert_allclose(
      batch['segment_times'][0], [[0, .32], [.48, .8]], atol=1e-6)


def test_sidecars_find_damage(tmp_path):
  shard = _write(tmp_path / 'old' / 'x', dmvr(), dmvr())
  out = tmp_path / 'out'
  assert _run(out, train=shard) == 0
  data = bytearray(shard.read_bytes())
  data[len(data) // 2] ^= 255
  shard.write_bytes(data)
  info = dataset.load_info(out)
  with pytest.raises(OSError, match='is damaged'):
    with dataset.reading(info):
      list(dataset.make_dataset(_spec(), out, 'train', batch_size=2, training=False))


def test_labels_by_number(tmp_path):
  first, second = dmvr(label=None), dmvr(label=None)
  tiny_foreign.add_context(first, 'clip/label/index', 2)
  tiny_foreign.add_context(second, 'clip/label/index', 0)
  shard = _write(tmp_path / 'old' / 'x', first, second)
  assert _run(tmp_path / 'out', train=shard) == 0
  assert _info(tmp_path / 'out')['labels'] == ['0', '1', '2']
  [batch] = dataset.make_dataset(
      _spec(), tmp_path / 'out', 'train', batch_size=2, training=False)
  assert batch['label'].numpy().tolist() == [2, 0]


def test_flow_and_log_mels(tmp_path, capsys):
  example = mediapipe()
  lists = example.feature_lists.feature_list
  fields = lists['FORWARD_FLOW/image/encoded'].feature
  for _ in range(10):
    fields.add().bytes_list.value.append(tiny_foreign.jpeg(128))
  for _ in range(3):
    lists['melspec/feature/floats'].feature.add().float_list.value.extend([.5] * 12800)
  shard = _write(tmp_path / 'old' / 'x', example)
  assert _run(tmp_path / 'out', train=shard) == 0
  options = _info(tmp_path / 'out')['options']
  assert options['flow'] == 'unknown' and options['log_mels'] == ['mbt']
  capsys.readouterr()
  del fields[3:]
  shard = _write(tmp_path / 'old' / 'y', example)
  assert '10 frames and 3 fields of flow' in _failure(
      capsys, tmp_path / 'out2', train=shard)
  assert _run(tmp_path / 'out2', train=shard, flow=False) == 0
  assert _info(tmp_path / 'out2')['options']['flow'] == ''
  capsys.readouterr()
  tiny_foreign.add_context(example, 'FORWARD_FLOW/image/saturation', 10.0)
  for _ in range(7):
    fields.add().bytes_list.value.append(tiny_foreign.jpeg(128))
  shard = _write(tmp_path / 'old' / 'z', example)
  assert 'flow is of +-10 pixels, and only +-20' in _failure(
      capsys, tmp_path / 'out3', train=shard)


def test_sound_that_is_none_can_be_left_out(tmp_path):
  """DMVR's writer takes 32-bit integers for floats."""
  bad = dmvr(rate=0)
  integers = (1e9 * np.sin(np.arange(16000))).astype('<i4')
  bad.feature_lists.feature_list['WAVEFORM/feature/floats'].feature.add(
      ).float_list.value.extend(integers.view('<f4'))
  shard = _write(tmp_path / 'old' / 'x', bad)
  assert _run(tmp_path / 'out', train=shard) == 1
  assert _run(tmp_path / 'out', train=shard, sound=False) == 0
  assert _info(tmp_path / 'out')['options']['sample_rate'] is None


def test_what_cannot_be_used_is_told_by_file_and_record(tmp_path, capsys):
  unlabelled = dmvr()
  unlabelled.context.feature.pop('clip/label/text')
  unlabelled.context.feature.pop('clip/label/index')
  shard = _write(tmp_path / 'old' / 'x', dmvr(), unlabelled)
  assert f'{shard}, record 1: it has no label (' in _failure(
      capsys, tmp_path / 'out', train=shard)
  shard.write_bytes(shard.read_bytes()[:-7])
  assert f'{shard}, record 1: it is cut or damaged' in _failure(
      capsys, tmp_path / 'out', train=shard)
  shard.write_bytes(b'')
  assert 'the shards of --train hold no record' in _failure(
      capsys, tmp_path / 'out', train=shard)


def test_rates_of_the_command_line(tmp_path, capsys):
  examples = [dmvr(rate=9000), dmvr(rate=0)]
  for example in examples:
    del example.context.feature['clip/end/timestamp']
  shard = _write(tmp_path / 'old' / 'x', *examples)
  assert 'give --frame_rate.' in _failure(capsys, tmp_path / 'out', train=shard)
  assert _run(tmp_path / 'out', train=shard, frame_rate=10, sample_rate=9000) == 0
  assert 'note: 1 of 2 records have no sound.' in capsys.readouterr().err
  assert _info(tmp_path / 'out')['options']['sample_rate'] == 9000


def test_mistakes_of_the_command_line(tmp_path, capsys):
  shard = _write(tmp_path / 'old' / 'x', dmvr())
  out = tmp_path / 'out'
  assert 'no shards were given' in _failure(capsys, out)
  assert 'finds no file' in _failure(capsys, out, train=tmp_path / 'none*')
  assert 'is remote' in _failure(capsys, out, train='gs://bucket/x*')
  assert 'is found by --train and by --test' in _failure(
      capsys, out, train=shard, test=tmp_path / 'old' / '*')
  assert _run(out, train=shard) == 0
  capsys.readouterr()
  assert _run(out, train=shard) == 1
  assert 'is not empty, it holds COMPLETED' in capsys.readouterr().err


def test_as_a_command(tmp_path):
  _write(tmp_path / 'old' / 'x', dmvr())
  command = [sys.executable, '-m', 'beam_pipelines.adopt_shards']
  code = ('import sys, runpy\n'
          'try: runpy.run_module("beam_pipelines.adopt_shards", run_name="__main__")\n'
          'finally: assert not {"tensorflow", "apache_beam"} & set(sys.modules)\n')
  done = subprocess.run(
      [sys.executable, '-c', code, f'--train={tmp_path}/old/*',
       f'--output_dir={tmp_path}/out'], cwd=ROOT, capture_output=True, text=True,
      check=False)
  assert done.returncode == 0, done.stderr
  assert done.stderr.endswith(f'done: {tmp_path}/out\n')
  for arguments in (['--trian=x', '--output_dir=y'], ['--train=x']):
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('adopt_shards: ')
    assert len(done.stderr.splitlines()) == 1
