"""The pipeline: one shard of records in, one shard of features out, each in one piece.

Model calls go through Beam's RunInference with a shard as its example: it loads the
encoder once per process, lets threads share it, and counts and times shards. Rows are
batched inside of a shard and not by RunInference itself, which would batch what a
bundle happens to hold: then bytes would depend on the workers, pictures would cross
stages, and features would have to be shuffled back into their shards. Here batches are
cut from the rows of a shard in their order, so the same encoder, shard and batch size
give the same bytes whatever the number of workers, on one kind of machine. (Another
processor or number of cores may round differently, as TensorFlow does.)
"""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference import base as inference
from apache_beam.utils import shared
import tensorflow as tf

from beam_pipelines import config as config_lib
from beam_pipelines import feature_config
from beam_pipelines import feature_encoder
from beam_pipelines import feature_records
from beam_pipelines import feature_rows
from beam_pipelines import output_directory
from beam_pipelines import shards as shards_lib
from beam_pipelines import storage
from beam_pipelines import tfrecord
from beam_pipelines import transforms
from tfmm import schema
from tfmm.data import info as info_lib

# RunInference would like to measure memory with a package that is not needed here.
logging.getLogger().addFilter(
    lambda record: 'Resource module is not available' not in str(record.msg))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """All that a worker must know; plain data.

  Attributes:
    config: What the user asked for.
    data_dir: Output of prepare_videos.
    output_dir: Where feature shards go.
    name: Of the features in a record, as RGB.
    options: What decides the content of features; see `options_of`.
  """

  config: feature_config.FeatureConfig
  data_dir: str
  output_dir: str
  name: str
  options: Mapping[str, Any]


def options_of(config: feature_config.FeatureConfig,
               encoder: feature_encoder.RowEncoder,
               data_options: Mapping[str, Any]) -> dict[str, Any]:
  """What decides the content of features, as JSON values.

  The encoder counts by its content: its path may change.
  """
  view = encoder.views[-1]
  return json.loads(json.dumps({
      'name': encoder.name,
      'dimensions': encoder.dimensions,
      'steps': config.steps,
      'every_seconds': config.every_seconds,
      'segment_frames': encoder.window,
      'pixels': config.pixels,
      'view': {'class': type(view).__name__, **dataclasses.asdict(view)},
      'encoder': {k: v for k, v in encoder.identity.items() if k != 'path'},
      # Other shards are other files, which `feature_files` looks at.
      'data': {k: v for k, v in data_options.items() if k != 'num_shards'},
  }))


def shard_fingerprint(job: Job, shard: str) -> str:
  """What decides a shard's content: the options and the content of its source."""
  source = output_directory.read_sidecar(job.data_dir, shard)
  content = (source['sha256'] if source
             else storage.content_mark(storage.join(job.data_dir, shard)))
  return config_lib.fingerprint(job.options, shard, content)


class ShardEncoder:
  """What a process loads once: the encoder, and what the data set says of itself.

  Attributes:
    info: the `DatasetInfo`.
    encoder: the `RowEncoder`.
    reader: the `Reader` of the data set.
    options: as `options_of`.
  """

  def __init__(self, config: feature_config.FeatureConfig, data_dir: str):
    self.info = info_lib.load_info(data_dir)
    self.encoder = feature_encoder.open_encoder(config, self.info.options)
    self.reader = feature_rows.Reader(
        self.info, self.encoder.views, self.encoder.window, config)
    self.options = options_of(config, self.encoder, self.info.options)


