"""Tests of tools/make_demo_videos.py: the truth, the files, the determinism."""

import csv
import dataclasses
import json
import subprocess
import sys

import av
import demo_scenes
import make_demo_videos as demo
import numpy as np
import pytest

TINY = demo_scenes.Options(num_videos=6, seed=3, seconds=4, size=32, frame_rate=5)


def _frames(path):
  with av.open(str(path)) as container:
    return np.stack([f.to_ndarray(format='rgb24')
                     for f in container.decode(video=0)])


@pytest.fixture(scope='module', name='made')
def _made(tmp_path_factory):
  folder = tmp_path_factory.mktemp('demo')
  demo.make_demo_videos(str(folder), TINY, processes=2)
  return folder


def test_files_are_h264_and_aac_of_the_asked_size_and_length(made):
  paths = sorted((made / 'videos').iterdir())
  assert [p.name for p in paths] == [f'{i:04d}.mp4' for i in range(1, 7)]
  for path in paths:
    with av.open(str(path)) as container:
      video, = container.streams.video
      sound, = container.streams.audio
      assert (video.codec_context.name, sound.codec_context.name) == ('h264', 'aac')
      assert (video.width, video.height, video.average_rate) == (32, 32, 5)
      assert sound.codec_context.sample_rate == demo_scenes.SOUND_RATE
      assert container.duration / 1e6 == pytest.approx(4, abs=.1)
    assert len(_frames(path)) == 20


def test_manifest_and_relevance_name_the_same_videos_and_labels(made):
  with open(made / 'manifest.csv', newline='') as f:
    rows = list(csv.DictReader(f))
  truth = json.loads((made / 'relevance.json').read_text())
  assert list(rows[0]) == ['video_path', 'label', 'split']
  assert truth['segments_per_video'] == 4
  assert {r['video_path']: r['label'] for r in rows} == {
      path: entry['label'] for path, entry in truth['videos'].items()}
  for entry in truth['videos'].values():
    assert [s['start_s'] for s in entry['segments']] == [0, 1, 2, 3]
    assert [s['end_s'] for s in entry['segments']] == [1, 2, 3, 4]
    kinds = {k for s in entry['segments'] for k in s['evidence']}
    sight, sound = demo_scenes.CLASSES[entry['label']]
    assert ('sound' in kinds) == bool(sound)
    assert bool(kinds & {'sight', 'motion'}) == bool(sight)


def test_same_options_give_same_bytes_of_truth_and_same_pixels(made, tmp_path):
  demo.make_demo_videos(str(tmp_path), TINY, processes=1)
  for name in ('manifest.csv', 'relevance.json'):
    assert (tmp_path / name).read_bytes() == (made / name).read_bytes()
  for path in sorted((made / 'videos').iterdir()):
    np.testing.assert_array_equal(
        _frames(path), _frames(tmp_path / 'videos' / path.name))


def test_splits_are_stratified():
  rows = demo.plan_labels(demo_scenes.Options(num_videos=400))
  for label in demo_scenes.CLASSES:
    splits = [split for name, split in rows if name == label]
    assert [splits.count(s) for s in ('train', 'validation', 'test')] == [28, 4, 8]
  rows = demo.plan_labels(demo_scenes.Options(num_videos=20))
  learned = {label for label, split in rows if split == 'train'}
  assert learned == set(demo_scenes.CLASSES)


def test_finished_set_is_kept_and_another_one_refused(made, capsys):
  before = {p: p.stat().st_mtime_ns for p in (made / 'videos').iterdir()}
  demo.make_demo_videos(str(made), TINY)
  assert 'there already' in capsys.readouterr().out
  assert before == {p: p.stat().st_mtime_ns for p in (made / 'videos').iterdir()}
  with pytest.raises(ValueError, match='another --output_dir'):
    demo.make_demo_videos(str(made), dataclasses.replace(TINY, seed=4))


def test_command_fails_in_one_line(tmp_path):
  done = subprocess.run(
      [sys.executable, demo.__file__, f'--output_dir={tmp_path}', '--size=31'],
      capture_output=True, text=True, check=False)
  assert done.returncode == 1
  assert done.stderr.strip().splitlines() == [
      'make_demo_videos: --size=31 is below 32; give --size=32 or more']


@pytest.mark.parametrize('arguments, says', [
    (['--output_dir=gs://bucket/videos'], 'is remote'),
    (['--output_dir=x', '--num_vids=3'], 'num_vids'), ([], '--output_dir'),
    (['--output_dir=x', 'stray'], "unexpected argument 'stray'")])
def test_mistaken_flags_are_one_line_and_make_nothing(tmp_path, arguments, says):
  done = subprocess.run(
      [sys.executable, demo.__file__, *arguments], capture_output=True, text=True,
      check=False, cwd=tmp_path)
  line, = done.stderr.strip().splitlines()
  assert done.returncode == 1 and line.startswith('make_demo_videos: ')
  assert says in line and not list(tmp_path.iterdir())
