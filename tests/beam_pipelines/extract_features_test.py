"""Tests of whole extractions: in this process, from the command line, and killed."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from absl import flags
import cv2
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import feature_config
from beam_pipelines import feature_extraction
from beam_pipelines import feature_shards
from beam_pipelines import runner
from tests.beam_pipelines import tiny_encoders
from tests.data import tiny_shards
from tfmm import config as run_config
from tfmm import directory_lock
from tfmm.data import dataset
from tfmm.data import features

_ROOT = Path(__file__).resolve().parents[2]
_ONE = ('--direct_running_mode=in_memory', '--direct_num_workers=1')
_TWO = ('--direct_running_mode=multi_threading', '--direct_num_workers=2')
_SMALL = {'size': tiny_encoders.SIZE, 'short_side': 24}


@pytest.fixture(scope='module', name='data_dir')
def data_dir_fixture(tmp_path_factory):
  """9 training videos in 3 shards, one in three clips; 3 test videos in 2 shards."""
  folder = tmp_path_factory.mktemp('data')
  tiny_shards.write(folder, [tiny_shards.noise_video(
      f'v{k}', 8 + k, seed=k, labels=(k % 3,), has_audio=k != 2,
      clip_frames=5 if k == 4 else None) for k in range(9)], num_shards=3)
  return tiny_shards.write(folder, [
      tiny_shards.noise_video(f't{k}', 15, seed=50 + k) for k in range(3)],
                           split='test', num_shards=2)


@pytest.fixture(scope='module', name='looker')
def looker_fixture(tmp_path_factory):
  return tiny_encoders.looker(
      tmp_path_factory.mktemp('looker') / 'model', signature=False)


def _extract(data_dir, output_dir, encoder, *arguments, **options):
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

  return runner.guarded(run, ['extract_features', *(arguments or _ONE)])


def _bytes(folder, pattern='*.tfrecord'):
  return {p.name: p.read_bytes() for p in sorted(Path(folder).glob(pattern))}


def _records(folder):
  """{media_id: SequenceExample}, read without any of our code."""
  found = {}
  for path in sorted(Path(folder).glob('*.tfrecord')):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      example = tf.train.SequenceExample.FromString(record)
      [name] = example.context.feature['clip/media_id'].bytes_list.value
      found.setdefault(name.decode(), []).append(example)
  return found


def _floats(example, name='RGB'):
  lists = example.feature_lists.feature_list[f'{name}/feature/floats'].feature
  return np.array([f.float_list.value for f in lists])


def test_features_are_those_of_frames_decoded_by_opencv(data_dir, looker, tmp_path):
  assert _extract(data_dir, tmp_path / 'F', looker, batch_size=3, **_SMALL) == 0
  sources, found = _records(data_dir), _records(tmp_path / 'F')
  assert set(found) == set(sources) and len(found) == 12
  kernel = tiny_encoders.kernel(tiny_encoders.SIZE**2 * 3).astype(np.float64)
  for name, clips in sources.items():
    jpegs = [f.bytes_list.value[0] for clip in clips
             for f in clip.feature_lists.feature_list['image/encoded'].feature]
    total = len(jpegs)
    places = [i * (total - 1) // 3 for i in range(4)]
    frames = [cv2.imdecode(np.frombuffer(jpegs[k], np.uint8), cv2.IMREAD_COLOR)
              for k in places]
    # 24 x 32 pixels, of which the middle 16 x 16 are read; BGR to RGB.
    rows = np.stack([f[4:20, 8:24, ::-1] for f in frames]).reshape([4, -1]) / 255.
    [example] = found[name]
    np.testing.assert_allclose(_floats(example), rows @ kernel, rtol=1e-4, atol=1e-5)
    context = example.context.feature
    for key in ('clip/label/index', 'clip/start/timestamp'):
      assert context[key] == clips[0].context.feature[key]
    assert context['clip/end/timestamp'] == clips[-1].context.feature[
        'clip/end/timestamp']
    assert context['RGB/feature/dimensions'].int64_list.value == [tiny_encoders.DIM]
    assert context['tfmm/present/rgb'].int64_list.value == [1] * 4
    times = [f.int64_list.value[0] for f in example.feature_lists.feature_list[
        'RGB/feature/timestamp'].feature]
    assert times == [100_000 * k + 50_000 for k in places]
    index = context['clip/label/index'].int64_list.value[0]
    assert context['clip/label/text'].bytes_list.value == [b'abc'[index:index + 1]]


def test_what_stands_beside_the_shards(data_dir, looker, tmp_path, capsys):
  out = tmp_path / 'F'
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  err = capsys.readouterr().err
  assert '12 videos in 5 shards' in err and '48 steps of 12 videos in ' in err
  assert err.splitlines()[-1] == f'done: {out}'
  source = dataset.load_info(data_dir)
  info = features.load_info(str(out))
  assert info.labels == source.labels and set(info.splits) == set(source.splits)
  for split, entry in source.splits.items():
    assert info.splits[split]['num_videos'] == entry['num_videos']
    assert [s['file'] for s in info.splits[split]['shards']] == [
        s['file'] for s in entry['shards']]
  content = json.loads((out / 'dataset_info.json').read_text())
  assert content['views'] == {'rgb': {
      'key': 'RGB/feature/floats', 'dtype': 'float32', 'shape': [4, 5]}}
  assert content['options']['encoder']['path'] == looker
  assert len(content['options']['encoder']['sha256']) == 64
  assert content['options']['view']['class'] == 'RgbFrames'
  assert content['options']['data']['frame_rate'] == 10
  assert (out / 'COMPLETED').exists() and not (out / '_tmp').exists()
  with pytest.raises(ValueError, match="frames='features'"):
    dataset.make_dataset(
        dataset.DatasetSpec(views=(dataset.RgbFrames(),), modalities=('rgb',)),
        str(out), 'train', batch_size=1, training=False)


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


def test_finished_shards_are_kept(data_dir, looker, tmp_path, capsys):
  out = tmp_path / 'F'
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  before = _bytes(out)
  capsys.readouterr()
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  assert 'nothing to do' in capsys.readouterr().err
  # The encoder may move.
  moved = shutil.copytree(looker, tmp_path / 'moved')
  assert _extract(data_dir, out, moved, **_SMALL) == 0
  assert 'nothing to do' in capsys.readouterr().err

  first, second, *_ = sorted(out.glob('*.tfrecord'))
  untouched = second.stat().st_mtime_ns
  for harm in (first.unlink, lambda: first.write_bytes(before[first.name][:100]),
               (out / 'COMPLETED').unlink):
    harm()
    assert _extract(data_dir, out, looker, **_SMALL) == 0
    assert _bytes(out) == before and second.stat().st_mtime_ns == untouched


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


def test_other_options_are_refused_with_the_difference(
    data_dir, looker, tmp_path, capsys):
  out = tmp_path / 'F'
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  before = _bytes(out, '*')
  other = tiny_encoders.looker(tmp_path / 'other', seed=1, signature=False)
  for says, encoder, options in (
      ('steps: 4 -> 5', looker, {'steps': 5}),
      ('every_seconds: None -> 1.0; steps: 4 -> None', looker,
       {'steps': None, 'every_seconds': 1.0}),
      ('view.short_side: 24 -> 32', looker, {'short_side': 32}),
      ('pixels: 0..1 -> 0..255', looker, {'pixels': '0..255'}),
      ('name: RGB -> TEACHER', looker, {'name': 'TEACHER'}),
      ('segment_frames: 1 -> 4', looker, {'segment_frames': 4}),
      ('encoder.sha256: ', other, {})):
    capsys.readouterr()
    assert _extract(data_dir, out, encoder, **{**_SMALL, **options}) == 1
    err = capsys.readouterr().err
    assert says in err and 'Give another --output_dir' in err
    assert len(err.splitlines()) == 1
  capsys.readouterr()
  assert _extract(data_dir, out, looker, batch_size=2, **_SMALL) == 0
  assert 'nothing to do' in capsys.readouterr().err
  with directory_lock.hold(str(out), '--output_dir'):
    (out / 'COMPLETED').rename(tmp_path / 'COMPLETED')
    assert _extract(data_dir, out, looker, **_SMALL) == 1
    assert 'is in use by another process' in capsys.readouterr().err
    (tmp_path / 'COMPLETED').rename(out / 'COMPLETED')
  assert _bytes(out, '*') == before


def test_mistakes_are_one_line_and_make_nothing(data_dir, looker, tmp_path, capsys):
  foreign = tmp_path / 'foreign'
  foreign.mkdir()
  (foreign / 'a.tfrecord').write_text('mine')
  out = tmp_path / 'F'
  for says, data, where, encoder, arguments, options in (
      ('is not a finished dataset (no COMPLETED)', tmp_path, out, looker, (), {}),
      ('no saved_model.pb there; give a directory', data_dir, out, 'none', (), {}),
      ('reads float32 [None, 16, 16, 3], and --view=rgb gives', data_dir, out, looker,
       (), {'size': 24}),
      ('not made by extract_features', data_dir, foreign, looker, (), {}),
      ('runner DaskRunner is refused', data_dir, out, looker, ('--runner=DaskRunner',),
       {}),
      ('neither of extract_features nor of Beam', data_dir, out, looker, ('--nope=1',),
       {}),
      ('--dry_run is for DataflowRunner', data_dir, out, looker, ('--dry_run=True',),
       {}),
      ('without optical flow', data_dir, out, 'new:resnet.ResNet(depth=18, width=4, '
       'size=16, num_frames=None, in_channels=2, normalization="flow")', (),
       {'view': 'flow', 'fields': 1}),
      ('neither a run directory', data_dir, out, f'run:{tmp_path}/none/rgb', (),
       {'size': None, 'short_side': None})):
    options = {**_SMALL, **options}
    assert _extract(data, where, encoder, *arguments, **options) == 1
    err = capsys.readouterr().err
    assert says in err and len(err.splitlines()) == 1, err
  assert not out.exists() and (foreign / 'a.tfrecord').read_text() == 'mine'


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


def test_a_run_gives_what_it_sees_in_evaluation(data_dir, tmp_path, capsys):
  run_dir, _ = tiny_encoders.make_run(tmp_path / 'run', frame_rate=30.0)
  assert _extract(data_dir, tmp_path / 'F', f'run:{run_dir}/rgb', steps=10) == 0
  assert ('note: the encoder was trained at 30 frames a second and '
          f'{data_dir} has 10.') in capsys.readouterr().err
  run = run_config.load_run(run_dir)
  batches = dataset.make_dataset(run.dataset, data_dir, 'train', batch_size=9,
                                 training=False)
  [batch] = batches.as_numpy_iterator()
  found = _records(tmp_path / 'F')
  for name, rows in zip(batch['media_id'], batch['rgb']):
    expected = run.model.encoders['rgb'].backbone(rows, training=False)
    [example] = found[name.decode()]
    np.testing.assert_allclose(_floats(example), expected, rtol=1e-4, atol=1e-4)


def test_several_encoders_are_read_together(data_dir, looker, tmp_path):
  same = {'steps': 6, 'segment_frames': 4}
  listener = tiny_encoders.listener(tmp_path / 'listener')
  assert _extract(data_dir, tmp_path / 'rgb', looker, **same, **_SMALL) == 0
  assert _extract(data_dir, tmp_path / 'audio', listener, **same, view='audio',
                  seconds=.2, sample_rate=tiny_encoders.RATE) == 0
  dirs = {m: str(tmp_path / m) for m in ('rgb', 'audio')}
  [batch] = features.make_feature_dataset(
      dirs, 'train', batch_size=9, training=False).as_numpy_iterator()
  records = {m: _records(path) for m, path in dirs.items()}
  for k, name in enumerate(batch['media_id']):
    for m in dirs:
      [example] = records[m][name.decode()]
      np.testing.assert_array_equal(batch[m][k], _floats(example, m.upper()))
  silent = batch['media_id'].tolist().index(b'v2')
  assert batch['present'].sum() == 9 * 6 * 2 - 6
  assert not batch['present'][silent, :, 1].any()


def test_sound_that_is_missing_and_every_seconds(data_dir, tmp_path, capsys):
  listener = tiny_encoders.listener(tmp_path / 'listener')
  assert _extract(
      data_dir, tmp_path / 'F', listener, steps=None, every_seconds=.25, view='audio',
      seconds=.2, sample_rate=tiny_encoders.RATE) == 0
  assert '(4 have nothing to encode: zeros, marked as not present)' in (
      capsys.readouterr().err)
  found = _records(tmp_path / 'F')
  [silent] = found['v2']
  assert silent.context.feature['tfmm/present/audio'].int64_list.value == [0] * 4
  assert not _floats(silent, 'AUDIO').any()
  assert silent.context.feature['AUDIO/feature/rate'].float_list.value == [4.0]
  video = tiny_shards.noise_video('v8', 16, seed=8)
  [example] = found['v8']
  assert _floats(example, 'AUDIO').shape == (6, 5)  # 1.6 s: middles at .125 ... 1.375
  times = [f.int64_list.value[0] for f in example.feature_lists.feature_list[
      'AUDIO/feature/timestamp'].feature]
  kernel = tiny_encoders.kernel(tiny_encoders.PATCH).astype(np.float64)
  for time_us, row in zip(times, _floats(example, 'AUDIO')):
    middle = time_us * tiny_encoders.RATE // 1_000_000
    sound = video.waveform[middle - 800:middle + 800].reshape([4, -1])
    np.testing.assert_allclose(row, (sound @ kernel).mean(0), rtol=1e-4, atol=1e-5)


def _call(command, *arguments):
  done = subprocess.run([sys.executable, '-m', f'beam_pipelines.{command}', *arguments],
                        cwd=_ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  return done


def _command(data_dir, out, encoder):
  return [f'--data_dir={data_dir}', f'--output_dir={out}', f'--encoder={encoder}',
          '--steps=4', '--size=16', '--short_side=24', '--batch_size=2']


@pytest.mark.slow
def test_killed_run_goes_on_and_ends_the_same(data_dir, tmp_path):
  encoder = 'new:resnet.ResNet(depth=18, width=4, num_frames=None, size=16)'
  process = subprocess.Popen(
      [sys.executable, '-m', 'beam_pipelines.extract_features',
       *_command(data_dir, tmp_path / 'out', encoder)], cwd=_ROOT,
      stderr=subprocess.PIPE)
  try:
    deadline = time.monotonic() + 120
    while not list((tmp_path / 'out').glob('t*.json')):
      assert process.poll() is None and time.monotonic() < deadline
      time.sleep(.002)
  finally:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
  kept = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').glob('t*.json')}
  assert 0 < len(kept) < 5 and not (tmp_path / 'out' / 'COMPLETED').exists()
  done = _call('extract_features', *_command(data_dir, tmp_path / 'out', encoder))
  assert 'Traceback' not in done.stderr and 'Exception' not in done.stderr
  assert {p: p.stat().st_mtime_ns for p in kept} == kept
  _call('extract_features', *_command(data_dir, tmp_path / 'whole', encoder),
        '--direct_running_mode=multi_processing', '--direct_num_workers=2')
  assert _bytes(tmp_path / 'out') == _bytes(tmp_path / 'whole')


def test_flags_answer_without_tensorflow():
  code = ('import sys; import beam_pipelines.extract_features; '
          'print("tensorflow" in sys.modules)')
  run = subprocess.run([sys.executable, '-c', code], cwd=_ROOT, capture_output=True,
                       text=True, check=True)
  assert run.stdout.strip() == 'False' and run.stderr == ''


@pytest.mark.parametrize('arguments, says', [
    (['--data_dir=D'], 'Flag --output_dir must have a value other than None'),
    (['--data_dir=D', '--output_dir=F', '--encoder=E', '--steps=1', '--seconds=1'],
     'error: --seconds has no effect with --encoder=E')])
def test_mistaken_flags_are_one_line(arguments, says):
  run = subprocess.run(
      [sys.executable, '-m', 'beam_pipelines.extract_features', *arguments],
      cwd=_ROOT, capture_output=True, text=True, check=False)
  assert run.returncode == 1 and says in run.stderr
  assert len(run.stderr.splitlines()) == 1
