"""Turns raw videos into TFRecord shards.

  python -m beam_pipelines.prepare_videos --manifest=M.csv --output_dir=DATA

The manifest is a CSV with the columns video_path,label and, if you like, split (train,
validation or val, test). A video that cannot be used goes to DATA/rejected.csv with a
reason; the others become records. Stop it at any time and run the same command again:
finished shards are kept. All options of Apache Beam can be added, as --runner=... or
--direct_num_workers=4.
"""

import collections
import time

from beam_pipelines import runner  # first: it quiets what Beam says when it is loaded

# pylint: disable=wrong-import-position,ungrouped-imports
from absl import app
from absl import flags
import apache_beam as beam

from beam_pipelines import config as config_lib
from beam_pipelines import dataset_files
from beam_pipelines import execution
from beam_pipelines import job as job_lib
from beam_pipelines import manifest
from beam_pipelines import progress
from beam_pipelines import shards as shards_lib
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
_FLOW = flags.DEFINE_enum(
    'flow', 'none', ['none', *schema.FLOW_ALGORITHMS],
    'Optical flow from each stored frame to the next. dis_fast costs about as much as '
    'all the rest; dis_medium 4 times, farneback 8 times, tvl1 500 times that flow.')
_LOG_MELS = flags.DEFINE_list(
    'log_mels', '', 'Log-mels to store beside the waveform, of: '
    + ', '.join(schema.LOG_MELS) + '.')
_FRAMES = flags.DEFINE_enum(
    'frames', 'dense', schema.FRAMES,
    'dense: all frames. segments: windows spread evenly over the video, with their '
    'sound and flow; for long videos.')
_NUM_SEGMENTS = flags.DEFINE_integer(
    'num_segments', 10, 'With --frames=segments: windows of a video.')
_SEGMENT_FRAMES = flags.DEFINE_integer(
    'segment_frames', 32, 'With --frames=segments: frames of a window.')
_SEGMENT_MARGIN_SECONDS = flags.DEFINE_float(
    'segment_margin_seconds', 0.25,
    'With --frames=segments: what is kept on both sides of a window, in seconds.')
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
    'A video that gives no sign of life for so long is rejected as timeout.')
_SPLIT_FRACTIONS = flags.DEFINE_list(
    'split_fractions', 'train:0.8,validation:0.1,test:0.1',
    'Shares of the splits, by stable hash; used if the manifest has no split column.')
_SPLIT_SEED = flags.DEFINE_integer(
    'split_seed', 0, 'Another number, another split by hash.')
_SPLIT_METHOD = flags.DEFINE_enum(
    'split_method', 'hash', manifest.SPLIT_METHODS,
    'hash: each video by itself, so that added videos move none. stratified: each '
    'class gets its shares; for small sets.')
_LABEL_SEPARATOR = flags.DEFINE_string(
    'label_separator', '',
    'Text between the labels of one video, as "|"; empty: one label per video.')
_RETRY_REJECTED = flags.DEFINE_bool(
    'retry_rejected', False, 'Makes finished shards with rejected videos again.')

_MAX_TIMEOUT_SECONDS = 86400.0