def make_shard(job: Job, shard: str, loaded: ShardEncoder,
               report: Callable[[int], Any] = lambda done: None) -> dict[str, Any]:
  """Writes the features of one shard, then its sidecar; returns that.

  Args:
    job: The job.
    shard: File name, of the records and of their features.
    loaded: Encoder and reader.
    report: Called with the number of videos done, after each batch and video.
  """
  rate = 1 / job.config.every_seconds if job.config.every_seconds else None
  steps, media_ids, absent, not_finite = [], [], 0, 0
  fingerprint = shard_fingerprint(job, shard)

  def encode(rows):
    floats = loaded.encoder(rows)
    report(len(steps))  # a long video is many batches
    return floats

  with tfrecord.ShardWriter(job.output_dir, shard) as writer:
    with info_lib.reading(loaded.info):
      for features in feature_records.encode_videos(
          loaded.reader.chunks(shard), encode,
          dimensions=loaded.encoder.dimensions, batch_size=job.config.batch_size):
        writer.write(feature_records.record(features, job.name, rate))
        media_ids.append(features.video.media_id.decode('utf-8'))
        steps.append(len(features.present))
        absent += int((features.present == 0).sum()) - features.not_finite
        not_finite += features.not_finite
        report(len(steps))
    size, digest = writer.commit()
  sidecar = {
      'schema_version': schema.VERSION,
      'file': shard,
      'fingerprint': fingerprint,
      'sha256': digest,
      'bytes': size,
      'num_videos': len(steps),
      'media_ids': media_ids,
      'steps': steps,
      'absent': absent,
      'not_finite': not_finite,
      'batch_size': job.config.batch_size,
      'versions': versions(),
  }
  output_directory.write_json(job.output_dir, schema.sidecar_name(shard), sidecar)
  return sidecar


def versions() -> dict[str, str]:
  """Of what decides bytes; recorded, not compared."""
  return {'tensorflow': tf.__version__, **shards_lib.versions()}


def release():
  """Lets go of the encoder that Beam keeps for a next stage.

  TensorFlow's functions complain if they are still there when Python ends.
  """
  shared.Shared().acquire(set)


def is_finished(job: Job, shard: str) -> bool:
  """Whether a shard is there and would come out the same."""
  sidecar = output_directory.read_sidecar(job.output_dir, shard)
  return sidecar is not None and (
      sidecar.get('fingerprint') == shard_fingerprint(job, shard))


class ShardHandler(inference.ModelHandler[str, inference.PredictionResult,
                                          ShardEncoder]):
  """RunInference's model: its examples are names of shards."""

  def __init__(self, job: Job):
    super().__init__()
    self._job = job

  def load_model(self) -> ShardEncoder:
    job = self._job
    transforms.report_progress(job.output_dir, 'encoder', 0)  # a worker has begun
    loaded = ShardEncoder(job.config, job.data_dir)
    changed = config_lib.differences(
        feature_config.flat(job.options), feature_config.flat(loaded.options))
    if changed:
      raise ValueError('encoder or data are others on this worker, or changed since '
                       f'the command began: {"; ".join(changed)}.')
    return loaded

  def run_inference(self, batch: Sequence[str], model: ShardEncoder,
                    inference_args: dict[str, Any] | None = None
                   ) -> Iterable[inference.PredictionResult]:
    del inference_args
    for shard in batch:
      sidecar = make_shard(
          self._job, shard, model, lambda done: transforms.report_progress(
              self._job.output_dir, shard, done))  # pylint: disable=cell-var-from-loop
      yield inference.PredictionResult(shard, sidecar['num_videos'])

  def batch_elements_kwargs(self) -> Mapping[str, Any]:
    return {'min_batch_size': 1, 'max_batch_size': 1}

  def get_metrics_namespace(self) -> str:
    return 'extract_features'


class ExtractShards(beam.PTransform):
  """From nothing to the results of the shards that had to be made."""

  def __init__(self, job: Job, shards: Sequence[str]):
    super().__init__()
    self._job = job
    self._shards = tuple(shards)

  def expand(self, pbegin):
    job = self._job
    return (
        pbegin
        | 'Shards' >> beam.Create(self._shards)
        | 'Unfinished' >> beam.Filter(lambda shard: not is_finished(job, shard))
        # Without it a runner would fuse all shards into one piece of work.
        | 'Spread' >> beam.Reshuffle()
        | 'Encode' >> inference.RunInference(ShardHandler(job)))
