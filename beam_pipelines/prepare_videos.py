"""Turns raw videos into TFRecord shards.

  python -m beam_pipelines.prepare_videos --manifest=M.csv --output_dir=DATA

The manifest is a CSV with the columns video_path,label and, if you like, split (train,
validation or val, test). A video that cannot be used goes to DATA/rejected.csv with a
reason; the others become records. Stop it at any time and run the same command again:
finished shards are kept. All options of Apache Beam can be added, as --runner=... or
--direct_num_workers=4.
"""

import collections
import contextlib
import difflib
import io
import logging
import sys
import time
import warnings

# Beam's optional Google clients complain at import; nothing here needs them.
warnings.filterwarnings('ignore', category=FutureWarning, module=r'google\..*')
logging.getLogger().addFilter(lambda record: 'crcmod' not in str(record.msg))

# pylint: disable=wrong-import-position
from absl import app
from absl import flags
from absl import logging as absl_logging
import apache_beam as beam
from apache_beam.options import pipeline_options

from beam_pipelines import config as config_lib
from beam_pipelines import dataset_files
from beam_pipelines import manifest
from beam_pipelines import progress
from beam_pipelines import storage
from beam_pipelines import transforms
from tfmm import directory_lock
from tfmm import schema

_MANIFEST = flags.DEFINE_string(
    'manifest', None, 'CSV with the columns video_path,label[,split]. Required.')
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Directory for the shards; made if needed. Required.')
_VIDEO_ROOT = flags.DEFINE_string(
    'video_root', None,
    "What relative video paths start from; the manifest's folder if not given.")
_FRAME_RATE = flags.DEFINE_float(
    'frame_rate', 30.0, 'Frames per second to store, as 30 or 29.97.')
_SHORT_SIDE = flags.DEFINE_integer(
    'short_side', 256, 'Pixels of the shorter side of the stored frames; even.')
_JPEG_QUALITY = flags.DEFINE_integer('jpeg_quality', 90, 'JPEG quality, 1 to 100.')
_SAMPLE_RATE = flags.DEFINE_integer('sample_rate', 24000, 'Of the waveform, in hertz.')
_WAVEFORM = flags.DEFINE_string(
    'waveform', 'float',
    'How sound is stored: float (any reader) or pcm16 (half the bytes).')
_NUM_SHARDS = flags.DEFINE_integer(
    'num_shards', None, 'Shards of each split; chosen from the rows if not given.')
_MAX_CLIP_SECONDS = flags.DEFINE_float(
    'max_clip_seconds', schema.MAX_CLIP_SECONDS,
    'Longest record in seconds; a longer video becomes several records.')
_MAX_VIDEO_SECONDS = flags.DEFINE_float(
    'max_video_seconds', 4 * 3600.0,
    'A longer video is rejected as too_long, in seconds.')
_TIMEOUT_SECONDS = flags.DEFINE_float(
    'timeout_seconds', 300.0,
    'A video that gives no clip for so long is rejected as timeout.')
_SPLIT_FRACTIONS = flags.DEFINE_list(
    'split_fractions', 'train:0.8,validation:0.1,test:0.1',
    'Shares of the splits, by stable hash; used if the manifest has no split column.')
_SPLIT_SEED = flags.DEFINE_integer(
    'split_seed', 0, 'Another number, another split by hash.')
_LABEL_SEPARATOR = flags.DEFINE_string(
    'label_separator', '',
    'Text between the labels of one video, as "|"; empty: one label per video.')
_RETRY_REJECTED = flags.DEFINE_bool(
    'retry_rejected', False, 'Makes finished shards with rejected videos again.')

_MAX_TIMEOUT_SECONDS = 86400.0
_LOCAL_DEFAULTS = ('--direct_running_mode=multi_threading', '--direct_num_workers=2')


# They log with a traceback what also arrives as an exception, which we tell.
_TALKERS = ('apache_beam.runners.worker', 'apache_beam.runners.portability',
            'apache_beam.runners.common', 'google.auth', 'apache_beam.internal.gcp')


_Parser = pipeline_options._BeamArgumentParser  # pylint: disable=protected-access


class _BeamParser(_Parser):
  """Says a mistake in one line, without the usage of a hundred options."""

  def error(self, message):
    raise ValueError(f'{message} (an option of Beam).')


def beam_arguments(arguments: list[str]) -> list[str]:
  """Checks what is left for Beam and adds our defaults.

  Raises:
    ValueError: On an option that neither we nor Beam know, a value that Beam does not
      take, or a runner that loses data.
  """
  parser = _BeamParser(allow_abbrev=False, add_help=False)
  for options in pipeline_options.PipelineOptions.__subclasses__():
    options._add_argparse_args(parser)  # pylint: disable=protected-access
  known, unknown = parser.parse_known_args(arguments)
  if unknown:
    ours = [f'--{name}' for name in flags.FLAGS]
    theirs = list(parser._option_string_actions)  # pylint: disable=protected-access
    near = difflib.get_close_matches(unknown[0].split('=')[0], ours + theirs, n=1)
    raise ValueError(
        f'{unknown[0]} is an option neither of prepare_videos nor of Beam'
        + (f'; did you mean {near[0]}?' if near else '; see --help.'))
  given = vars(known)
  runner = given.get('runner') or ''
  if 'dask' in runner.lower():
    raise ValueError(
        f"runner {runner} is refused: of several outputs Beam's DaskRunner writes only "
        'one and reports success. Use FnApiRunner, DataflowRunner, or PortableRunner.')
  added = []
  if not runner:
    added.append('--runner=FnApiRunner')
  if runner in ('', 'FnApiRunner'):
    text = ' '.join(arguments)
    added += [option for option in _LOCAL_DEFAULTS if option.split('=')[0] not in text]
  return [*arguments, *added]


