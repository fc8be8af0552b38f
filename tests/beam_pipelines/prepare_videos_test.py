"""Tests of the command, in this process where possible and killed where needed."""

import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from absl import flags
from absl.testing import flagsaver
import pytest

from beam_pipelines import prepare_videos
from beam_pipelines import shards as shards_lib
from tests import tiny_videos
from tfmm import directory_lock

_ROOT = Path(__file__).resolve().parents[2]
_SMALL = {'frame_rate': 10.0, 'short_side': 36, 'sample_rate': 8000}


def _run(manifest, out, *arguments, **options):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(manifest=str(manifest), output_dir=str(out),
                           **{**_SMALL, **options}):
    return prepare_videos.main(['prepare_videos', *arguments])


def _shards(out):
  return {p.name: p.read_bytes() for p in sorted(Path(out).glob('*.tfrecord'))}


def _rejected(out):
  with open(Path(out) / 'rejected.csv', encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def test_bad_videos_among_good_ones(tmp_path, capsys):
  tiny_videos.make_set(tmp_path, num_videos=4)
  (tmp_path / 'text.mp4').write_text('no film')
  tiny_videos.make(tmp_path / 'sound.mp4', video=False)
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [
      ('videos/v0.mp4', 'a', 'train'), ('gone, "quoted".mp4', 'b', 'train'),
      ('videos/v1.mp4', 'b', 'val'), ('text.mp4', 'a', 'test'),
      ('sound.mp4', 'a', 'train'), ('videos/v2.mp4', 'a', 'test')])
  assert _run(manifest, tmp_path / 'out') == 0
  assert [(r['video_path'], r['reason']) for r in _rejected(tmp_path / 'out')] == [
      ('gone, "quoted".mp4', 'missing'), ('text.mp4', 'open'),
      ('sound.mp4', 'no_video')]
  err = capsys.readouterr().err
  assert 'rejected: 3 (1 missing, 1 no_video, 1 open); see ' in err
  info = json.loads((tmp_path / 'out' / 'dataset_info.json').read_text())
  assert info['labels'] == ['a', 'b'] and info['multi_label'] is False
  assert {s: e['num_videos'] for s, e in info['splits'].items()} == {
      'train': 1, 'validation': 1, 'test': 1}
  assert info['splits']['train']['per_label'] == {'a': 1, 'b': 0}
  assert info['splits']['train']['shards'] == [{
      'file': 'train-00000-of-00001.tfrecord', 'num_videos': 1,
      'clips_per_video': [1]}]
  assert info['options']['frame_rate'] == 10.0
  assert (tmp_path / 'out' / 'COMPLETED').exists()
  assert not (tmp_path / 'out' / '_tmp').exists()

  # The same again says so; other options are refused with the difference.
  before = _shards(tmp_path / 'out')
  assert _run(manifest, tmp_path / 'out') == 0
  assert 'nothing to do' in capsys.readouterr().err
  assert _run(manifest, tmp_path / 'out', frame_rate=5.0) == 1
  err = capsys.readouterr().err
  assert 'frame_rate: 10.0 -> 5.0' in err and len(err.splitlines()) == 1
  assert _run(manifest, tmp_path / 'out', num_shards=2) == 1
  assert 'num_shards of train: 1 -> 2' in capsys.readouterr().err
  assert _shards(tmp_path / 'out') == before

  # The missing video comes: only its shard is made again.
  (tmp_path / 'videos' / 'v3.mp4').rename(tmp_path / 'gone, "quoted".mp4')
  assert _run(manifest, tmp_path / 'out') == 0
  after = _shards(tmp_path / 'out')
  changed = [name for name in after if after[name] != before[name]]
  assert changed == ['train-00000-of-00001.tfrecord']
  assert len(_rejected(tmp_path / 'out')) == 2


