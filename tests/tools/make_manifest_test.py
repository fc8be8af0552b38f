"""Tests of tools/make_manifest.py on small annotation files in the official formats."""

import csv
import gzip
import json
import os
import subprocess
import sys

from absl import flags
import corpus_readers
import make_manifest
import pytest

from beam_pipelines import manifest
from tests import tiny_videos

NAME = 'AbCdEfG-_{}'  # ids of YouTube have 11 letters, digits, - and _
KINETICS_HEADER = 'label,youtube_id,time_start,time_end,split,is_cc\n'


def touch(folder, *names):
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


@pytest.fixture(name='make')
def _make(tmp_path):
  """Runs the tool in this process; returns the rows of the manifest as dicts."""
  def make(dataset, *arguments, annotations='annotations'):
    values = flags.FlagValues()
    make_manifest.define_flags(values)
    given = [] if annotations is None else [
        f'--annotations={tmp_path / annotations}']
    make_manifest.main(values([
        'make_manifest', f'--dataset={dataset}', f'--video_dir={tmp_path / "videos"}',
        f'--output={tmp_path / "manifest.csv"}', *given, *arguments]), values)
    return read_csv(tmp_path / 'manifest.csv')
  return make


def read_csv(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


def failure(make, *arguments, **options):
  with pytest.raises(SystemExit) as error:
    make(*arguments, **options)
  said = error.value.code
  assert said.startswith('make_manifest: ') and '\n' not in said
  return said


def by_path(rows, column):
  return {row['video_path'].removeprefix('videos/'): row[column] for row in rows}


# --- Kinetics ----------------------------------------------------------------------


def write_kinetics(folder):
  folder.mkdir(exist_ok=True)
  (folder / 'train.csv').write_text(
      KINETICS_HEADER
      + ''.join(f'bowling,{NAME.format(i)},{i},{i + 10},train,0\n'
                for i in range(10, 14))
      + f'"abseiling",{NAME.format(20)},5,15,train,1\n')
  (folder / 'val.csv').write_text(
      KINETICS_HEADER.replace(',is_cc', '')
      + f'bowling,{NAME.format(30)},0,10,validate\n')
  (folder / 'test.csv').write_text(
      f'youtube_id,time_start,time_end,split\n{NAME.format(40)},0,10,test\n')


def test_kinetics_files_of_every_usual_name(make, tmp_path, capsys):
  write_kinetics(tmp_path / 'annotations')
  touch(tmp_path / 'videos',
        'bowling/AbCdEfG-_10_000010_000020.mp4', 'flat/AbCdEfG-_11_11_21.WEBM',
        'AbCdEfG-_12.mkv', 'A title [AbCdEfG-_20].mp4',
        'val/AbCdEfG-_30_000000_000010.avi', 'AbCdEfG-_13.mp4.part', 'readme.txt')
  rows = make('kinetics400')
  assert [(r['video_path'], r['label'], r['split'], r['start_s'], r['end_s'])
          for r in rows] == [
      ('videos/bowling/AbCdEfG-_10_000010_000020.mp4', 'bowling', 'train', '', ''),
      ('videos/flat/AbCdEfG-_11_11_21.WEBM', 'bowling', 'train', '', ''),
      ('videos/AbCdEfG-_12.mkv', 'bowling', 'train', '12', '22'),
      ('videos/A title [AbCdEfG-_20].mp4', 'abseiling', 'train', '5', '15'),
      ('videos/val/AbCdEfG-_30_000000_000010.avi', 'bowling', 'test', '', '')]
  said = capsys.readouterr().err
  assert '1 clips of the official test split: left out' in said
  assert '2 clips are to be cut out of whole videos' in said and '--trimmed' in said
  assert '5 video files' in said and '5 of 6 found, 2 classes: 4 train, 1 test' in said
  assert ['bowling', '5', '4', '1'] in [line.split() for line in said.splitlines()]
  assert 'no validation videos' in said


def test_kinetics_files_that_are_cut_already(make, tmp_path):
  write_kinetics(tmp_path / 'annotations')
  touch(tmp_path / 'videos', 'AbCdEfG-_12.mp4', 'AbCdEfG-_30.mp4')
  rows = make('kinetics400', '--trimmed')
  assert list(rows[0]) == ['video_path', 'label', 'split'] and len(rows) == 2


def test_one_file_is_one_row(make, tmp_path, capsys):
  (tmp_path / 'annotations').mkdir()
  (tmp_path / 'annotations' / 'train.csv').write_text(KINETICS_HEADER + ''.join(
      f'bowling,{NAME.format(10)},{n},{n + 10},train,0\n' for n in (0, 0, 50)))
  touch(tmp_path / 'videos', f'{NAME.format(10)}.mp4')
  assert [row['start_s'] for row in make('kinetics400')] == ['0', '50']
  assert 'name a file' not in capsys.readouterr().err
  assert len(make('kinetics400', '--trimmed')) == 1
  assert '1 rows name a file that another row has' in capsys.readouterr().err
  manifest.read(str(tmp_path / 'manifest.csv'))


def test_kinetics_official_test_split(make, tmp_path):
  write_kinetics(tmp_path / 'annotations')
  (tmp_path / 'annotations' / 'test.csv').write_text(
      KINETICS_HEADER + f'bowling,{NAME.format(40)},0,10,test,0\n')
  touch(tmp_path / 'videos', 'AbCdEfG-_10.mp4', 'AbCdEfG-_30.mp4',
        'AbCdEfG-_40.mp4')
  assert by_path(make('kinetics400'), 'split') == {
      'AbCdEfG-_10.mp4': 'train', 'AbCdEfG-_30.mp4': 'test'}
  assert by_path(make('kinetics400', '--official_test'), 'split') == {
      'AbCdEfG-_10.mp4': 'train', 'AbCdEfG-_30.mp4': 'validation',
      'AbCdEfG-_40.mp4': 'test'}
  assert 'has one; leave it out' in failure(
      make, 'kinetics400', '--official_test', '--validation_fraction=0.1')


def test_kinetics_sounds_has_the_31_classes_that_are_left(make, tmp_path, capsys):
  names = corpus_readers.KINETICS_SOUNDS
  assert len(set(names)) == len(names) == 31 and list(names) == sorted(names)
  assert sum(name.startswith('playing ') for name in names) == 15
  write_kinetics(tmp_path / 'annotations')
  touch(tmp_path / 'videos', 'AbCdEfG-_10.mp4', 'AbCdEfG-_20.mp4')
  assert by_path(make('kinetics_sounds'), 'label') == {'AbCdEfG-_10.mp4': 'bowling'}
  assert '30 of 31 classes are not in the annotations' in capsys.readouterr().err


@pytest.mark.parametrize('text', [
    'a,b\n1,2\n', KINETICS_HEADER + 'bowling,x,1,ten,train,0\n',
    KINETICS_HEADER + 'bowling,x,1,11,training set,0\n', KINETICS_HEADER + 'bowling\n'])
def test_wrong_annotations_of_kinetics(make, tmp_path, text):
  (tmp_path / 'annotations').mkdir()
  (tmp_path / 'annotations' / 'train.csv').write_text(text)
  said = failure(make, 'kinetics400')
  assert 'train.csv:2: ' in said and 'expected train.csv and val.csv' in said
  assert 'label,youtube_id,time_start,time_end,split' in said


# --- ActivityNet -------------------------------------------------------------------


def write_activitynet(path):
  def entry(subset, *spans):
    return {'duration': 99.5, 'subset': subset, 'url': '', 'resolution': '320x240',
            'annotations': [{'label': label, 'segment': [start, end]}
                            for label, start, end in spans]}

  path.write_text(json.dumps({'version': 'VERSION 1.3', 'taxonomy': [], 'database': {
      'aaaaaaaaaaa': entry('training', ('Rafting', 1.5, 20.25), ('Rafting', 30, 40),
                           ('Rafting', 30.0001, 40.0001)),
      'bbbbbbbbbbb': entry('training', ('Surfing', 0, 5), ('Rafting', 10, 40)),
      'ccccccccccc': entry('validation', ('Surfing', 3, 9), ('Surfing', 9, 3)),
      'ddddddddddd': entry('testing')}}))


def test_activitynet_whole_videos(make, tmp_path, capsys):
  (tmp_path / 'annotations').mkdir()
  write_activitynet(tmp_path / 'annotations' / 'activity_net.v1-3.min.json')
  touch(tmp_path / 'videos', 'v_aaaaaaaaaaa.mp4', 'bbbbbbbbbbb.mkv',
        'v_ccccccccccc.mp4', 'v_ddddddddddd.mp4')
  assert make('activitynet') == [
      {'video_path': 'videos/v_aaaaaaaaaaa.mp4', 'label': 'Rafting', 'split': 'train'},
      {'video_path': 'videos/bbbbbbbbbbb.mkv', 'label': 'Rafting', 'split': 'train'},
      {'video_path': 'videos/v_ccccccccccc.mp4', 'label': 'Surfing', 'split': 'test'}]
  said = capsys.readouterr().err
  assert '1 videos have no public labels (testing)' in said
  assert '1 videos have several labels: the one annotated longest' in said


def test_activitynet_all_labels(make, tmp_path, capsys):
  write_activitynet(tmp_path / 'annotations')  # the file itself, whatever its name
  touch(tmp_path / 'videos', 'v_aaaaaaaaaaa.mp4', 'v_bbbbbbbbbbb.mp4')
  assert by_path(make('activitynet', '--multi_label'), 'label') == {
      'v_aaaaaaaaaaa.mp4': 'Rafting', 'v_bbbbbbbbbbb.mp4': 'Rafting|Surfing'}
  assert "--label_separator='|'" in capsys.readouterr().err
  rows = manifest.read(str(tmp_path / 'manifest.csv'), label_separator='|')
  assert rows[1].labels == ('Rafting', 'Surfing')


def test_activitynet_segments(make, tmp_path, capsys):
  write_activitynet(tmp_path / 'annotations')
  touch(tmp_path / 'videos', 'v_aaaaaaaaaaa.mp4', 'v_ccccccccccc.mp4')
  rows = make('activitynet', '--clips=segments')
  assert [tuple(row.values()) for row in rows] == [
      ('videos/v_aaaaaaaaaaa.mp4', 'Rafting', 'train', '1.5', '20.25', 'aaaaaaaaaaa'),
      ('videos/v_aaaaaaaaaaa.mp4', 'Rafting', 'train', '30', '40', 'aaaaaaaaaaa'),
      ('videos/v_ccccccccccc.mp4', 'Surfing', 'test', '3', '9', 'ccccccccccc')]
  assert list(rows[0])[3:] == ['start_s', 'end_s', 'group']
  assert '1 segments end before they begin' in capsys.readouterr().err
  assert [row.media_id for row in manifest.read(str(tmp_path / 'manifest.csv'))] == [
      'videos/v_aaaaaaaaaaa.mp4#1.500-20.250', 'videos/v_aaaaaaaaaaa.mp4#30.000-40.000',
      'videos/v_ccccccccccc.mp4#3.000-9.000']


@pytest.mark.parametrize('text, says', [
    ('{}', "no entry 'database'"), ('[1', 'cannot be read'),
    ('{"database": {"x": {"subset": "train", "annotations": []}}}', "entry 'x'"),
    ('{"database": {"x": {"subset": "training", "annotations": [{"label": "a"}]}}}',
     'segment: [start, end]')])
def test_wrong_annotations_of_activitynet(make, tmp_path, text, says):
  (tmp_path / 'annotations').write_text(text)
  assert says in failure(make, 'activitynet')


def test_two_releases_in_one_folder(make, tmp_path):
  touch(tmp_path / 'annotations', 'activity_net.v1-2.min.json',
        'activity_net.v1-3.min.json')
  assert 'give the file itself' in failure(make, 'activitynet')


# --- FCVID -------------------------------------------------------------------------


def write_fcvid(folder, labels='1\t0\t0\n0\t1\t1\n0\t0\t0\n0\t0\t1\n'):
  folder.mkdir(exist_ok=True)
  (folder / 'FCVID_VideoName_TrainTestSplit.txt').write_text(
      'beach/one.mp4\ttrain\npanda/two.mp4\ttest\nbeach/none.mp4\ttrain\n'
      'beach/two.mp4\ttrain\n')
  (folder / 'FCVID_Label.txt').write_text(labels)


def test_fcvid(make, tmp_path, capsys):
  write_fcvid(tmp_path / 'annotations')
  touch(tmp_path / 'videos', 'beach/one.mp4', 'panda/two.mp4', 'beach/two.mp4')
  rows = make('fcvid')
  assert [tuple(row.values()) for row in rows] == [
      ('videos/beach/one.mp4', '0', 'train'), ('videos/panda/two.mp4', '1|2', 'test'),
      ('videos/beach/two.mp4', '2', 'train')]
  said = capsys.readouterr().err
  assert '1 videos have no label' in said and '--class_names' in said
  (tmp_path / 'names.txt').write_text('1 beach\n2 making cake\n3 panda\n')
  rows = make('fcvid', '--nomulti_label', f'--class_names={tmp_path / "names.txt"}')
  assert [row['label'] for row in rows] == ['beach', 'making cake', 'panda']
  assert '1 videos have several labels: the first' in capsys.readouterr().err


@pytest.mark.parametrize('labels, says', [
    ('1 0\n', 'has 4 videos and'), ('1 0\n0 1\n1 x\n1 0\n', 'FCVID_Label.txt:3: '),
    ('1 0\n0 1\n1 0 0\n1 0\n', 'no row of 2 numbers'), ('\n', 'is empty')])
def test_wrong_labels_of_fcvid(make, tmp_path, labels, says):
  write_fcvid(tmp_path / 'annotations', labels)
  assert says in failure(make, 'fcvid')


def test_wrong_lists_of_fcvid(make, tmp_path):
  (tmp_path / 'annotations').mkdir()
  assert 'expected a folder with FCVID_VideoName_TrainTestSplit.txt' in failure(
      make, 'fcvid')
  write_fcvid(tmp_path / 'annotations')
  (tmp_path / 'names.txt').write_text('beach\n')
  assert 'has 1 names' in failure(
      make, 'fcvid', f'--class_names={tmp_path / "names.txt"}')
  path = tmp_path / 'annotations' / 'FCVID_VideoName_TrainTestSplit.txt'
  path.write_text(path.read_text().replace('test', '-1'))
  assert "is not 'video train' or 'video test'" in failure(make, 'fcvid')


# --- Sports-1M ---------------------------------------------------------------------


def write_sports(folder):
  """60 training and 20 test videos of each of two classes, twice, and two of both."""
  (folder / 'original').mkdir(parents=True)
  (folder / 'labels.txt').write_text('boomerang\nkyūdō\n', encoding='utf-8')
  ids = {}
  for split, count in (('train', 60), ('test', 20)):
    ids[split] = [f'{split:_<5}{label}{i:05}' for label in (0, 1) for i in range(count)]
    text = ''.join(f'https://www.youtube.com/watch?v={name} {name[5]}\n'
                   for name in ids[split])
    with gzip.open(folder / 'original' / f'{split}_partition.txt.gz', 'wt') as file:
      file.write(2 * text + 'https://www.youtube.com/watch?v=both_labels 0,1\n')
  return ids


def drawn(rows, split):
  return {row['video_path'][-15:-4] for row in rows if row['split'] == split}


def test_mini_sports1m_draws_30_and_10_a_class(make, tmp_path, capsys):
  ids = write_sports(tmp_path / 'annotations')
  touch(tmp_path / 'videos', *(f'{name}.mp4' for name in ids['train'] + ids['test']))
  rows = make('mini_sports1m', '--seconds=')
  for split, count in (('train', 30), ('test', 10)):
    for label in ('boomerang', 'kyūdō'):
      assert [(r['split'], r['label']) for r in rows].count((split, label)) == count
  assert '2 videos have several labels: not drawn' in capsys.readouterr().err
  assert rows == make('mini_sports1m', '--seconds=')
  other = make('mini_sports1m', '--seconds=', '--seed=1')
  assert drawn(rows, 'train') != drawn(other, 'train')
  # One that goes away is replaced, and changes nothing else.
  gone = min(drawn(rows, 'train'))
  (tmp_path / 'videos' / f'{gone}.mp4').unlink()
  again = make('mini_sports1m', '--seconds=', f'--missing={tmp_path / "missing.csv"}')
  assert len(drawn(again, 'train') - drawn(rows, 'train')) == 1
  assert drawn(rows, 'train') - drawn(again, 'train') == {gone}
  assert [row['name'] for row in read_csv(tmp_path / 'missing.csv')] == [gone]


def test_mini_sports1m_before_anything_is_there_lists_what_to_get(make, tmp_path):
  ids = write_sports(tmp_path / 'annotations')
  (tmp_path / 'videos').mkdir()
  assert 'none of the 80 videos' in failure(
      make, 'mini_sports1m', f'--missing={tmp_path / "missing.csv"}')
  missing = read_csv(tmp_path / 'missing.csv')
  touch(tmp_path / 'videos', *(f'{name}.mp4' for name in ids['train'] + ids['test']))
  rows = make('mini_sports1m', '--seconds=')
  assert {row['name'] for row in missing} == drawn(rows, 'train') | drawn(rows, 'test')


def test_mini_sports1m_lengths_of_the_annotations(make, tmp_path, capsys):
  (tmp_path / 'annotations').mkdir()
  (tmp_path / 'annotations' / 'labels.txt').write_text('boomerang\nboxing\n')
  for split in ('train', 'test'):
    (tmp_path / 'annotations' / f'sports1m_{split}.json').write_text(json.dumps([
        {'id': f'{split:_<8}{seconds}', 'label487': [1], 'duration': seconds}
        for seconds in (119, 120, 300, 301)]))
  touch(tmp_path / 'videos', *(
      f'{split:_<8}{seconds}.mp4' for split in ('train', 'test')
      for seconds in (119, 120, 300, 301)))
  rows = make('mini_sports1m')
  assert drawn(rows, 'train') == {'train___120', 'train___300'}
  assert ['boxing', '40', '4', '36'] in [
      line.split() for line in capsys.readouterr().err.splitlines()]
  assert len(make('mini_sports1m', '--seconds=')) == 8


def test_mini_sports1m_lengths_of_the_files(make, tmp_path, capsys):
  ids = write_sports(tmp_path / 'annotations')
  (tmp_path / 'videos').mkdir()
  short, long = ids['train'][:2]
  tiny_videos.make(tmp_path / 'videos' / f'{short}.mp4', seconds=1)
  tiny_videos.make(tmp_path / 'videos' / f'{long}.mp4', seconds=3)
  touch(tmp_path / 'videos', f'{ids["test"][0]}.mp4')
  assert drawn(make('mini_sports1m', '--seconds=2,4'), 'train') == {long}
  assert '2 files are shorter, longer or damaged' in capsys.readouterr().err
  assert 'none of the 3 files looked into has 120 to 300 seconds' in failure(
      make, 'mini_sports1m')


@pytest.mark.parametrize('line', [
    'https://www.youtube.com/watch?v=aaaaaaaaaaa 2', 'aaaaaaaaaaa', 'x 0 1'])
def test_wrong_annotations_of_sports1m(make, tmp_path, line):
  write_sports(tmp_path / 'annotations')
  (tmp_path / 'annotations' / 'original' / 'train_partition.txt.gz').unlink()
  (tmp_path / 'annotations' / 'original' / 'train_partition.txt').write_text(line)
  said = failure(make, 'mini_sports1m')
  assert 'train_partition.txt:1: ' in said and 'watch?v=ID' in said


# --- UCF101 ------------------------------------------------------------------------


def write_ucf101(folder):
  folder.mkdir()
  (folder / 'classInd.txt').write_text('1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n')
  for fold, first in (('1', 8), ('2', 1)):
    for split, groups in (('train', range(first, first + 5)), ('test', (20,))):
      (folder / f'{split}list0{fold}.txt').write_text(''.join(
          f'{name}_g{group:02}_c0{clip}.avi' + f' {k}' * (split == 'train') + '\r\n'
          for k, name in ((1, 'ApplyEyeMakeup/v_ApplyEyeMakeup'),
                          (2, 'HandstandPushups/v_HandStandPushups'))
          for group in groups for clip in (1, 2)))


def test_ucf101(make, tmp_path):
  write_ucf101(tmp_path / 'annotations')
  touch(tmp_path / 'videos', 'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi',
        'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi',
        'HandstandPushups/v_HandstandPushups_g20_c01.avi',
        'HandstandPushups/v_HandStandPushups_g20_c02.mp4')
  rows = make('ucf101')
  assert [tuple(row.values())[1:] for row in rows] == [
      ('ApplyEyeMakeup', 'train', 'v_ApplyEyeMakeup_g08'),
      ('ApplyEyeMakeup', 'train', 'v_ApplyEyeMakeup_g08'),
      ('HandstandPushups', 'test', 'v_HandStandPushups_g20'),
      ('HandstandPushups', 'test', 'v_HandStandPushups_g20')]
  assert [row['split'] for row in make('ucf101', '--fold=2')] == ['test'] * 2
  assert 'testlist0K.txt' in failure(make, 'ucf101', '--fold=3')


def test_wrong_annotations_of_ucf101(make, tmp_path):
  write_ucf101(tmp_path / 'annotations')
  with open(tmp_path / 'annotations' / 'testlist01.txt', 'a') as file:
    file.write('Nothing/v_Nothing_g01_c01.avi\n')
  said = failure(make, 'ucf101')
  assert 'testlist01.txt:5: ' in said and 'a class of classInd.txt' in said


# --- Folders -----------------------------------------------------------------------


def test_class_folders_in_split_folders(make, tmp_path, capsys):
  touch(tmp_path / 'videos', 'train/a b/1.mp4', 'train/c/deep/2.mkv', 'val/c/3.mp4',
        'test/c/4.mp4', 'loose.mp4', 'train/loose.mp4')
  rows = make('folder', annotations=None)
  assert sorted(by_path(rows, 'label').items()) == [
      ('test/c/4.mp4', 'c'), ('train/a b/1.mp4', 'a b'), ('train/c/deep/2.mkv', 'c'),
      ('val/c/3.mp4', 'c')]
  assert [row['split'] for row in rows] == ['test', 'train', 'train', 'validation']
  assert '2 videos lie in no class folder' in capsys.readouterr().err


def test_class_folders_alone_leave_the_split_to_prepare_videos(make, tmp_path):
  touch(tmp_path / 'videos', 'a/1.mp4', 'b/2.mp4')
  rows = make('folder', annotations=None)
  assert list(rows[0]) == ['video_path', 'label']
  assert '--split_fractions' in failure(
      make, 'folder', '--validation_fraction=.1', annotations=None)
  touch(tmp_path / 'videos', 'train/c/3.mp4')
  assert 'also a; put all classes below' in failure(make, 'folder', annotations=None)


# --- What all have in common -------------------------------------------------------


def test_validation_takes_whole_groups_of_each_class(make, tmp_path):
  write_ucf101(tmp_path / 'annotations')
  lists = [tmp_path / 'annotations' / f'{s}list01.txt' for s in ('train', 'test')]
  names = [line.split()[0] for path in lists for line in path.read_text().splitlines()]
  touch(tmp_path / 'videos', *names)
  rows = make('ucf101', '--validation_fraction=0.4')
  taken = {row['group'] for row in rows if row['split'] == 'validation'}
  assert sum('Makeup' in g for g in taken) == sum('Push' in g for g in taken) == 2
  assert not taken & {row['group'] for row in rows if row['split'] == 'train'}
  assert sum(row['split'] == 'test' for row in rows) == 4
  # Even a small share takes one group of each class, and what is not there changes
  # nothing for the others.
  few = make('ucf101', '--validation_fraction=0.01')
  assert len({r['group'] for r in few if r['split'] == 'validation'}) == 2
  before = by_path(rows, 'split')
  for name in names[::3]:
    (tmp_path / 'videos' / name).unlink()
  after = by_path(make('ucf101', '--validation_fraction=0.4'), 'split')
  assert after.items() <= before.items() and len(after) == len(before) - 8
  other = make('ucf101', '--validation_fraction=0.4', '--seed=1')
  assert by_path(other, 'split') != after


def test_validation_leaves_every_class_something_to_learn_from(make, tmp_path):
  write_kinetics(tmp_path / 'annotations')
  touch(tmp_path / 'videos', *(f'{NAME.format(i)}.mp4' for i in range(10, 41)))
  rows = make('kinetics400', '--validation_fraction=0.5')
  assert sorted((row['label'], row['split']) for row in rows) == [
      ('abseiling', 'train'), ('bowling', 'test'), ('bowling', 'train'),
      ('bowling', 'train'), ('bowling', 'validation'), ('bowling', 'validation')]


def test_training_videos_that_are_tested_too_are_left_out(make, tmp_path, capsys):
  (tmp_path / 'annotations').mkdir()
  for name, split in (('train.csv', 'train'), ('val.csv', 'val')):
    (tmp_path / 'annotations' / name).write_text(
        KINETICS_HEADER + ''.join(
            f'bowling,aaaaaaaaaa{i},{n},{n + 10},{split},0\n'
            for i, n in ((0, 3 if split == 'val' else 30), (1 + len(split), 0))))
  touch(tmp_path / 'videos', *(f'aaaaaaaaaa{i}.mp4' for i in range(9)))
  rows = make('kinetics400')
  assert [row['split'] for row in rows] == ['train', 'test', 'test']
  assert '1 training videos are of a source that is also tested' in (
      capsys.readouterr().err)


def test_the_missing_are_counted_and_listed(make, tmp_path, capsys):
  write_kinetics(tmp_path / 'annotations')
  touch(tmp_path / 'videos', 'AbCdEfG-_10.mp4')
  make('kinetics400', f'--missing={tmp_path / "out" / "missing.csv"}')
  said = capsys.readouterr().err
  assert "1 of 2 classes have no video at all, as 'abseiling'" in said
  rows = read_csv(tmp_path / 'out' / 'missing.csv')
  assert len(rows) == 5 and '5 missing videos' in said
  assert rows[0] == {
      'name': 'AbCdEfG-_11_000011_000021', 'label': 'bowling', 'split': 'train',
      'files': 'AbCdEfG-_11_000011_000021 AbCdEfG-_11_11_21 AbCdEfG-_11',
      'start_s': '11', 'end_s': '21'}


def test_long_tables_are_cut(make, tmp_path, capsys):
  (tmp_path / 'annotations').mkdir()
  (tmp_path / 'annotations' / 'train.csv').write_text(KINETICS_HEADER + ''.join(
      f'class {i},{i:011},0,10,train,0\n' for i in range(30)))
  touch(tmp_path / 'videos', f'{0:011}.mp4')
  make('kinetics400')
  said = capsys.readouterr().err
  assert '... and 9 more classes' in said and said.count('\nclass ') == 21


@pytest.mark.parametrize('dataset, write', [
    ('kinetics400', write_kinetics), ('fcvid', write_fcvid), ('ucf101', write_ucf101)])
def test_nothing_found(make, tmp_path, dataset, write):
  write(tmp_path / 'annotations')
  touch(tmp_path / 'videos', 'something_else.mp4')
  said = failure(make, dataset)
  assert said.startswith('make_manifest: none of the ') and 'looked for ' in said
  assert not (tmp_path / 'manifest.csv').exists()
  assert 'is no folder' in failure(make, dataset, f'--video_dir={tmp_path / "no"}')
  assert 'is remote' in failure(make, dataset, '--video_dir=gs://bucket/videos')


def test_no_annotations(make, tmp_path):
  touch(tmp_path / 'videos', 'a/1.mp4')
  for dataset in corpus_readers.READERS:
    if dataset != 'folder':
      assert 'does not exist; expected ' in failure(make, dataset)
      assert '--annotations is needed' in failure(make, dataset, annotations=None)
  (tmp_path / 'annotations').mkdir()
  for dataset in corpus_readers.READERS:
    if dataset != 'folder':
      assert 'expected ' in failure(make, dataset)
  assert '--annotations is not for folder' in failure(make, 'folder')


@pytest.mark.parametrize('flag', [
    '--fold=2', '--clips=segments', '--multi_label', '--class_names=x', '--trimmed',
    '--official_test', '--seconds=1,2'])
def test_flags_of_other_corpora_are_refused(make, flag):
  said = failure(make, 'folder', flag, annotations=None)
  assert flag.split('=')[0] in said and 'not for folder' in said


@pytest.mark.parametrize('seconds', ['5', '9,5', 'a,b'])
def test_wrong_lengths(make, seconds):
  assert '--seconds=' in failure(make, 'mini_sports1m', f'--seconds={seconds}')


def test_the_manifest_is_what_prepare_videos_reads(make, tmp_path):
  """Paths lead to the files from wherever the manifest lies."""
  write_kinetics(tmp_path / 'annotations')
  names = ['AbCdEfG-_10.mp4', 'deep/er/AbCdEfG-_11_000011_000021.mp4',
           'a, "b"/AbCdEfG-_20.mp4', 'ü/AbCdEfG-_30.mp4']
  touch(tmp_path / 'videos', *names)
  for output in ('manifest.csv', 'videos/m.csv', 'new/folder/m.csv'):
    make('kinetics400', f'--output={tmp_path / output}')
    rows = manifest.read(str(tmp_path / output))
    assert [row.path for row in rows] == [str(tmp_path / 'videos' / n) for n in names]
    assert [row.split for row in rows] == ['train', 'train', 'train', 'test']
    assert [(row.start_s, row.end_s) for row in rows] == [
        (10, 20), (None, None), (5, 15), (0, 10)]
    prefix = {'manifest.csv': 'videos/', 'videos/m.csv': ''}.get(
        output, '../../videos/')
    assert [row.video_path for row in rows] == [prefix + name for name in names]
    assert manifest.class_names(rows) == ['abseiling', 'bowling']


def test_names_that_no_manifest_can_hold(make, tmp_path):
  touch(tmp_path / 'videos', 'a/1.mp4')
  with open(os.fsencode(tmp_path / 'videos' / 'a') + b'/\xff.mp4', 'w'):
    pass
  assert 'is not UTF-8' in failure(make, 'folder', annotations=None)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['videos']


def test_the_command(tmp_path):
  touch(tmp_path, 'videos/train/a/1.mp4')
  command = [sys.executable, make_manifest.__file__, '--dataset=folder']
  done = subprocess.run(
      [*command, '--video_dir=videos', '--output=m.csv'], cwd=tmp_path, check=False,
      capture_output=True, text=True)
  assert done.returncode == 0 and not done.stdout
  assert (tmp_path / 'm.csv').read_text() == (
      'video_path,label,split\nvideos/train/a/1.mp4,a,train\n')
  done = subprocess.run([*command, '--output=x.csv'], cwd=tmp_path, check=False,
                        capture_output=True, text=True)
  assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
  assert 'video_dir' in done.stderr and not (tmp_path / 'x.csv').exists()
  done = subprocess.run([*command, '--help'], check=False, capture_output=True,
                        text=True)
  for dataset in corpus_readers.READERS:
    assert f'\n  {dataset} ' in done.stdout
