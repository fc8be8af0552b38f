"""Tests of tools/video_files.py."""

import os

import pytest
import video_files


def touch(folder, *names):
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


def test_finds_by_name_whatever_folder_and_extension(tmp_path):
  touch(tmp_path, 'a/b/one.MP4', 'two.webm', 'two.json', 'three.mp4.part', '.four.wav')
  files = video_files.VideoFiles(str(tmp_path))
  assert files.count == 2
  assert files.find(['one']) == 'a/b/one.MP4'
  assert files.find(['none', 'two', 'one']) == 'two.webm'
  assert files.find(['three']) is None and files.find(['ONE']) is None


def test_of_files_with_one_name_the_folder_decides_then_the_alphabet(tmp_path):
  touch(tmp_path, 'c/x.mp4', 'b/x.mkv', 'a/b/x.mp4')
  files = video_files.VideoFiles(str(tmp_path))
  assert files.find(['x']) == 'a/b/x.mp4'
  assert files.find(['x'], 'c') == 'c/x.mp4'
  assert files.find(['x'], 'none') == 'a/b/x.mp4'


def test_ids_in_brackets(tmp_path):
  touch(tmp_path, 'Some [odd] title [AbC-_123456].mp4')
  files = video_files.VideoFiles(str(tmp_path))
  assert files.find(['AbC-_123456']) == 'Some [odd] title [AbC-_123456].mp4'
  assert files.find(['odd']) is None


def test_links_are_followed_once_and_never_in_circles(tmp_path):
  touch(tmp_path, 'root/a/x.mp4', 'elsewhere/y.mp4')
  os.symlink(tmp_path / 'root', tmp_path / 'root' / 'a' / 'circle')
  os.symlink(tmp_path / 'elsewhere', tmp_path / 'root' / 'link')
  os.symlink(tmp_path / 'elsewhere', tmp_path / 'root' / 'second')
  found = sorted(video_files.scan(str(tmp_path / 'root')))
  assert found[0] == 'a/x.mp4' and len(found) == 2 and found[1].endswith('/y.mp4')


def test_files_are_not_asked_for_anything_but_their_names(tmp_path, monkeypatch):
  touch(tmp_path, *(f'{i}/{i}.mp4' for i in range(9)))
  monkeypatch.setattr(os, 'stat', lambda *a, **k: pytest.fail('stat'))
  monkeypatch.setattr(os.path, 'isdir', lambda path: True)
  assert len(list(video_files.scan(str(tmp_path)))) == 9
