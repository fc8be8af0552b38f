"""The manifest: a CSV with the columns `video_path`, `label` and, optionally, `split`.

Columns are found by name and others are ignored, but for these: `group` (videos of one
group, as clips cut from one source, go to the same split), `start_s` and `end_s` (the
row is that part of the file, in seconds; several rows may share a file). Labels are
text; if all of them are whole numbers they are class numbers, and classes 0 to the
largest exist. With a separator a video can have several. Where there is no `split`
column, a stable hash of the path (or of the group) decides.
"""

import codecs
import csv
import dataclasses
import hashlib
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence

from tfmm import schema
from beam_pipelines import storage

_REQUIRED = ('video_path', 'label')
_SPLIT_NAMES = {**{split: split for split in schema.SPLITS}, 'val': 'validation'}
_MAX_CLASS_NUMBER = 99_999
_LARGEST = 2**64
SPLIT_METHODS = ('hash', 'stratified')


@dataclasses.dataclass(frozen=True)
class Row:
  """One video of the manifest.

  Attributes:
    video_path: As the manifest says it; the key of everything.
    path: Where the file is.
    labels: Texts, one or several.
    split: One of `schema.SPLITS`, or '' where the hash decides.
    group: What the hash is taken of.
    number: Line of the manifest where the row begins; the header is line 1.
    start_s: Where the video begins in the file, in seconds; None: at its start.
    end_s: Where it ends, in seconds; None: at the end of the file.
  """

  video_path: str
  path: str
  labels: tuple[str, ...]
  split: str
  group: str
  number: int
  start_s: float | None = None
  end_s: float | None = None

  @property
  def media_id(self) -> str:
    """`video_path`, and `#start-end` in seconds if the row is a part of the file."""
    if self.start_s is None and self.end_s is None:
      return self.video_path
    end = '' if self.end_s is None else f'{self.end_s:.3f}'
    return f'{self.video_path}#{self.start_s or 0:.3f}-{end}'


def read(path: str, *, video_root: str | None = None,
         label_separator: str = '') -> list[Row]:
  """Reads and checks a whole manifest.

  Args:
    path: A CSV file in UTF-8.
    video_root: What relative video paths start from; None: the manifest's folder.
    label_separator: Text between the labels of one video; '': one label a video.

  Returns:
    The rows, in order.

  Raises:
    ValueError: On the first thing that is wrong, with row, value and fix.
    OSError: If the file cannot be read.
  """
  if not storage.is_remote(path) and os.path.isdir(path):
    raise ValueError(f'manifest {path} is a directory; give the CSV file in it.')
  try:
    data = storage.read_bytes(path)
  except FileNotFoundError:
    raise FileNotFoundError(f'manifest {path} does not exist; give the path of a CSV '
                            'with the header video_path,label,split.') from None
  try:
    text = data.removeprefix(codecs.BOM_UTF8).decode('utf-8')
  except UnicodeDecodeError as error:
    raise ValueError(
        f'manifest {path} is not UTF-8 text (byte {error.start}); save it as CSV in '
        'UTF-8.') from None
  root = video_root if video_root is not None else os.path.dirname(path)
  rows = _Parser(path, root, label_separator).parse(text)
  return _number_labels(path, rows)


class _Parser:
  """Turns text into rows, one complaint at a time."""

  def __init__(self, path, root, separator):
    self._path = path
    self._root = root
    self._separator = separator
    self._columns = {}
    self._seen = {}  # resolved path, start and end -> row number

  def parse(self, text: str) -> list[Row]:
    rows = []
    reader = csv.reader(io.StringIO(text, newline=''))
    start = 1
    try:
      for cells in reader:
        cells = [cell.strip() for cell in cells]
        if any(cells):
          if self._columns:
            rows.append(self._row(cells, start))
          else:
            self._header(cells)
        start = reader.line_num + 1
    except csv.Error as error:
      raise ValueError(f'{self._path}, row {start}: {error}; quote cells that hold '
                       'commas or line ends.') from None
    if not self._columns:
      raise ValueError(
          f'{self._path} is empty; it needs the header video_path,label,split.')
    if not rows:
      raise ValueError(
          f'{self._path} has a header but no rows; add one row for each video.')
    return rows

  def _header(self, cells):
    missing = [name for name in _REQUIRED if name not in cells]
    if missing:
      hint = ''
      for mark in (';', '\t', '|'):
        if mark in cells[0]:
          hint = f' Columns must be separated by commas, not by {mark!r}.'
      raise ValueError(
          f'{self._path}, row 1: no column {" and no column ".join(missing)} in '
          f'{",".join(cells)!r}; the first row must be video_path,label or '
          f'video_path,label,split.{hint}')
    for name in (*_REQUIRED, 'split', 'group', 'start_s', 'end_s'):
      if cells.count(name) > 1:
        raise ValueError(
            f'{self._path}, row 1: two columns are called {name}; remove one.')
    self._columns = {name: cells.index(name) for name in cells if name}

  def _row(self, cells, number) -> Row:
    def cell(name):
      position = self._columns.get(name)
      return cells[position] if position is not None and position < len(cells) else ''

    video_path, label = cell('video_path'), cell('label')
    if not video_path:
      self._fail(number, 'video_path is empty; give a path or remove the row.')
    if '\0' in video_path:
      self._fail(number, f'video_path {video_path!r} holds a zero byte; correct it.')
    labels = label.split(self._separator) if self._separator else [label]
    labels = [text.strip() for text in labels]
    if not all(labels):
      self._fail(number, f'the label of {video_path!r} is empty; give a label or '
                 'remove the row.')
    if len(set(labels)) != len(labels):
      self._fail(number, f'label {label!r} names one class twice; name it once.')
    split = ''
    if 'split' in self._columns:
      split = _SPLIT_NAMES.get(cell('split'), '')
      if not split:
        self._fail(number, f'split {cell("split")!r} is none of train, validation '
                   '(or val), test; correct it, or remove the split column for a '
                   'split by hash.')
    path = (video_path if storage.is_remote(video_path)
            else storage.join(self._root, video_path))
    resolved = path if storage.is_remote(path) else os.path.abspath(path)
    start_s, end_s = (self._seconds(name, cell(name), number)
                      for name in ('start_s', 'end_s'))
    if end_s is not None and end_s <= (start_s or 0):
      self._fail(number, f'end_s {end_s:g} is not after start_s {start_s or 0:g}; '
                 'correct one of them.')
    key = (resolved, start_s, end_s)
    if key in self._seen:
      what = 'this part of ' if (start_s, end_s) != (None, None) else ''
      self._fail(number, f'{what}video_path {video_path!r} is already in row '
                 f'{self._seen[key]}; keep one of the two.')
    self._seen[key] = number
    return Row(video_path, resolved, tuple(labels), split,
               cell('group') or video_path, number, start_s, end_s)

  def _seconds(self, name, text, number):
    if not text:
      return None
    value = _as_number(text)
    if value is None or not 0 <= value < math.inf:
      self._fail(number, f'{name} {text!r} is no time; give seconds from the start of '
                 'the file, as 12.5, or leave it empty.')
    return value

  def _fail(self, number, what):
    raise ValueError(f'{self._path}, row {number}: {what}')


