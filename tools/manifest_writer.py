"""Writes a manifest, a list of what is missing, and a summary of both."""

import collections
import csv
import os
from collections.abc import Callable, Sequence

import corpora
from tfmm import schema

SEPARATOR = '|'  # between the labels of one video
_LISTED_CLASSES = 20


def write(path: str, video_dir: str, videos: Sequence[corpora.Video]):
  """Writes the CSV; it appears when it is whole.

  Columns: video_path,label and, where any video has them, split,start_s,end_s,group.

  Raises:
    ValueError: a path or a label cannot be written.
  """
  folder = os.path.dirname(os.path.abspath(path))
  os.makedirs(folder, exist_ok=True)
  prefix = os.path.relpath(os.path.abspath(video_dir), folder)
  prefix = '' if prefix == '.' else prefix + '/'
  columns = {
      'video_path': lambda v: prefix + v.path, 'label': lambda v: _label(v.labels)}
  if any(v.split for v in videos):
    columns['split'] = lambda v: v.split
  if any(v.start_s is not None for v in videos):
    columns['start_s'] = lambda v: _time(v.start_s)
    columns['end_s'] = lambda v: _time(v.end_s)
  if len({v.group for v in videos}) < len(videos):
    columns['group'] = lambda v: v.group
  _write_csv(path, columns, videos)


def write_missing(path: str, videos: Sequence[corpora.Video]):
  """Writes the CSV of what was not found, with the names that were looked for."""
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  _write_csv(path, {
      'name': lambda v: v.name, 'label': lambda v: _label(v.labels),
      'split': lambda v: v.split, 'files': lambda v: ' '.join(v.files + v.sources),
      'start_s': lambda v: _time(v.start_s), 'end_s': lambda v: _time(v.end_s)}, videos)


def _write_csv(path, columns, videos):
  try:
    with open(path + '.part', 'w', newline='', encoding='utf-8') as file:
      writer = csv.writer(file, lineterminator='\n')
      writer.writerow(columns)
      writer.writerows([get(v) for get in columns.values()] for v in videos)
  except UnicodeEncodeError as error:
    os.remove(path + '.part')
    raise ValueError(f'the name {error.object!r} is not UTF-8, which a manifest needs; '
                     'rename the file') from None
  os.replace(path + '.part', path)


def _label(labels):
  if len(labels) > 1 and any(SEPARATOR in label for label in labels):
    raise ValueError(f'the labels {labels} hold {SEPARATOR!r}, which stands between '
                     'the labels of one video; give the classes other names')
  return SEPARATOR.join(labels)


def _time(seconds):
  return '' if seconds is None else f'{seconds:.3f}'.rstrip('0').rstrip('.')


def report(found: corpora.Found, say: Callable[[str], None]):
  """Says which classes miss videos, and how many of each split there are."""
  there = collections.Counter(label for v in found.videos for label in v.labels)
  short = sorted(((count - there[label], label) for label, count in found.wanted.items()
                  if there[label] < count), key=lambda item: (-item[0], item[1]))
  if short:
    width = max(len(label) for _, label in short[:_LISTED_CLASSES])
    say(f'{"class":{width}}   wanted    found  missing')
    for missing, label in short[:_LISTED_CLASSES]:
      say(f'{label:{width}} {found.wanted[label]:8,} {there[label]:8,} {missing:8,}')
    if len(short) > _LISTED_CLASSES:
      say(f'... and {len(short) - _LISTED_CLASSES} more classes')
  empty = [label for label in found.wanted if not there[label]]
  if empty:
    say(f'note: {len(empty)} of {len(found.wanted)} classes have no video at all, as '
         f'{min(empty)!r}; the prepared data will not know them')
  splits = collections.Counter(v.split for v in found.videos)
  parts = [f'{splits[s]:,} {s}' for s in schema.SPLITS if splits[s]]
  say(f'{len(found.videos):,} of {found.total:,} found, '
       f'{len(there)} classes: ' + (', '.join(parts) or 'no splits'))
  if parts and not splits['validation']:
    say('note: no validation videos; --validation_fraction=0.05 takes some from '
         'training, to choose checkpoints by')