def default_num_shards(rows: int) -> int:
  """About 8 videos a shard for small sets, so that workers share them; then 64."""
  return max(min(-(-rows // 8), 64), -(-rows // 64))


def make_job(rows: list[manifest.Row]) -> transforms.Job:
  """The job of the flags and the rows; checks all options.

  Raises:
    ValueError: On an option out of range, or one that differs from those that the
      output directory was begun with.
  """
  config = config_lib.PrepareConfig(
      frame_rate=_FRAME_RATE.value,
      short_side=_SHORT_SIDE.value,
      jpeg_quality=_JPEG_QUALITY.value,
      sample_rate=_SAMPLE_RATE.value,
      waveform=_WAVEFORM.value,
      max_clip_seconds=_MAX_CLIP_SECONDS.value,
      max_video_seconds=_MAX_VIDEO_SECONDS.value)
  if not 0 < _TIMEOUT_SECONDS.value <= _MAX_TIMEOUT_SECONDS:
    raise ValueError(
        f'timeout_seconds is {_TIMEOUT_SECONDS.value}; it must be above 0 and at most '
        f'{_MAX_TIMEOUT_SECONDS:g}.')
  if _NUM_SHARDS.value is not None and not 1 <= _NUM_SHARDS.value <= 99_999:
    raise ValueError(f'num_shards is {_NUM_SHARDS.value}; it must be in [1, 99999].')
  fractions = {}
  if any(not row.split for row in rows):
    fractions = config_lib.parse_fractions(_SPLIT_FRACTIONS.value)
  else:
    for name in ('split_fractions', 'split_seed'):
      if flags.FLAGS[name].present:
        raise ValueError(
            f'--{name} is for a split by hash, and {_MANIFEST.value} has a column '
            'split; remove one of them.')
  seed = str(_SPLIT_SEED.value)
  counts = collections.Counter(manifest.split_of(row, fractions, seed) for row in rows)
  # Rows may be added to a directory that is begun; its shards stay as many.
  begun = (dataset_files.read_options(_OUTPUT_DIR.value) or {}).get('num_shards', {})
  num_shards = {
      split: (_NUM_SHARDS.value or begun.get(split) or default_num_shards(counts[split])
              if counts[split] else 0)
      for split in schema.SPLITS
  }
  return transforms.Job(
      manifest_path=_MANIFEST.value,
      output_dir=_OUTPUT_DIR.value,
      config=config,
      labels=tuple(manifest.class_names(rows)),
      num_shards=num_shards,
      video_root=_VIDEO_ROOT.value,
      label_separator=_LABEL_SEPARATOR.value,
      split_fractions=fractions,
      split_seed=_SPLIT_SEED.value,
      timeout_seconds=_TIMEOUT_SECONDS.value,
      retry_rejected=_RETRY_REJECTED.value)


def run(arguments: list[str]) -> int:
  """Prepares the data set that the flags describe.

  Args:
    arguments: What is left of the command line, for Beam.

  Returns:
    The exit code.

  Raises:
    ValueError: On a user's mistake.
    OSError: If files cannot be read or written.
  """
  options = pipeline_options.PipelineOptions(beam_arguments(arguments))
  # Made first: it refuses bad options before anything is touched, and remote files
  # are read with its options.
  pipeline = beam.Pipeline(options=options)
  dry_run = options.view_as(pipeline_options.TestOptions).dry_run
  if dry_run and 'dataflow' not in type(pipeline.runner).__name__.lower():
    raise ValueError('--dry_run is for DataflowRunner; other runners would run all.')
  rows = manifest.read(_MANIFEST.value, video_root=_VIDEO_ROOT.value,
                       label_separator=_LABEL_SEPARATOR.value)
  job = make_job(rows)
  dataset_files.check_options(job)
  mark = dataset_files.completed_with(job.output_dir)
  if (mark is not None and mark == dataset_files.completion_mark(job, rows)
      and not job.retry_rejected and dataset_files.has_all_shards(job)):
    _say(f'{job.output_dir} is complete with this manifest and these options; nothing '
         'to do.')
    return 0
  _check_videos(rows)
  with directory_lock.hold(job.output_dir, '--output_dir'):
    return _run_pipeline(pipeline, job, rows, dry_run)


def _check_videos(rows: list[manifest.Row]):
  """Raises `ValueError` if no video is there: then the root is wrong, or not mounted.

  To reject them all would also remake the shards of a finished directory as empty.
  """
  if not any(storage.is_remote(row.path) or storage.exists(row.path) for row in rows):
    raise ValueError(
        f'none of the {len(rows)} videos of {_MANIFEST.value} is there; the first was '
        f'looked for as {rows[0].path}. Correct the paths, or what they start from: '
        '--video_root=FOLDER.')


def _run_pipeline(pipeline: beam.Pipeline, job: transforms.Job,
                  rows: list[manifest.Row], dry_run: bool) -> int:
  _warn_about_splits(job, rows)
  if not dry_run:
    dataset_files.begin(job)
  videos = collections.Counter(job.shard_name(job.key_of(row)) for row in rows)
  _say(f'{len(rows)} videos, {len(job.labels)} classes, {len(job.shard_keys())} shards '
       f'-> {job.output_dir}')
  begin = time.monotonic()
  with progress.Progress(job.output_dir, videos, stream=sys.stderr), _without_prints():
    _ = pipeline | 'Prepare' >> transforms.PrepareShards(job)
    result = pipeline.run()
    if dry_run:
      transforms_built = len(result.job.proto_pipeline.components.transforms)
    else:
      result.wait_until_finish()
  if dry_run:
    _say(f'dry run: the job is valid and has {transforms_built} transforms; nothing '
         'was run.')
    return 0
  return _summarize(job, dataset_files.finish(job, rows), time.monotonic() - begin)


def _without_prints():
  """Beam's workers print tracebacks beside logging and raising; --verbosity shows."""
  if flags.FLAGS['verbosity'].present:
    return contextlib.nullcontext()
  return contextlib.redirect_stderr(io.StringIO())


def _warn_about_splits(job, rows):
  by_split = collections.defaultdict(list)
  for row in rows:
    by_split[job.split_of(row)].append(row)
  for split in schema.SPLITS:
    if not by_split[split]:
      _say(f'note: split {split} has no videos.')
      continue
    counts = manifest.count_by_label(by_split[split], job.labels)
    empty = [name for name, count in counts.items() if not count]
    if empty:
      _say(f'note: {len(empty)} of {len(job.labels)} classes have no video in split '
           f'{split}, as {empty[0]!r}.')


def _summarize(job, result, seconds) -> int:
  videos, rejected = result['num_videos'], sum(result['rejected'].values())
  reasons = ', '.join(f'{n} {reason}' for reason, n in result['rejected'].items())
  where = f'; see {job.output_dir}/{schema.REJECTED}' if rejected else ''
  total = videos + rejected
  _say(f'{total}/{total} videos in {progress.duration(seconds)}: '
       f'{result["num_clips"]} records of {videos} videos '
       f'({progress.duration(result["seconds"])} of film, {result["without_audio"]} '
       f'without sound, {result["truncated"]} cut short)')
  _say(f'rejected: {rejected}' + (f' ({reasons}){where}' if rejected else ''))
  for split, entry in result['info']['splits'].items():
    _say(f'  {split}: {entry["num_videos"]} videos in {len(entry["shards"])} shards')
  if not videos:
    _say(f'error: all {rejected} videos were rejected ({reasons}), so there is no data '
         f'set; see {job.output_dir}/{schema.REJECTED}.')
    return 1
  _say(f'done: {job.output_dir}')
  return 0


def _say(text: str):
  print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
  """Runs; a mistake is one line and exit code 1, never a traceback."""
  if not flags.FLAGS['verbosity'].present:
    absl_logging.set_verbosity(absl_logging.WARNING)  # Beam tells much at INFO
    for name in _TALKERS:
      logging.getLogger(name).setLevel(logging.CRITICAL)
  try:
    return run(argv[1:])
  except (ValueError, OSError) as error:
    _say(f'error: {" ".join(str(error).split())}')
  except KeyboardInterrupt:
    _say('stopped; finished shards are kept: the same command goes on from there.')
    return 130
  except Exception as error:  # pylint: disable=broad-exception-caught
    logging.debug('the pipeline stopped', exc_info=True)
    _say(f'error: the pipeline stopped: {_cause(error)} (finished shards are kept: the '
         'same command goes on; --verbosity=1 shows more)')
  return 1


def _cause(error: Exception) -> str:
  """One line: the first of a message, but the last of a worker's traceback."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  if not lines[0].startswith('Traceback'):
    return lines[0]
  return lines[-1].removeprefix('RuntimeError: ')


def parse_flags(argv: list[str]) -> list[str]:
  """Parses our flags; returns the program's name and what is left for Beam."""
  flags.FLAGS.set_gnu_getopt(True)
  try:
    return flags.FLAGS(argv, known_only=True)
  except flags.Error as error:
    _say(f'error: {" ".join(str(error).split())} (--help shows all flags)')
    sys.exit(1)


if __name__ == '__main__':
  flags.mark_flags_as_required([_MANIFEST, _OUTPUT_DIR])
  app.run(main, flags_parser=parse_flags)