def test_split_by_hash_and_shards_do_not_depend_on_workers(tmp_path):
  manifest = tiny_videos.make_set(tmp_path, num_videos=8, seconds=.5)
  rows = list(csv.reader(open(manifest)))[1:]
  manifest = tiny_videos.write_manifest(manifest, [r[:2] for r in rows],
                                        header=('video_path', 'label'))
  fractions = {'split_fractions': ['train:0.6', 'test:0.4'], 'num_shards': 3}
  assert _run(manifest, tmp_path / 'one', '--direct_num_workers=1',
              '--direct_running_mode=in_memory', **fractions) == 0
  assert _run(manifest, tmp_path / 'two', '--direct_num_workers=2', **fractions) == 0
  one = _shards(tmp_path / 'one')
  assert one == _shards(tmp_path / 'two')
  assert len(one) == 6  # shards without a video are there too
  for name in ('dataset_info.json', 'rejected.csv', 'COMPLETED'):
    texts = {(tmp_path / out / name).read_text() for out in ('one', 'two')}
    assert len(texts) == 1


def test_stratified_split_fills_every_split(tmp_path, capsys):
  for k in range(10):
    tiny_videos.make(tmp_path / f'v{k}.mp4', seconds=.2)
  manifest = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [(f'v{k}.mp4', 'ab'[k % 2]) for k in range(10)],
      header=('video_path', 'label'))
  assert _run(manifest, tmp_path / 'out', split_method='stratified',
              split_fractions=['train:0.6', 'validation:0.2', 'test:0.2']) == 0
  info = json.loads((tmp_path / 'out' / 'dataset_info.json').read_text())
  assert {s: e['per_label'] for s, e in info['splits'].items()} == {
      'train': {'a': 3, 'b': 3}, 'validation': {'a': 1, 'b': 1},
      'test': {'a': 1, 'b': 1}}
  assert _run(manifest, tmp_path / 'out',
              split_fractions=['train:0.6', 'validation:0.2', 'test:0.2']) == 1
  assert 'split_method: stratified -> hash' in capsys.readouterr().err


def test_statistics_and_stages(tmp_path, capsys):
  tiny_videos.make(tmp_path / 'a.mp4', seconds=1)
  tiny_videos.make(tmp_path / 'b.mp4', seconds=3, sound=False, width=48, height=64)
  manifest = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [('a.mp4', 'x', 'train'), ('b.mp4', 'x', 'train')])
  assert _run(manifest, tmp_path / 'out', flow='dis_fast') == 0
  err = capsys.readouterr().err
  line = next(l for l in err.splitlines() if 'of CPU time' in l)
  for stage in ('decode', 'sound', 'scale', 'encode', 'flow', 'record', 'write'):
    assert re.search(rf'{stage} \d+%', line)
  split = json.loads((tmp_path / 'out' / 'dataset_info.json').read_text())[
      'splits']['train']
  assert split['seconds_per_video'] == {'min': 1.0, 'median': 2.0, 'mean': 2.0,
                                        'max': 3.0}
  assert (split['frames'], split['without_audio'], split['rejected']) == (40, 1, 0)
  assert split['frame_sizes'] == {'48x36': 1, '36x48': 1}
  assert split['bytes'] == sum(len(data) for data in _shards(tmp_path / 'out').values())


def test_parts_of_a_file_and_windows(tmp_path):
  tiny_videos.make(tmp_path / 'a.mp4', seconds=5)
  manifest = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [('a.mp4', 'x', 'train', 0, 2), ('a.mp4', 'y', 'train', 2, 4),
                           ('a.mp4', 'y', 'train', 7, 9)],
      header=('video_path', 'label', 'split', 'start_s', 'end_s'))
  assert _run(manifest, tmp_path / 'out', frames='segments', num_segments=2,
              segment_frames=5) == 0
  info = json.loads((tmp_path / 'out' / 'dataset_info.json').read_text())
  assert info['splits']['train']['num_videos'] == 2
  assert info['options']['frames'] == 'segments'
  assert [(r['video_path'], r['reason']) for r in _rejected(tmp_path / 'out')] == [
      ('a.mp4#7.000-9.000', 'no_frames')]


