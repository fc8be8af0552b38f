"""Tests of beam_pipelines.manifest."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines import manifest
from tests import tiny_videos

_SHARED = Path(__file__).resolve().parents[3] / 'shared' / 'nasty' / 'csv'


def _read(tmp_path, text, **options):
  path = tmp_path / 'm.csv'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return manifest.read(str(path), **options)


def _row(path='a', labels=('x',), split='', group=None):
  return manifest.Row(path, path, labels, split, group or path, 2)


@pytest.mark.parametrize('text', [
    'video_path,label,split\na.mp4,0,train\nb.mp4,1,val\n',
    b'\xef\xbb\xbfvideo_path,label,split\r\na.mp4,0,train\r\nb.mp4,1,val\r\n',
    'video_path,label,split\n\na.mp4,0,train\n\n,,\nb.mp4,1,validation\n',
    'split,label,video_path\ntrain,0,a.mp4\nval,1,b.mp4\n',
    'video_path,label,split,note\na.mp4,0,train,hello\nb.mp4,1,val,\n',
    'video_path, label, split\n a.mp4 , 0 , train \nb.mp4,1,val\n',
    'video_path,label,split\na.mp4,0.0,train\nb.mp4,1.0,val\n',
])
def test_spellings_of_the_same_two_rows(tmp_path, text):
  rows = _read(tmp_path, text)
  assert [(r.video_path, r.labels, r.split) for r in rows] == [
      ('a.mp4', ('0',), 'train'), ('b.mp4', ('1',), 'validation')]
  assert rows[0].path == str(tmp_path / 'a.mp4')


@pytest.mark.parametrize('text, says', [
    ('', ['empty', 'video_path,label,split']),
    ('video_path,label\n', ['no rows']),
    ('a.mp4,0,train\nb.mp4,1,val\n', ['row 1', 'no column video_path and no column']),
    ('video_path;label;split\na;0;train\n', ['video_path', "commas, not by ';'"]),
    ('video_path,label\na.mp4,\n', ['row 2', 'a.mp4', 'empty']),
    ('video_path,label\n,3\n', ['row 2', 'video_path is empty']),
    ('video_path,label\na.mp4,0\nb.mp4,1.5\n', ['row 3', '1.5', 'whole numbers']),
    ('video_path,label\na.mp4,-1\n', ['row 2', '-1']),
    ('video_path,label\na.mp4,nan\n', ['row 2', 'nan']),
    ('video_path,label\na.mp4,inf\n', ['row 2', 'inf']),
    ('video_path,label\na.mp4,123456789\n', ['row 2', '99999']),
    ('video_path,label,split\na.mp4,0,training\n', ['row 2', "'training'", '(or val)']),
    ('video_path,label,split\na.mp4,0,\n', ['row 2', "split ''"]),
    ('video_path,label,split\na.mp4,0\n', ['row 2', "split ''"]),
    ('video_path,label\na.mp4,x\n\n./a.mp4,y\n', ['row 4', './a.mp4', 'row 2']),
    ('video_path,label,label\na.mp4,x,y\n', ['row 1', 'two columns', 'label']),
    (b'video_path,label\n\xff\xfe.mp4,x\n', ['not UTF-8', 'byte 17']),
])
def test_mistakes_are_one_clear_line(tmp_path, text, says):
  with pytest.raises(ValueError) as error:
    _read(tmp_path, text)
  message = str(error.value)
  assert '\n' not in message
  for words in says:
    assert words in message


def test_quoted_line_end_is_one_row_and_numbers_go_on(tmp_path):
  rows = _read(tmp_path, 'video_path,label\n"bad\nname.mp4",x\nb.mp4,"walk, run"\n')
  assert [(r.video_path, r.number) for r in rows] == [('bad\nname.mp4', 2),
                                                      ('b.mp4', 4)]
  assert rows[1].labels == ('walk, run',)


def test_missing_manifest_and_directory(tmp_path):
  with pytest.raises(FileNotFoundError, match='does not exist'):
    manifest.read(str(tmp_path / 'none.csv'))
  with pytest.raises(ValueError, match='is a directory'):
    manifest.read(str(tmp_path))


def test_video_root(tmp_path):
  [row] = _read(tmp_path, 'video_path,label\na.mp4,x\n', video_root='/films')
  assert row.path == '/films/a.mp4'
  [row] = _read(tmp_path, 'video_path,label\n/b/a.mp4,x\n', video_root='/films')
  assert row.path == '/b/a.mp4'


def test_several_labels(tmp_path):
  rows = _read(tmp_path, 'video_path,label\na,x|y\nb,y\n', label_separator='|')
  assert [r.labels for r in rows] == [('x', 'y'), ('y',)]
  with pytest.raises(ValueError, match='twice'):
    _read(tmp_path, 'video_path,label\na,x|x\n', label_separator='|')
  with pytest.raises(ValueError, match='empty'):
    _read(tmp_path, 'video_path,label\na,x|\n', label_separator='|')


def test_class_names_are_stable():
  assert manifest.class_names([_row(labels=('b',)), _row(labels=('a', 'B'))]) == [
      'B', 'a', 'b']
  assert manifest.class_names([_row(labels=(k,)) for k in ('10', '2')]) == [
      str(k) for k in range(11)]


def test_stable_hash_does_not_change():
  # A change of these would move every video of every data set to another split.
  assert manifest.stable_hash('split0', 'a.mp4') == 2596615277871496223
  assert manifest.stable_hash('shard', 'ünï.mp4') == 9027910802107919119


def _splits(rows, fractions, salt='0', method='hash'):
  return [r.split for r in manifest.with_splits(rows, fractions, salt, method)]


def test_split_by_hash_has_the_fractions_and_is_stable():
  fractions = {'train': 0.7, 'validation': 0.1, 'test': 0.2}
  rows = [_row(f'v{k}') for k in range(4000)]
  splits = _splits(rows, fractions)
  for split, share in fractions.items():
    assert abs(splits.count(split) / 4000 - share) < 0.03
  assert splits == _splits(rows, fractions)
  assert splits != _splits(rows, fractions, salt='1')
  assert splits[:100] == _splits(rows[:100], fractions)  # added rows move none
  assert set(_splits(rows, {'train': 1.0})) == {'train'}
  assert _splits([_row(split='test')], fractions) == ['test']


@pytest.mark.parametrize('per_class', [5, 10, 13, 200])
def test_stratified_split_gives_each_class_its_shares(per_class):
  fractions = {'train': 0.8, 'validation': 0.1, 'test': 0.1}
  rows = [_row(f'v{k}', labels=(f'c{k % 31}',)) for k in range(31 * per_class)]
  splits = _splits(rows, fractions, method='stratified')
  for split, share in fractions.items():
    for c in range(31):
      count = splits[c::31].count(split)
      assert abs(count - share * per_class) < 1 + 1e-9
    # Classes of few videos fill each split together.
    assert abs(splits.count(split) - share * len(rows)) < 3 * 31 ** .5
  assert splits == _splits(rows[::-1], fractions, method='stratified')[::-1]


def test_a_group_stays_together():
  rows = [_row(f'v{k}', group='g') for k in range(50)]
  fractions = {'train': 0.5, 'test': 0.5}
  for method in manifest.SPLIT_METHODS:
    assert len(set(_splits(rows, fractions, method=method))) == 1


def test_shards_are_even_and_order_does_not_depend_on_input():
  rows = [_row(f'v{k}') for k in range(2000)]
  counts = np.bincount([manifest.shard_of(r, 8) for r in rows], minlength=8)
  assert counts.min() > 200 and counts.max() < 300
  assert manifest.in_shard_order(rows) == manifest.in_shard_order(rows[::-1])


def test_count_by_label():
  rows = [_row(labels=('a',)), _row(labels=('a', 'b'))]
  assert manifest.count_by_label(rows, ['a', 'b', 'c']) == {'a': 2, 'b': 1, 'c': 0}


def test_rows_are_plain_data():
  assert dataclasses.is_dataclass(manifest.Row)
  hash(_row())


@pytest.mark.skipif(not _SHARED.is_dir(), reason='no shared examples')
@pytest.mark.parametrize('name', sorted(p.name for p in _SHARED.glob('*.csv'))
                         if _SHARED.is_dir() else [])
def test_shared_examples(name):
  good = {'ok': 2, 'bom_crlf': 2, 'blank_lines': 2, 'columns_swapped': 2,
          'extra_column': 2, 'text_labels': 2, 'empty_split': 1, 'spaces': 2,
          'quoted_newline': 2}
  stem = name.removesuffix('.csv')
  if stem == 'EXPECTED':
    return
  if stem in good:
    assert len(manifest.read(str(_SHARED / name))) == good[stem]
  else:
    with pytest.raises(ValueError) as error:
      manifest.read(str(_SHARED / name))
    assert '\n' not in str(error.value)


def test_parts_of_a_file(tmp_path):
  path = tiny_videos.write_manifest(tmp_path / 'm.csv', [
      ('a.mp4', 'x', '', ''), ('a.mp4', 'x', '1.5', '3'), ('a.mp4', 'y', '3', ''),
      ('a.mp4', 'y', '', '1.5')], header=('video_path', 'label', 'start_s', 'end_s'))
  rows = manifest.read(path)
  assert [(r.start_s, r.end_s) for r in rows] == [
      (None, None), (1.5, 3.0), (3.0, None), (None, 1.5)]
  assert [r.media_id for r in rows] == [
      'a.mp4', 'a.mp4#1.500-3.000', 'a.mp4#3.000-', 'a.mp4#0.000-1.500']
  splits = manifest.with_splits(rows, {'train': .5, 'test': .5}, '0', 'hash')
  assert len({r.split for r in splits}) == 1  # parts of one file stay together


@pytest.mark.parametrize('start_s, end_s, says', [
    ('x', '', "row 3: start_s 'x' is no time"),
    ('-1', '', "row 3: start_s '-1' is no time"),
    ('', 'inf', "row 3: end_s 'inf' is no time"),
    ('2', '2', 'row 3: end_s 2 is not after start_s 2'),
    ('0.5', '1', "row 3: this part of video_path 'a.mp4' is already in row 2"),
])
def test_wrong_parts(tmp_path, start_s, end_s, says):
  path = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [('a.mp4', 'x', '.5', '1'), ('a.mp4', 'x', start_s, end_s)],
      header=('video_path', 'label', 'start_s', 'end_s'))
  with pytest.raises(ValueError) as error:
    manifest.read(path)
  assert says in str(error.value)
