"""Runs of seconds: two-layer backbones on the real data, model and training code."""

import functools
import os
import signal

import tensorflow as tf

from tests.data import tiny_shards
from tfmm.data import dataset
from tfmm.encoders import encoder
from tfmm.layers import gated_encoder
from tfmm.losses import efficiency, recognition
from tfmm.models import adamml, fusion
from tfmm.training import loop, optimizers, phases

FRAMES = dataset.RgbFrames(
    num_frames=2, stride=2, size=16, short_side=20, scale_range=(20, 24))
PREVIEW = dataset.RgbPreview(frames=(0,), size=8)
SOUND = dataset.LogSpectrogram(
    sample_rate=8000, seconds=.16, n_fft=31, window=30, hop=80)


class Backbone(encoder.Encoder):
  """Mean over frames, one strided convolution, batch normalization, mean."""

  def __init__(self, *, row_spec, feature_dim=4):
    super().__init__(row_spec=row_spec, feature_dim=feature_dim)
    self.conv = tf.keras.layers.Conv2D(feature_dim, 3, strides=2, use_bias=False)
    self.norm = tf.keras.layers.BatchNormalization(momentum=.5, synchronized=True)
    self.conv.build([None, *row_spec.shape[-3:]])
    self.norm.build([None, None, None, feature_dim])

  def call(self, rows, training=False):
    rows = tf.cast(rows, tf.float32) / 64.
    if rows.shape.rank == 5:
      rows = tf.reduce_mean(rows, 1)  # [N, F, H, W, C] -> [N, H, W, C]
    return tf.reduce_mean(
        tf.nn.relu(self.norm(self.conv(rows), training=training)), [1, 2])


def gated(view):
  return gated_encoder.GatedEncoder(Backbone(row_spec=view.spec()), view=view.name)


def unimodal(num_classes, modality='rgb', dropout=.2):
  view = {'rgb': FRAMES, 'audio': SOUND}[modality]
  return fusion.LateFusion(
      encoders={modality: gated(view)}, num_classes=num_classes, dropout=dropout)


def late_fusion(num_classes, dropout=.2):
  return fusion.LateFusion(
      encoders={'rgb': gated(FRAMES), 'audio': gated(SOUND)}, num_classes=num_classes,
      dropout=dropout)


def ada_mml(num_classes):
  policy = functools.partial(
      adamml.Policy, joint_dim=8, lstm_units=4, encoders={
          v.name: Backbone(row_spec=v.spec()) for v in (PREVIEW, SOUND)})
  return adamml.AdaMML(
      encoders={'rgb': gated(FRAMES), 'audio': gated(SOUND)}, policy=policy,
      num_classes=num_classes, dropout=.2)


def spec(*views):
  return dataset.DatasetSpec(
      views=views, modalities=tuple(dict.fromkeys(v.modality for v in views)),
      num_segments=2, eval_segments=3, segment_frames=4, shuffle_buffer=8)


def rgb_spec():
  return spec(FRAMES)


def make_data(directory, splits=(('train', 9), ('validation', 5)), flow=False):
  options = {'flow': 'dis_fast'} if flow else {}
  for split, count in splits:
    videos = [tiny_shards.noise_video(f'{split}{k}', 8, seed=k, labels=(k % 3,))
              for k in range(count)]
    if flow:
      videos = [tiny_shards.with_flow(video) for video in videos]
    tiny_shards.write(directory, videos, split=split, num_shards=2, **options)
  return str(directory)


def unimodal_options(**changes):
  """Arguments of `loop.train` for RGB alone."""
  return {
      'model': unimodal, 'dataset': spec(FRAMES), 'batch_size': 4, 'log_every': 2,
      'phases': phases.single_phase(
          loss=recognition.CrossEntropy(), epochs=2, decay_epochs=(1,)),
      'optimizers': {'recognition': optimizers.OptimizerSpec(learning_rate=.05)},
      **changes}


def adamml_options(*, lr_decay='paper', frozen_batch_statistics='frozen',
                   start='best', **changes):
  """Arguments of `loop.train`: 1 epoch of warm-up, 2 alternating, 2 of fine-tuning."""
  plan = phases.adamml_phases(
      loss=recognition.CrossEntropy(),
      penalty=efficiency.SelectionPenalty(weights={'rgb': 1., 'audio': .05}),
      warm_up_epochs=1, alternating_epochs=2, fine_tune_epochs=2, decay_epochs=(1,),
      lr_decay=lr_decay, frozen_batch_statistics=frozen_batch_statistics, start=start)
  return {
      'model': ada_mml, 'dataset': spec(FRAMES, PREVIEW, SOUND), 'batch_size': 4,
      'phases': plan, 'log_every': 1, 'checkpoint_every': 1,
      'optimizers': {
          'recognition': optimizers.OptimizerSpec(learning_rate=.05),
          'policy': optimizers.OptimizerSpec(name='adam', learning_rate=.01)},
      **changes}


def train_and_die(data_dir, model_dir, die_at=None, die_in_validation=None):
  """Body of a child process: trains AdaMML, and kills itself on the way.

  Args:
    data_dir, model_dir: of the run.
    die_at: global step after which SIGKILL comes, before it is saved.
    die_in_validation: global step at whose validation SIGKILL comes.
  """
  from tfmm.training import trainer
  take, validate = trainer.Trainer.train, trainer.Validator.evaluate

  def train(self, num_steps):
    outputs = take(self, num_steps)
    if int(self._global_step.numpy()) == die_at:
      os.kill(os.getpid(), signal.SIGKILL)
    return outputs

  def evaluate(self, num_steps):
    outputs = validate(self, num_steps)
    latest = tf.train.latest_checkpoint(model_dir)
    if latest.endswith(f'ckpt-{die_in_validation}'):
      os.kill(os.getpid(), signal.SIGKILL)
    return outputs

  trainer.Trainer.train, trainer.Validator.evaluate = train, evaluate
  loop.train(data_dir=data_dir, model_dir=model_dir, seed=3, **adamml_options())


def train_to_file(data_dir, model_dir, **execution):
  """Body of a child process: trains fusion without dropout under a strategy."""
  from tfmm.training import strategy
  loop.train(
      data_dir=data_dir, model_dir=model_dir, seed=3, batch_size=4, log_every=1,
      model=functools.partial(late_fusion, dropout=0.), dataset=spec(FRAMES, SOUND),
      phases=phases.single_phase(
          loss=recognition.CrossEntropy(), epochs=4, decay_epochs=(2,)),
      optimizers={'recognition': optimizers.OptimizerSpec(
          learning_rate=.05, weight_decay=.01, clip_norm=1.)},
      execution=strategy.Execution(**execution))