def test_options_of_windows_need_windows(tmp_path, capsys):
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [('a.mp4', 'x', 'train')])
  with flagsaver.flagsaver():
    flags.FLAGS['num_segments'].present = 1
    assert _run(manifest, tmp_path / 'out') == 1
  assert '--num_segments is for windows of long videos' in capsys.readouterr().err


def test_all_rejected(tmp_path, capsys):
  (tmp_path / 'a.mp4').write_text('no film')
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [('a.mp4', 'x', 'train')])
  assert _run(manifest, tmp_path / 'out') == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert 'all 1 videos were rejected (1 open)' in last
  assert _rejected(tmp_path / 'out')[0]['reason'] == 'open'
  assert not (tmp_path / 'out' / 'COMPLETED').exists()


def test_mistakes_do_not_touch_a_finished_directory(tmp_path, capsys):
  manifest = tiny_videos.make_set(tmp_path, num_videos=2, seconds=.5)
  out = tmp_path / 'out'
  assert _run(manifest, out) == 0
  before = {p.name: p.read_bytes() for p in out.iterdir()}
  rows = list(csv.reader(open(manifest)))[1:]
  more = tiny_videos.write_manifest(
      tmp_path / 'more.csv', [*rows, ['new.mp4', rows[0][1], rows[0][2]]])
  with directory_lock.hold(str(out), '--output_dir'):
    in_use = _run(more, out)
  capsys.readouterr()
  assert in_use == 1
  for says, arguments, options in (
      ('Correct the paths', (), {'video_root': '/none'}),
      ('runner: NopeRunner', ('--runner=NopeRunner',), {}),
      ('--dry_run is for DataflowRunner', ('--dry_run=True',), {})):
    assert _run(more, out, *arguments, **options) == 1
    err = capsys.readouterr().err
    assert says in err and len(err.splitlines()) == 1
  assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_a_shard_that_was_removed_or_cut_is_made_again(tmp_path):
  manifest = tiny_videos.make_set(
      tmp_path, num_videos=4, seconds=.5, splits=('train',))
  out = tmp_path / 'out'
  assert _run(manifest, out, num_shards=2) == 0
  before = _shards(out)
  first, second = sorted(out.glob('*.tfrecord'))
  untouched = second.stat().st_mtime_ns
  for harm in (first.unlink, lambda: first.write_bytes(before[first.name][:100])):
    harm()
    assert _run(manifest, out, num_shards=2) == 0
    assert _shards(out) == before and second.stat().st_mtime_ns == untouched


def test_split_flags_beside_a_split_column_are_refused(tmp_path, capsys):
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [('a.mp4', 'x', 'train')])
  with flagsaver.flagsaver():
    flags.FLAGS['split_seed'].present = 1
    assert _run(manifest, tmp_path / 'out') == 1
  assert 'has a column split; remove one' in capsys.readouterr().err


def test_a_fault_of_the_machine_is_one_line(tmp_path, capsys, monkeypatch):
  def full(*unused):
    raise OSError(28, 'No space left on device')

  manifest = tiny_videos.make_set(tmp_path, num_videos=1, seconds=.5)
  monkeypatch.setattr(shards_lib, 'make_shard', full)
  assert _run(manifest, tmp_path / 'out') == 1
  captured = capsys.readouterr()
  assert 'Traceback' not in captured.err + captured.out
  assert ('error: the pipeline stopped: OSError: [Errno 28] No space left on device'
          in captured.err.splitlines()[-1])


