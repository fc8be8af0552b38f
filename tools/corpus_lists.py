"""Readers of corpora that come as text lists: FCVID, Sports-1M, UCF101.

See `corpus_readers`, which names them.
"""

import os
import re

import annotation_files
from corpora import Listing, Options, Video

_FCVID = ('a folder with FCVID_VideoName_TrainTestSplit.txt and FCVID_Label.txt, as in '
          "materials of the corpus' archive")
_SPORTS = ('a copy of github.com/gtoderici/sports-1m-dataset (labels.txt, '
           'original/train_partition.txt, original/test_partition.txt), or labels.txt '
           'beside sports1m_train.json and sports1m_test.json')
_UCF101 = 'ucfTrainTestlist with classInd.txt, trainlist0K.txt and testlist0K.txt'


def fcvid(options: Options) -> Listing:
  """FCVID_VideoName_TrainTestSplit.txt and FCVID_Label.txt, line for line."""
  lists, matrix = (
      annotation_files.find(options.annotations, pattern, _FCVID)
      for pattern in (r'FCVID_VideoName_TrainTestSplit\.txt', r'FCVID_Label\.txt'))
  videos, rows = (list(annotation_files.lines(path)) for path in (lists, matrix))
  if len(videos) != len(rows):
    raise ValueError(f'{lists} has {len(videos):,} videos and {matrix} {len(rows):,} '
                     'rows; they must be of one release, line for line')
  columns = len(rows[0][1].split())
  names = [str(i) for i in range(columns)]
  if options.class_names:
    names = _class_names(options.class_names)
    if len(names) != columns:
      raise ValueError(f'{options.class_names} has {len(names)} names and {matrix} has '
                       f'{columns} columns; give one name for each column')
  listing = Listing()
  unlabelled = several = 0
  for (place, line), (row_place, row) in zip(videos, rows):
    name, _, word = line.replace('\t', ' ').rpartition(' ')
    split = word.lower()
    if split not in ('train', 'test') or not name.strip():
      raise ValueError(f"{place}: {line!r} is not 'video train' or 'video test'")
    labels = _columns_set(row_place, row, names)
    if not labels:
      unlabelled += 1
      continue
    several += len(labels) > 1
    folder, stem = _folder_and_stem(name.strip())
    listing.videos.append(Video(
        name=name.strip(), labels=labels if options.multi_label else labels[:1],
        split=split, files=(stem,), folder=folder, group=name.strip()))
  listing.note(unlabelled, 'videos have no label: left out')
  if not options.multi_label:
    listing.note(several, 'videos have several labels: the first is kept')
  if not options.class_names:
    listing.notes.append('classes are numbers, the columns of FCVID_Label.txt from 0; '
                         '--class_names=FILE gives them names')
  return listing


def _columns_set(place, row, names):
  """Names of the columns that are 1 in a row of 0 and 1."""
  try:
    numbers = [float(cell) for cell in row.split()]
  except ValueError:
    numbers = []
  if len(numbers) != len(names):
    raise ValueError(f'{place}: {row[:40]!r} is no row of {len(names)} numbers')
  return tuple(name for name, number in zip(names, numbers) if number > 0)


def _class_names(path):
  """Names, one a line; a number before the name is dropped."""
  return [re.sub(r'^\d+[\s,;:]+', '', line)
          for _, line in annotation_files.lines(path)]


def _folder_and_stem(path):
  """'b', 'c' of 'a/b/c.mp4', also with backslashes."""
  folder, _, name = path.replace('\\', '/').rpartition('/')
  return folder.rpartition('/')[2], os.path.splitext(name)[0]


def mini_sports1m(options: Options) -> Listing:
  """All of Sports-1M that can be drawn: videos of one label and, if known, of a length.

  labels.txt, and 'URL label,label' a line or JSON with id, label487 and duration.
  """
  names = [line for _, line in annotation_files.lines(
      annotation_files.find(options.annotations, r'labels\.txt', _SPORTS))]
  listing = Listing()
  several = 0
  for split in ('train', 'test'):
    path = annotation_files.find(
        options.annotations, rf'{split}_partition\.txt|sports1m_{split}\.json', _SPORTS)
    read = _sports_json if '.json' in path else _sports_text
    for name, numbers, seconds in read(path, len(names)):
      if len(numbers) > 1:
        several += 1
      elif seconds is None or is_as_long(seconds, options.seconds):
        listing.videos.append(Video(
            name=name, labels=(names[numbers[0]],), split=split, files=(name,),
            group=name, seconds=seconds))
  listing.note(several, 'videos have several labels: not drawn')
  return listing


def is_as_long(seconds: float, limits: tuple[float, ...]) -> bool:
  """Whether a length lies within (shortest, longest); () allows any."""
  return not limits or limits[0] <= seconds <= limits[1]


def _sports_text(path, classes):
  for place, line in annotation_files.lines(path):
    found = re.fullmatch(r'\S*[?&/]v[=/]([\w-]{11})\S*\s+(\d+(?:,\d+)*)', line)
    numbers = [int(text) for text in found[2].split(',')] if found else [classes]
    if max(numbers) >= classes:
      raise ValueError(f'{place}: {line[:80]!r} is no line of Sports-1M; expected '
                       f'https://www.youtube.com/watch?v=ID and labels below {classes}')
    yield found[1], numbers, None


def _sports_json(path, classes):
  for i, entry in enumerate(annotation_files.read_json(path)):
    try:
      name, numbers = entry['id'], [int(n) for n in entry['label487']]
      seconds = float(entry['duration'])
      if not numbers or not 0 <= min(numbers) <= max(numbers) < classes:
        raise ValueError
    except (KeyError, TypeError, ValueError):
      raise ValueError(f'{path}: entry {i} is not as in Sports-1M; expected id, '
                       f'label487 (below {classes}) and duration') from None
    yield name, numbers, seconds


def ucf101(options: Options) -> Listing:
  """classInd.txt ('1 Class'), trainlist0K.txt ('Class/v_Class_g08_c01.avi 1'), test."""
  index = annotation_files.find(options.annotations, r'classInd\.txt', _UCF101)
  classes = {line.split()[-1] for _, line in annotation_files.lines(index)}
  listing = Listing()
  for split in ('train', 'test'):
    path = annotation_files.find(
        options.annotations, rf'{split}list0{options.fold}\.txt', _UCF101)
    for place, line in annotation_files.lines(path):
      found = re.fullmatch(r'(\w+)[/\\]((v_\w+_g\d+)_c\d+)\.avi(?:\s+\d+)?', line)
      if not found or found[1] not in classes:
        raise ValueError(f'{place}: {line!r} is no line of UCF101; expected '
                         'Class/v_Class_g01_c01.avi with a class of classInd.txt')
      # Some archives spell one class alike in folder and file names.
      other = found[2].replace('v_HandStandPushups', 'v_HandstandPushups')
      listing.videos.append(Video(
          name=f'{found[1]}/{found[2]}', labels=(found[1],), split=split,
          files=tuple(dict.fromkeys((found[2], other))), folder=found[1],
          group=found[3]))
  return listing