def default_num_shards(rows: int) -> int:
  """About 8 videos a shard for small sets, so that workers share them; then 64."""
  return max(min(-(-rows // 8), 64), -(-rows // 64))


def make_job(rows: list[manifest.Row]) -> job_lib.Job:
  """The job of the flags and of the manifest's rows; checks all options.

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
      flow='' if _FLOW.value == 'none' else _FLOW.value,
      log_mels=tuple(_LOG_MELS.value),
      frames=_FRAMES.value,
      num_segments=_NUM_SEGMENTS.value,
      segment_frames=_SEGMENT_FRAMES.value,
      segment_margin_seconds=_SEGMENT_MARGIN_SECONDS.value,
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
    for name in ('split_fractions', 'split_seed', 'split_method'):
      if flags.FLAGS[name].present:
        raise ValueError(
            f'--{name} is for a split by hash, and {_MANIFEST.value} has a column '
            'split; remove one of them.')
  for name in ('num_segments', 'segment_frames', 'segment_margin_seconds'):
    if flags.FLAGS[name].present and config.frames == 'dense':
      raise ValueError(f'--{name} is for windows of long videos; add '
                       '--frames=segments, or remove it.')
  counts = collections.Counter(row.split for row in manifest.with_splits(
      rows, fractions, str(_SPLIT_SEED.value), _SPLIT_METHOD.value))
  # Rows may be added to a directory that is begun; its shards stay as many.
  begun = (dataset_files.read_options(_OUTPUT_DIR.value) or {}).get('num_shards', {})
  num_shards = {
      split: (_NUM_SHARDS.value or begun.get(split) or default_num_shards(counts[split])
              if counts[split] else 0)
      for split in schema.SPLITS
  }
  return job_lib.Job(
      # Workers of other engines start in other folders.
      manifest_path=storage.absolute(_MANIFEST.value),
      output_dir=storage.absolute(_OUTPUT_DIR.value),
      config=config,
      labels=tuple(manifest.class_names(rows)),
      num_shards=num_shards,
      video_root=_VIDEO_ROOT.value and storage.absolute(_VIDEO_ROOT.value),
      label_separator=_LABEL_SEPARATOR.value,
      split_fractions=fractions,
      split_seed=_SPLIT_SEED.value,
      split_method=_SPLIT_METHOD.value,
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
  # A mistake in a local manifest is told before an engine looks for its cloud; a remote
  # one can only be read with the engine's options.
  rows = None if storage.is_remote(_MANIFEST.value) else _read_manifest()
  pipeline, dry_run = runner.make_pipeline('prepare_videos', arguments)
  rows = _read_manifest() if rows is None else rows
  job = make_job(rows)
  rows = job.with_splits(rows)
  dataset_files.check_options(job)
  if not job.retry_rejected and dataset_files.is_complete(job, rows):
    runner.say(f'{job.output_dir} is complete with this manifest and these options; '
               'nothing to do.')
    return 0
  _check_videos(rows)
  with directory_lock.hold(job.output_dir, '--output_dir'):
    return _run_pipeline(pipeline, job, rows, dry_run)


def _read_manifest() -> list[manifest.Row]:
  return manifest.read(_MANIFEST.value, video_root=_VIDEO_ROOT.value,
                       label_separator=_LABEL_SEPARATOR.value)


def _check_videos(rows: list[manifest.Row]):
  """Raises `ValueError` if no video is there: then the root is wrong, or not mounted.

  To reject them all would also remake the shards of a finished directory as empty.
  """
  if not any(storage.is_remote(row.path) or storage.exists(row.path) for row in rows):
    raise ValueError(
        f'none of the {len(rows)} videos of {_MANIFEST.value} is there; the first was '
        f'looked for as {rows[0].path}. Correct the paths, or what they start from: '
        '--video_root=FOLDER.')


def _run_pipeline(pipeline: beam.Pipeline, job: job_lib.Job,
                  rows: list[manifest.Row], dry_run: bool) -> int:
  _warn_about_splits(job, rows)
  if not dry_run:
    dataset_files.begin(job)
  videos = collections.Counter(job.shard_name(job.key_of(row)) for row in rows)
  runner.say(f'{len(rows)} videos, {len(job.labels)} classes, '
             f'{len(job.shard_keys())} shards -> {job.output_dir}')
  begin = time.monotonic()
  result = execution.run(
      pipeline, transforms.PrepareShards(job), output_dir=job.output_dir, videos=videos,
      timeout_seconds=job.timeout_seconds, dry_run=dry_run)
  if result is None:
    return 0
  seconds = time.monotonic() - begin
  return _summarize(job, dataset_files.finish(job, rows), seconds, _metrics(result))


def _metrics(result) -> dict[str, int]:
  """What the workers of this run counted, by the names of `shards.metric_names`."""
  found = result.metrics().query(
      beam.metrics.MetricsFilter().with_namespace(transforms.METRICS))
  return {counter.key.metric.name: counter.result or 0
          for counter in found['counters']}


def _warn_about_splits(job, rows):
  by_split = collections.defaultdict(list)
  for row in rows:
    by_split[row.split].append(row)
  for split in schema.SPLITS:
    if not by_split[split]:
      runner.say(f'note: split {split} has no videos.')
      continue
    counts = manifest.count_by_label(by_split[split], job.labels)
    empty = [name for name, count in counts.items() if not count]
    if empty:
      fix = (' --split_method=stratified gives each class its shares.'
             if job.split_fractions and job.split_method == 'hash' else '')
      runner.say(f'note: {len(empty)} of {len(job.labels)} classes have no video in '
                 f'split {split}, as {empty[0]!r}.{fix}')


def _summarize(job, result, seconds, metrics) -> int:
  videos, rejected = result['num_videos'], sum(result['rejected'].values())
  reasons = ', '.join(f'{n} {reason}' for reason, n in result['rejected'].items())
  where = f'; see {job.output_dir}/{schema.REJECTED}' if rejected else ''
  total = videos + rejected
  runner.say(f'{total}/{total} videos in {progress.duration(seconds)}: '
             f'{result["num_clips"]} records of {videos} videos '
             f'({progress.duration(result["seconds"])} of film, '
             f'{result["without_audio"]} without sound, {result["truncated"]} cut '
             'short)')
  _say_stages(metrics)
  runner.say(f'rejected: {rejected}' + (f' ({reasons}){where}' if rejected else ''))
  for split, entry in result['info']['splits'].items():
    shards = len(entry['shards'])
    runner.say(f'  {split}: {entry["num_videos"]} videos in {shards} '
               f'shard{"" if shards == 1 else "s"}')
  if not videos:
    runner.say(f'error: all {rejected} videos were rejected ({reasons}), so there is '
               f'no data set; see {job.output_dir}/{schema.REJECTED}.')
    return 1
  runner.say(f'done: {job.output_dir}')
  return 0


def _say_stages(metrics):
  stages = {s: metrics.get(f'microseconds_{s}', 0) / 1e6 for s in shards_lib.STAGES}
  total = sum(stages.values())
  if total:
    film = metrics.get('microseconds_of_film', 0) / 1e6
    runner.say(
        f'{progress.duration(total)} of CPU time, {film / total:.1f} seconds of film '
        'per second: ' + ', '.join(
            f'{stage} {seconds / total:.0%}' for stage, seconds in stages.items()
            if seconds))


def main(argv: list[str]) -> int:
  """Runs; a mistake is one line and exit code 1, never a traceback."""
  return runner.guarded(run, argv)


if __name__ == '__main__':
  flags.mark_flags_as_required([_MANIFEST, _OUTPUT_DIR])
  app.run(main, flags_parser=runner.parse_flags)