@pytest.mark.parametrize('arguments, options, says', [
    (['--runner=DaskRunner'], {}, 'runner DaskRunner is refused'),
    (['--runner=apache_beam.runners.dask.dask_runner.DaskRunner'], {}, 'refused'),
    (['--frame_rat=10'], {}, 'did you mean --frame_rate?'),
    (['--direct_num_worker=2'], {}, 'did you mean --direct_num_workers?'),
    (['stray'], {}, 'stray'),
    ([], {'short_side': 255}, 'short_side is 255'),
    ([], {'num_shards': 0}, 'num_shards is 0'),
    ([], {'timeout_seconds': 0.0}, 'timeout_seconds is 0'),
    ([], {'timeout_seconds': float('inf')}, 'timeout_seconds is inf'),
    (['--direct_num_workers=two'], {}, "invalid int value: 'two'"),
    (['--direct_running_mode=x'], {}, "invalid choice: 'x'"),
    ([], {}, 'none of the 1 videos'),
    ([], {'manifest': '/none.csv'}, 'manifest /none.csv does not exist'),
])
def test_mistakes_are_one_line(tmp_path, capsys, arguments, options, says):
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [('a.mp4', 'x', 'train')])
  options = {'manifest': manifest, **options}
  assert _run(options.pop('manifest'), tmp_path / 'out', *arguments, **options) == 1
  err = capsys.readouterr().err
  assert says in err and len(err.splitlines()) == 1
  assert not (tmp_path / 'out').exists()


def test_foreign_directory_is_not_touched(tmp_path, capsys):
  manifest = tiny_videos.write_manifest(tmp_path / 'm.csv', [('a.mp4', 'x', 'train')])
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'train-00000-of-00001.tfrecord').write_text('mine')
  assert _run(manifest, tmp_path / 'out') == 1
  assert 'not made by prepare_videos' in capsys.readouterr().err
  assert (tmp_path / 'out' / 'train-00000-of-00001.tfrecord').read_text() == 'mine'


def test_default_number_of_shards():
  assert [prepare_videos.default_num_shards(n) for n in (1, 9, 512, 4000, 240_000)] == [
      1, 2, 64, 64, 3750]


def _command(manifest, out):
  return [sys.executable, '-m', 'beam_pipelines.prepare_videos', '--manifest',
          str(manifest), '--output_dir', str(out), '--num_shards', '4',
          *(f'--{k}={v}' for k, v in _SMALL.items())]


def test_killed_run_goes_on_and_ends_the_same(tmp_path):
  manifest = tiny_videos.make_set(tmp_path, num_videos=12, splits=('train',), seconds=2,
                                  width=160, height=120)
  assert _run(manifest, tmp_path / 'whole', num_shards=4) == 0
  process = subprocess.Popen(_command(manifest, tmp_path / 'out'), cwd=_ROOT,
                             stderr=subprocess.PIPE)
  try:
    deadline = time.monotonic() + 60
    while not list((tmp_path / 'out').glob('train-*.json')):
      assert process.poll() is None and time.monotonic() < deadline
      time.sleep(0.005)
  finally:
    process.kill()  # SIGKILL; nothing if it has just ended
    process.communicate()
  kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / 'out').glob('*.json')
          if p.name.startswith('train')}
  assert not (tmp_path / 'out' / 'COMPLETED').exists()
  (tmp_path / 'out' / '_tmp').mkdir(exist_ok=True)
  (tmp_path / 'out' / '_tmp' / 'left over').write_text('x')
  run = subprocess.run(_command(manifest, tmp_path / 'out'), cwd=_ROOT,
                       capture_output=True, text=True, check=False)
  assert run.returncode == 0, run.stderr
  assert 'done: ' in run.stderr and 'Traceback' not in run.stderr
  assert _shards(tmp_path / 'out') == _shards(tmp_path / 'whole')
  for name, time_ns in kept.items():
    assert (tmp_path / 'out' / name).stat().st_mtime_ns == time_ns
  assert not (tmp_path / 'out' / '_tmp').exists()


def test_dataflow_job_is_built_and_validated_offline(tmp_path, capsys):
  pytest.importorskip('apache_beam.runners.dataflow.internal.clients.dataflow')
  manifest = tiny_videos.make_set(tmp_path / 'videos', num_videos=2)
  code = _run(
      manifest, tmp_path / 'data',
      '--runner=DataflowRunner', '--dry_run=True', '--no_auth', '--project=project',
      '--region=us-central1', '--temp_location=gs://some-bucket/tmp',
      '--staging_location=gs://some-bucket/staging',
      f'--setup_file={_ROOT / "setup.py"}')
  assert code == 0
  assert 'dry run: the job is valid' in capsys.readouterr().err
  assert not list((tmp_path / 'data').glob('*.tfrecord'))
