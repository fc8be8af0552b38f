"""Shows what is in prepared shards, and checks them.

  python tools/inspect_shards.py DATA [--split=train] [--limit=5] [--media_id=ID]
  python tools/inspect_shards.py DATA --html=page.html
  python tools/inspect_shards.py DATA --verify

DATA is a directory of prepare_videos, adopt_shards or extract_features. The first
prints the data set in a few lines, and records. --html also writes one page that needs
nothing else: frames, flow, sound and windows of the same records on one time axis.
--verify reads all of every shard and compares it with its checksums; the exit code is 1
if one is wrong.
"""

import itertools
import os
import sys

from absl import flags

import record_page
import record_text
import shard_directory
import shard_records
from tfmm import command_line


def _choose(directory, values):
  """The records that the flags ask for, as an iterator.

  Raises:
    ValueError: If there are none.
  """
  splits = directory.info['splits']
  filled = [name for name, entry in splits.items() if entry.get('num_videos')]
  split = values.split
  if split is not None and split not in filled:
    raise ValueError(f'{directory.path} has no videos in split {split!r}; splits with '
                     f'videos: {", ".join(filled) or "none"}')
  if values.media_id is None and split is None:
    split = filled[0] if filled else None
  records = shard_records.read(directory, split, values.media_id)
  first = next(records, None)
  if first is None:
    if values.media_id is None:
      raise ValueError(f'{directory.path} has no records')
    reason = next((f'; it was rejected: {row["reason"]}' for row in directory.rejected
                   if row.get('video_path') == values.media_id), '')
    raise ValueError(f'{directory.path} has no video {values.media_id!r}{reason}')
  return itertools.chain([first], records)


def verify(directory: shard_directory.Directory) -> int:
  """Checks all shards and prints what is wrong; the number of shards that are."""
  wrong = shards = records = 0
  for name, count, what in shard_directory.damage(directory):
    shards, records = shards + 1, records + count
    if what:
      wrong += 1
      print(f'{name}: {what}')
  if wrong:
    print(f'{wrong} of {shards} shards are wrong: delete them, if they are there, and '
          'run the command that made them again: it makes those alone')
  else:
    print(f'{shards} shards, {records} records: sizes, checksums and CRCs are right')
  return wrong


def inspect(path: str, values) -> int:
  """Does what the flags say; the exit code."""
  if values.limit < 0:
    raise ValueError(f'--limit={values.limit} must be 0 or more')
  if values.verify and values.html:
    raise ValueError(f'--verify shows no records and --html={values.html} does: give '
                     'one of them')
  directory = shard_directory.open_directory(path)
  print(record_text.align(record_text.dataset_lines(directory)))
  if values.verify:
    return 1 if verify(directory) else 0
  if not values.limit:
    return 0
  page = record_page.Page(directory) if values.html else None
  for record in itertools.islice(_choose(directory, values), values.limit):
    lines = record_text.record_lines(record)
    print(f'\n{record.example_id}\n{record_text.align(lines, indent="  ")}')
    if page:
      page.add(record, lines)
  if page:
    with open(values.html, 'w', encoding='utf-8') as file:
      file.write(page.html())
    print(f'\n{values.html}: {os.path.getsize(values.html) / 1e6:.1f} MB')
  return 0


def main(argv):
  try:
    if len(argv) != 2:
      raise ValueError(f'{len(argv) - 1} directories given; usage: python '
                       'tools/inspect_shards.py DATA')
    return inspect(argv[1], flags.FLAGS)
  except BrokenPipeError:
    raise  # `... | head`
  except (ValueError, OSError) as error:
    sys.exit(f'inspect_shards: {command_line.one_line(error)}')


if __name__ == '__main__':
  flags.DEFINE_string('split', None, 'Whose records; the first that has any.')
  flags.DEFINE_integer('limit', 5, 'How many records.')
  flags.DEFINE_string('media_id', None, "All records of this video of the manifest's "
                      'paths, whatever its split.')
  flags.DEFINE_string('html', None, 'Page to write.')
  flags.DEFINE_bool('verify', False, 'Checks all shards; shows no records.')
  command_line.run('inspect_shards', main)
