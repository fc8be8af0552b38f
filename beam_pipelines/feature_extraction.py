"""One extraction from begin to end: checks, the pipeline, what stands beside shards."""

import time

from beam_pipelines import runner  # before Beam

# pylint: disable=wrong-import-order
import apache_beam as beam

from beam_pipelines import execution
from beam_pipelines import feature_config
from beam_pipelines import feature_files
from beam_pipelines import feature_shards
from beam_pipelines import progress
from tfmm import directory_lock

_TIMEOUT_SECONDS = 900.0  # to load an encoder on a worker, or for one batch


def extract(config: feature_config.FeatureConfig, data_dir: str, output_dir: str, *,
            pipeline: beam.Pipeline, dry_run: bool = False) -> int:
  """Writes the features of all shards of a data set.

  Args:
    config: Encoder and options.
    data_dir: Output of prepare_videos.
    output_dir: Where features go.
    pipeline: An empty one, with the options of the engine.
    dry_run: Only build the job, on engines that can.

  Returns:
    The exit code.

  Raises:
    ValueError: On a user's mistake.
    OSError: If files cannot be read or written.
  """
  loaded = feature_shards.ShardEncoder(config, data_dir)
  job = feature_shards.Job(
      config=config, data_dir=data_dir, output_dir=output_dir,
      name=loaded.encoder.name, options=loaded.options)
  shards = feature_files.shards_of(loaded.info)
  feature_files.check_options(job, list(shards))
  if feature_files.is_complete(job, list(shards)):
    runner.say(f'{job.output_dir} is complete with this data, encoder and these '
               'options; nothing to do.')
    return 0
  info, identity = loaded.info, loaded.encoder.identity
  _warn_about_rates(loaded)
  del loaded  # workers load their own
  with directory_lock.hold(job.output_dir, '--output_dir'):
    if not dry_run:
      feature_files.begin(job)
    runner.say(
        f'{sum(shards.values())} videos in {len(shards)} shards of {job.data_dir}, '
        f'{job.options["dimensions"]} numbers a step -> {job.output_dir}')
    begin = time.monotonic()
    result = execution.run(
        pipeline, feature_shards.ExtractShards(job, list(shards)),
        output_dir=job.output_dir, videos=shards, timeout_seconds=_TIMEOUT_SECONDS,
        dry_run=dry_run)
    if result is None:
      return 0
    feature_shards.release()
    totals = feature_files.finish(job, info, identity)
  _summarize(job, totals, time.monotonic() - begin)
  return 0


def _warn_about_rates(loaded):
  """A run sees and hears as it was trained to, whatever the data's rate."""
  trained, now = loaded.encoder.trained_on, loaded.info.options
  if trained and trained.get('frame_rate') != now.get('frame_rate'):
    runner.say(f'note: the encoder was trained at {trained.get("frame_rate"):g} frames '
               f'a second and {loaded.info.data_dir} has {now.get("frame_rate"):g}.')


def _summarize(job, totals, seconds):
  missing = []
  if totals['absent']:
    missing.append(f'{totals["absent"]} have nothing to encode')
  if totals['not_finite']:
    missing.append(f'{totals["not_finite"]} gave no finite numbers')
  note = f' ({", ".join(missing)}: zeros, marked as not present)' if missing else ''
  runner.say(f'{totals["num_steps"]} steps of {totals["num_videos"]} videos in '
             f'{progress.duration(seconds)}{note}')
  runner.say(f'done: {job.output_dir}')
