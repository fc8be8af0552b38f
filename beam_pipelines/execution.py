"""Running a pipeline from a command line: progress, quiet workers, and its end."""

import contextlib
import io
import sys
from collections.abc import Mapping

from beam_pipelines import runner  # before Beam

# pylint: disable=wrong-import-order
from absl import flags
import apache_beam as beam
from apache_beam.runners import runner as beam_runner

from beam_pipelines import progress
from beam_pipelines import watchdog


def run(pipeline: beam.Pipeline, transform: beam.PTransform, *, output_dir: str,
        videos: Mapping[str, int], timeout_seconds: float, dry_run: bool
        ) -> beam_runner.PipelineResult | None:
  """Runs a transform that makes the shards of a directory, to its end.

  Args:
    pipeline: An empty one, of `runner.make_pipeline`.
    transform: From nothing to something for each shard.
    output_dir: Where shards go.
    videos: How many each shard has, by its file name; for progress.
    timeout_seconds: Workers give a sign of life at least so often.
    dry_run: Only build the job, on engines that can.

  Returns:
    The result of the finished job; None after a dry run.

  Raises:
    OSError: If workers give no sign of life; engines raise what they like.
  """
  stderr = sys.stderr
  with progress.Progress(output_dir, videos, stream=stderr), _without_prints():
    _ = pipeline | transform
    result = pipeline.run()
    if not dry_run:
      watchdog.wait(
          result, progress.signs_of_life(output_dir), timeout_seconds, stderr)
      return result
  transforms = len(result.job.proto_pipeline.components.transforms)
  runner.say(f'dry run: the job is valid and has {transforms} transforms; nothing was '
             'run.')
  return None


def _without_prints():
  """Beam's workers print tracebacks beside logging and raising; --verbosity shows."""
  if flags.FLAGS['verbosity'].present:
    return contextlib.nullcontext()
  return contextlib.redirect_stderr(io.StringIO())
