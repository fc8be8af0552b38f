"""The manifest: a CSV with the columns `video_path`, `label` and, optionally, `split`.

Columns are found by name and others are ignored, but for `group`: videos of one group
(clips cut from one source) go to the same split. Labels are text; if all of them are
whole numbers they are class numbers, and classes 0 to the largest exist. With a
separator a video can have several. Where there is no `split` column, a stable hash of
the path (or of the group) decides, so that a retry or an added row moves no video.
"""

import codecs
import csv
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence

from tfmm import schema
from beam_pipelines import storage

_REQUIRED = ('video_path', 'label')
_SPLIT_NAMES = {**{split: split for split in schema.SPLITS}, 'val': 'validation'}
_MAX_CLASS_NUMBER = 99_999
_LARGEST = 2**64


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
  """

  video_path: str
  path: str
  labels: tuple[str, ...]
  split: str
  group: str
  number: int


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
    self._seen = {}  # resolved path -> row number

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
    for name in (*_REQUIRED, 'split', 'group'):
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
    if resolved in self._seen:
      self._fail(number, f'video_path {video_path!r} is already in row '
                 f'{self._seen[resolved]}; keep one of the two.')
    self._seen[resolved] = number
    return Row(video_path, resolved, tuple(labels), split,
               cell('group') or video_path, number)

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


def split_of(row: Row, fractions: Mapping[str, float], salt: str) -> str:
  """The row's split: its own, or by hash with the given fractions."""
  if row.split:
    return row.split
  place = stable_hash(f'split{salt}', row.group) / _LARGEST
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
  return stable_hash('shard', row.video_path) % num_shards


def in_shard_order(rows: Iterable[Row]) -> list[Row]:
  """Rows of a shard in stored order: mixed, but the same always and everywhere."""
  return sorted(rows, key=lambda r: (stable_hash('order', r.video_path), r.video_path))


def count_by_label(rows: Sequence[Row], names: Sequence[str]) -> dict[str, int]:
  """How many of the rows have each label."""
  counts = dict.fromkeys(names, 0)
  for row in rows:
    for text in row.labels:
      counts[text] += 1
  return counts
