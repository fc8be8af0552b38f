"""Reads annotation files; says of a wrong one which line, and what was expected."""

import csv
import gzip
import json
import os
import re
from collections.abc import Iterator
from typing import Any, TextIO


def find(place: str, pattern: str, expected: str, *, or_file: bool = False) -> str:
  """The annotation file in a folder.

  Args:
    place: the folder; the file lies in it or one folder below.
    pattern: of the file's name, which may end with '.gz' in addition.
    expected: what should be there, for messages.
    or_file: whether `place` may be the file itself, whatever its name.

  Raises:
    ValueError: there is none, or more than one.
  """
  if not os.path.exists(place):
    raise ValueError(f'--annotations={place} does not exist; expected {expected}')
  if not os.path.isdir(place):
    if or_file:
      return place
    raise ValueError(f'--annotations={place} is a file; expected {expected}')
  below = sorted(entry.path for entry in os.scandir(place) if entry.is_dir())
  found = [os.path.join(folder, name) for folder in (place, *below)
           for name in sorted(os.listdir(folder))
           if re.fullmatch(f'(?:{pattern})(?:[.]gz)?', name)]
  if not found:
    raise ValueError(f'--annotations={place} has not all that is needed; expected '
                     f'{expected}')
  if len(found) > 1:
    raise ValueError(f'--annotations={place} has both {found[0]} and {found[1]}; keep '
                     'one, or give the file itself')
  return found[0]


def open_text(path: str) -> TextIO:
  """A UTF-8 file, also a compressed one."""
  if path.endswith('.gz'):
    return gzip.open(path, 'rt', encoding='utf-8-sig', newline='')
  return open(path, encoding='utf-8-sig', newline='')


def lines(path: str) -> Iterator[tuple[str, str]]:
  """('file:line', text) of every line that is not blank.

  Raises:
    ValueError: no text, or no lines.
  """
  some = False
  with _readable(path), open_text(path) as file:
    for number, line in enumerate(file, 1):
      line = line.strip()
      if line:
        some = True
        yield f'{path}:{number}', line
  if not some:
    raise ValueError(f'{path} is empty; download it again')


def rows(path: str) -> Iterator[tuple[str, dict[str, str]]]:
  """('file:line', {column: cell}) of a CSV file with a header."""
  with _readable(path), open_text(path) as file:
    reader = csv.DictReader(file)
    for row in reader:
      yield f'{path}:{reader.line_num}', row


def read_json(path: str) -> Any:
  with _readable(path), open_text(path) as file:
    return json.load(file)


class _readable:
  """Names the file that is no text, CSV or JSON."""

  def __init__(self, path):
    self._path = path

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    if isinstance(error, (UnicodeDecodeError, json.JSONDecodeError, csv.Error,
                          gzip.BadGzipFile, EOFError)):
      raise ValueError(f'{self._path} cannot be read ({error}); download it again'
                       ) from None
