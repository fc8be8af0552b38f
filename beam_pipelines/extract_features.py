"""Runs an encoder over prepared shards and writes shards of features.

  python -m beam_pipelines.extract_features --data_dir=DATA --output_dir=FEATURES \\
      --encoder=run:RUN/rgb --steps=10

The encoder is a directory with a SavedModel, the https address of a model of TensorFlow
Hub, run:RUN/MODALITY of a trained run, or new:module.Class(...), an encoder of
tfmm.encoders without training. One command is one encoder and one directory; several of
them are read together by tfmm.data.features. Stop it at any time and run the same
command again: finished shards are kept. All options of Apache Beam can be added, as
--runner=... or --direct_num_workers=4.
"""

import logging
import os

from absl import app
from absl import flags

from beam_pipelines import feature_config
from beam_pipelines import runner

_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Output of prepare_videos. Required.')
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Directory for the features; made if needed. Required.')
_OPTIONS = {
    'encoder': flags.DEFINE_string(
        'encoder', None,
        'A directory with a SavedModel, an https address of TensorFlow Hub, '
        'run:RUN_DIR/rgb, or new:resnet.ResNet(depth=18, num_frames=8). Required.'),
    'view': flags.DEFINE_enum(
        'view', None, feature_config.VIEWS,
        'What the encoder reads: rgb (frames, the default), audio (a waveform) or '
        'flow. A run knows.'),
    'name': flags.DEFINE_string(
        'name', None, 'Of the features, in capitals; RGB, AUDIO or FLOW by default.'),
    'steps': flags.DEFINE_integer(
        'steps', None, 'How many steps of each video, spread evenly.'),
    'every_seconds': flags.DEFINE_float(
        'every_seconds', None, 'Instead of --steps: one step in each so many seconds.'),
    'segment_frames': flags.DEFINE_integer(
        'segment_frames', None,
        'Frames of a step; what the encoder spans if not given. Give encoders that '
        'belong together the same number, so that they look at the same times.'),
    'num_frames': flags.DEFINE_integer(
        'num_frames', None, 'Frames that are read of a step; 1 if not given.'),
    'stride': flags.DEFINE_integer(
        'stride', None, 'Distance of two of them in frames of the record; 1.'),
    'size': flags.DEFINE_integer(
        'size', None, 'Pixels of the square that is cut from the middle; 224.'),
    'short_side': flags.DEFINE_integer(
        'short_side', None, 'Pixels of the short side before that; 8/7 of the size.'),
    'fields': flags.DEFINE_integer(
        'fields', None, 'Fields of optical flow with each frame; 5.'),
    'pixels': flags.DEFINE_enum(
        'pixels', None, list(feature_config.PIXELS),
        "Range of pixels of an encoder that reads floating-point numbers; TensorFlow "
        "Hub's is 0..1, the default."),
    'seconds': flags.DEFINE_float(
        'seconds', None, "Sound around a step's middle; 0.96."),
    'sample_rate': flags.DEFINE_integer(
        'sample_rate', None, 'Hertz that the encoder hears; 16000.'),
    'signature': flags.DEFINE_string(
        'signature', None,
        'Of a SavedModel; serving_default if it has one, else the model is called.'),
    'output': flags.DEFINE_string(
        'output', None,
        'Name or number of the features among its outputs, or a layer of a Keras '
        'model; needed if there are several. 1 for a model like YAMNet.'),
    'checkpoint': flags.DEFINE_enum(
        'checkpoint', None, ['last', 'best'], 'Of a run; last.'),
    'seed': flags.DEFINE_integer('seed', None, 'Of the weights of new:...; 0.'),
    'batch_size': flags.DEFINE_integer(
        'batch_size', 16,
        'Steps that are encoded together, of one video or several; fewer need less '
        'memory.'),
}


def run(arguments: list[str]) -> int:
  """Extracts the features that the flags describe; returns the exit code."""
  config = feature_config.FeatureConfig(
      **{name: flag.value for name, flag in _OPTIONS.items()})
  pipeline, dry_run = runner.make_pipeline('extract_features', arguments)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  logging.getLogger('tensorflow').setLevel(logging.ERROR)
  # Loads TensorFlow: help and mistaken flags answer at once.
  from beam_pipelines import feature_extraction
  return feature_extraction.extract(
      config, _DATA_DIR.value, _OUTPUT_DIR.value, pipeline=pipeline, dry_run=dry_run)


def main(argv: list[str]) -> int:
  """Runs; a mistake is one line and exit code 1, never a traceback."""
  return runner.guarded(run, argv)


if __name__ == '__main__':
  flags.mark_flags_as_required([_DATA_DIR, _OUTPUT_DIR, _OPTIONS['encoder']])
  app.run(main, flags_parser=runner.parse_flags)
