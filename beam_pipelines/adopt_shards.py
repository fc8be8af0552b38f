"""Makes a data set of TFRecord shards that another MediaSequence writer made.

  python -m beam_pipelines.adopt_shards --train='OLD/train*' --test='OLD/test*' \\
      --output_dir=DATA

DMVR's and mediapipe's SequenceExamples are read where they are: DATA gets links to the
shards under our names (copies with --copy), and what a data set has beside them. Every
record is checked first, and nothing is written if one cannot be used. A record is one
video, unless it has the clip/media_id of the record before it and begins where that
one ends.
"""

import glob
import os
import shutil
import sys
import time

from absl import flags

from beam_pipelines import config as config_lib
from beam_pipelines import foreign_dataset
from beam_pipelines import output_directory
from beam_pipelines import progress
from beam_pipelines import storage
from tfmm import command_line
from tfmm import directory_lock
from tfmm import schema

_EVERY_SECONDS = 5.0


def define_flags(values: flags.FlagValues):
  """Defined when run and not when imported: mains share names of flags."""
  def define(kind, name, default, text, **more):
    kind(name, default, text, flag_values=values, **more)

  for split in schema.SPLITS:
    define(flags.DEFINE_string, split, None,
           f'Shards of the split {split}: a path with * or ?, in quotes.')
  define(flags.DEFINE_string, 'output_dir', None,
         'Where the data set goes; new or empty.', required=True)
  define(flags.DEFINE_boolean, 'copy', False,
         'Copy the shards instead of linking to them.')
  define(flags.DEFINE_boolean, 'sound', True, 'Use the sound of the records.')
  define(flags.DEFINE_boolean, 'flow', True, 'Use their optical flow.')
  define(flags.DEFINE_float, 'frame_rate', None,
         'Frames per second of records that do not tell theirs.')
  define(flags.DEFINE_integer, 'sample_rate', None,
         'Hertz of the sound of records that do not tell theirs.')


def find_shards(patterns: dict[str, str | None]) -> dict[str, list[str]]:
  """Paths of the shards of each split, in the order of their names.

  Args:
    patterns: Path with * or ? for each split, or None.

  Raises:
    ValueError: If a pattern finds nothing, or a file belongs to two splits.
  """
  paths, owner = {}, {}
  for split, pattern in patterns.items():
    if not pattern:
      continue
    if storage.is_remote(pattern):
      raise ValueError(f'--{split}={pattern} is remote; copy the shards here.')
    found = sorted(path for path in glob.glob(pattern) if os.path.isfile(path))
    if not found:
      raise ValueError(
          f'--{split}={pattern} finds no file; give a path with * or ?, in quotes.')
    for path in map(os.path.realpath, found):
      if path in owner:
        raise ValueError(f'{path} is found by --{owner[path]} and by --{split}; each '
                         'shard belongs to one split.')
      owner[path] = split
    paths[split] = found
  if not paths:
    raise ValueError('no shards were given: use --train, --validation or --test.')
  return paths


def run(values: flags.FlagValues):
  """Makes the data set that the flags describe.

  Raises:
    ValueError: On a user's mistake, or a record that cannot be used.
    OSError: If files cannot be read or written.
  """
  out = values.output_dir
  if storage.is_remote(out):
    raise ValueError(f'--output_dir={out} is remote; give a local directory.')
  paths = find_shards({split: values[split].value for split in schema.SPLITS})
  with directory_lock.hold(out, '--output_dir'):
    if there := storage.list_names(out):
      raise ValueError(f'--output_dir={out} is not empty, it holds {there[0]}; give '
                       'another, or delete that one.')
    shards = _read(paths, sound=values.sound, flow=values.flow)
    records = [found for several in shards.values() for shard in several
               for found in shard.records]
    labels = foreign_dataset.class_names(records)
    made_with = foreign_dataset.options(
        records, frame_rate=values.frame_rate, sample_rate=values.sample_rate)
    sidecars = _place(out, shards, labels, made_with, copy=values.copy)
    info = foreign_dataset.info(
        sidecars, labels, made_with,
        multi_label=any(len(found.labels) > 1 for found in records))
    _complete(out, info, sidecars)
  _tell(info, records)
  _say(f'done: {out}')


def _read(paths, **uses):
  """{split: shards}; shows progress."""
  shards, total = {split: [] for split in paths}, sum(map(len, paths.values()))
  begin = shown = time.monotonic()
  done = 0
  for split in paths:
    for path in paths[split]:
      shards[split].append(foreign_dataset.read_shard(path, **uses))
      done, now = done + 1, time.monotonic()
      if now - shown > _EVERY_SECONDS:
        shown = now
        left = progress.duration((now - begin) / done * (total - done))
        _say(f'{done}/{total} shards, {left} left')
    if not any(shard.videos for shard in shards[split]):
      raise ValueError(f'the shards of --{split} hold no record.')
  return shards


def _place(out, shards, labels, made_with, *, copy):
  """Links or copies, and writes the sidecars; returns those."""
  sidecars = []
  for split, several in shards.items():
    for k, shard in enumerate(several):
      name = schema.shard_name(split, k, len(several))
      target = os.path.join(out, name)
      if copy:
        shutil.copyfile(shard.path, target)
      else:
        os.symlink(os.path.realpath(shard.path), target)
      sidecars.append(foreign_dataset.sidecar(shard, name, labels, made_with))
      output_directory.write_json(out, schema.sidecar_name(name), sidecars[-1])
  return sidecars


def _complete(out, info, sidecars):
  output_directory.write_json(out, schema.DATASET_INFO, info)
  totals = {field: sum(split[field] for split in info['splits'].values())
            for field in ('num_videos', 'num_clips', 'seconds')}
  mark = config_lib.fingerprint(
      info['options'], info['labels'], [shard['sha256'] for shard in sidecars])
  output_directory.complete(out, mark, totals)


def _tell(info, records):
  made_with = info['options']
  for split, entry in info['splits'].items():
    if entry['shards']:
      _say(f'  {split}: {entry["num_videos"]} videos, {entry["num_clips"]} records in '
           f'{len(entry["shards"])} shards')
  sound = f'{made_with["sample_rate"]} Hz' if made_with['sample_rate'] else 'none'
  _say(f'  {len(info["labels"])} classes; {made_with["frame_rate"]:g} frames per '
       f'second; sound: {sound}; flow: {made_with["flow"] or "none"}')
  without = sum(not found.samples for found in records)
  if made_with['sample_rate'] and without:
    _say(f'note: {without} of {len(records)} records have no sound.')
  nameless = sum(not found.name for found in records)
  if nameless:
    _say(f'note: {nameless} of {len(records)} records have no name, as '
         f'{schema.MEDIA_ID}: predictions cannot say which video they are of.')


def _say(text: str):
  print(text, file=sys.stderr, flush=True)


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
  """Runs; a mistake is one line and exit code 1, never a traceback."""
  try:
    if len(argv) > 1:
      raise ValueError(f'{argv[1]!r} is no flag; a path with * belongs in quotes.')
    run(values)
    return 0
  except (ValueError, OSError) as error:
    _say(f'adopt_shards: {command_line.one_line(error)}')
    return 1
  except KeyboardInterrupt:
    _say(f'stopped; delete what is in {values.output_dir} before the next try.')
    return 130


if __name__ == '__main__':
  define_flags(flags.FLAGS)
  command_line.run('adopt_shards', main)