def _as_number(text: str) -> float | None:
  try:
    return float(text)
  except ValueError:
    return None


def _number_labels(path, rows):
  """Checks class numbers, where all labels are numbers; `1.0` becomes `1`."""
  numbers = [_as_number(text) for row in rows for text in row.labels]
  if any(number is None for number in numbers):
    return rows
  out = []
  for row in rows:
    labels = []
    for text in row.labels:
      number = _as_number(text)
      if not 0 <= number <= _MAX_CLASS_NUMBER or number != int(number):
        raise ValueError(
            f'{path}, row {row.number}: label {text!r} is no class; numbered classes '
            f'are whole numbers from 0 to {_MAX_CLASS_NUMBER}. Correct it, or name '
            'the classes by text.')
      labels.append(str(int(number)))
    out.append(dataclasses.replace(row, labels=tuple(labels)))
  return out


def class_names(rows: Iterable[Row]) -> list[str]:
  """The classes in stable order: the position of a name is its index.

  Numbers keep their value: classes 0 to the largest. Texts are sorted by code point.
  """
  names = {text for row in rows for text in row.labels}
  if all(text.isascii() and text.isdigit() for text in names):
    return [str(k) for k in range(max(map(int, names)) + 1)]
  return sorted(names)


def stable_hash(salt: str, text: str) -> int:
  """64 bits of BLAKE2b; the same in every process, unlike Python's `hash`."""
  digest = hashlib.blake2b(
      text.encode('utf-8'), digest_size=8, key=salt.encode('utf-8')).digest()
  return int.from_bytes(digest, 'big')


def with_splits(rows: Sequence[Row], fractions: Mapping[str, float], salt: str,
                method: str) -> list[Row]:
  """The rows, each with a split.

  Args:
    rows: Those of a manifest; a split of their own stays.
    fractions: Share of each split, where the hash decides.
    salt: Another text, another split.
    method: 'hash' looks at each group alone, so that added rows move no video, and the
      shares of a rare class are left to chance. 'stratified' gives each class its
      shares within one group: the groups of a class (that of a group's first row)
      are put in the order of their hashes and cut; added rows can move others.

  Returns:
    Rows in the same order.
  """
  if method == 'hash':
    splits = {group: _split_at(stable_hash(f'split{salt}', group) / _LARGEST, fractions)
              for group in {row.group for row in rows if not row.split}}
  else:
    splits = _stratified(rows, fractions, salt)
  return [row if row.split else dataclasses.replace(row, split=splits[row.group])
          for row in rows]


def _stratified(rows, fractions, salt):
  by_label, label_of = {}, {}
  for row in rows:
    if not row.split and row.group not in label_of:
      label_of[row.group] = row.labels[0]
      by_label.setdefault(row.labels[0], []).append(row.group)
  splits = {}
  for label, groups in by_label.items():
    groups.sort(key=lambda group: (stable_hash(f'split{salt}', group), group))
    # Where the cuts fall between two groups is another chance for each class, so that
    # classes of few videos together fill all splits.
    offset = stable_hash(f'offset{salt}', label) / _LARGEST
    for k, group in enumerate(groups):
      splits[group] = _split_at((k + offset) / len(groups), fractions)
  return splits


def _split_at(place: float, fractions: Mapping[str, float]) -> str:
  """The split that a place in [0, 1) falls into."""
  total = 0.0
  chosen = ''
  for split in schema.SPLITS:
    total += fractions.get(split, 0.0)
    if fractions.get(split, 0.0) > 0:
      chosen = split  # the last one that is not empty takes rounding's remainder
      if place < total:
        break
  return chosen


def shard_of(row: Row, num_shards: int) -> int:
  """Which shard of its split a row belongs to."""
  return stable_hash('shard', row.media_id) % num_shards


def in_shard_order(rows: Iterable[Row]) -> list[Row]:
  """Rows of a shard in stored order: mixed, but the same always and everywhere."""
  return sorted(rows, key=lambda r: (stable_hash('order', r.media_id), r.media_id))


def count_by_label(rows: Sequence[Row], names: Sequence[str]) -> dict[str, int]:
  """How many of the rows have each label."""
  counts = dict.fromkeys(names, 0)
  for row in rows:
    for text in row.labels:
      counts[text] += 1
  return counts
