"""Shards to batches, as a pure function of (seed, epoch).

`order` says which videos come when. What chance decides for a video (segments, crop,
flip) hangs on (seed, epoch, media_id), so it does not depend on batch size, workers or
threads.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from tfmm.data import augment as augment_lib
from tfmm.data import order
from tfmm.data import placing
from tfmm.data import requirements
# The views and the info are part of this module's surface.
from tfmm.data.difference_views import RgbDifferencePreview, RgbDifferences
from tfmm.data.feature_spec import FeatureSpec
from tfmm.data.flow_views import FlowFrames, FlowPreview
from tfmm.data.info import DatasetInfo, load_info, reading
from tfmm.data.views import (
    LogMel, LogSpectrogram, RgbFrames, RgbPreview, Sound, StoredLogMel, Waveform)

Augmentation = augment_lib.Augmentation

__all__ = ['Augmentation', 'DatasetInfo', 'DatasetSpec', 'FeatureSpec', 'FlowFrames',
           'FlowPreview', 'LogMel', 'LogSpectrogram', 'RgbDifferencePreview',
           'RgbDifferences', 'RgbFrames', 'RgbPreview', 'Sound', 'StoredLogMel',
           'Waveform', 'load_info', 'make_dataset', 'reading']

_NO_NAMES = ('present', 'label', 'media_id', 'segment_times')


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSpec:
  """What is read of every video.

  Attributes:
    views: what a model reads of a segment; see `tfmm.data.views`. A preview stands
      after its source.
    modalities: order of the M axis of `present`.
    num_segments: S in training.
    eval_segments: S otherwise.
    segment_frames: consecutive frames of the record that make a segment. None: the
      longest num_frames * stride among the views; needed if none has frames (sound
      alone), where it should be that of the visual run (AdaMML: 32).
    augment: training-time options.
    shuffle_buffer: serialized videos held for shuffling. A video of 10 s with short
      side 256 takes 5 MB; order is also mixed by permuted, interleaved shards.
  """

  views: tuple[Any, ...] = (RgbFrames(), LogSpectrogram())
  modalities: tuple[str, ...] = ('rgb', 'audio')
  num_segments: int = 5
  eval_segments: int = 10
  segment_frames: int | None = None
  augment: augment_lib.Augmentation = augment_lib.Augmentation()
  shuffle_buffer: int = 64

  def __post_init__(self):
    if isinstance(self.modalities, str):
      raise ValueError(f'modalities={self.modalities!r} is a string; write '
                       f'({self.modalities!r},)')
    names = [view.name for view in self.views]
    for name in names:
      if names.count(name) > 1 or name in _NO_NAMES:
        raise ValueError(f'view name {name!r} is taken; give each view its own name')
    for modality in self.modalities:
      if modality not in [view.modality for view in self.views]:
        raise ValueError(f'modality {modality!r} has no view; views are of '
                         f'{sorted({view.modality for view in self.views})}')
    for view in self.views:
      if view.modality not in self.modalities:
        raise ValueError(f'view {view.name!r} is of modality {view.modality!r}, which '
                         f'is not in modalities={self.modalities}')
      self._check_source(view)
    if min(self.num_segments, self.eval_segments, self.shuffle_buffer) < 1:
      raise ValueError('num_segments, eval_segments and shuffle_buffer must be at '
                       f'least 1; got {self.num_segments}, {self.eval_segments}, '
                       f'{self.shuffle_buffer}')
    self.window  # pylint: disable=pointless-statement

  def _check_source(self, view):
    source = getattr(view, 'source', None)
    if source is None:
      return
    before = {v.name: v for v in self.views[:self.views.index(view)]}
    if source not in before:
      raise ValueError(f'view {view.name!r} is made from view {source!r}, which must '
                       'stand before it in views')
    if max(view.frames) >= before[source].num_frames:
      raise ValueError(f'view {view.name!r} wants frame {max(view.frames)} of '
                       f'{source!r}, which has {before[source].num_frames}')
    has, wants = (v.spec().shape[-1] for v in (before[source], view))
    if has != wants:
      raise ValueError(f'view {view.name!r} has {wants} channels and its source '
                       f'{source!r} {has}; a FlowPreview needs the fields of its '
                       'source, and an RgbPreview a source with colours')

  @property
  def window(self):
    """Frames of a segment.

    Raises:
      ValueError: if it cannot be told, or is shorter than a view needs.
    """
    spans = [view.num_frames * view.stride for view in self.views
             if hasattr(view, 'num_frames')]
    if self.segment_frames is None:
      if not spans:
        raise ValueError('no view has frames, so segments have no length: set '
                         'segment_frames to that of the visual run (AdaMML: 32)')
      return max(spans)
    if spans and self.segment_frames < max(spans):
      raise ValueError(f'segment_frames={self.segment_frames} is shorter than '
                       f'num_frames * stride = {max(spans)}; raise it')
    return self.segment_frames

  def view_specs(self):
    """{view: TensorSpec [B, S, *view]} with B and S open."""
    specs = {view.name: view.spec() for view in self.views}
    return {name: tf.TensorSpec([None, None, *spec.shape], spec.dtype)
            for name, spec in specs.items()}

  def load_info(self, data_dir):
    """What the data says of itself: `DatasetInfo`."""
    return load_info(data_dir)

  def batches(self, data_dir, split, **options):
    """`make_dataset` of this spec."""
    return make_dataset(self, data_dir, split, **options)


def make_dataset(spec, data_dir, split, *, batch_size, training, seed=0, start_step=0,
                 drop_remainder=True, input_context=None):
  """Batches of one split.

  A batch is one flat dict: every view [B, S, ...]; `present` float32 [B, S, M], 0 where
  a modality is missing; `label` int32 [B], or float32 [B, C] if the dataset is
  multi-label; `media_id` string [B]; `segment_times` float32 [B, S, 2] in seconds.

  Args:
    spec: a `DatasetSpec`.
    data_dir: output directory of prepare_videos.
    split: 'train', 'validation' or 'test'.
    batch_size: videos per step, over all replicas.
    training: True: endless, shuffled, random segments and crops; an epoch is
      `floor(videos / batch_size)` steps. False: one pass in stored order, uniform
      segments, centre crops.
    seed: the run's seed; only used in training.
    start_step: training starts at this global step.
    drop_remainder: for evaluation; False gives a smaller last batch.
    input_context: `tf.distribute.InputContext`: this pipeline's slice of every global
      batch, in batches per replica.

  Returns:
    A `tf.data.Dataset`.

  Raises:
    FileNotFoundError: if the dataset is not finished.
    ValueError: if the split is empty or smaller than a batch, or a view asks for what
      the records do not hold.
  """
  info = load_info(data_dir)
  requirements.check(spec, info)
  return order.batches(
      [info], split, _VideoReader(spec, info, training, seed), batch_size=batch_size,
      training=training, seed=seed, start_step=start_step, buffer=spec.shuffle_buffer,
      drop_remainder=drop_remainder, input_context=input_context)


class _VideoReader:
  """(epoch [], serialized [clips]) -> one video's entries of a batch; a tf.data map."""

  def __init__(self, spec, info, training, seed):
    self.spec, self.training, self.seed = spec, training, seed
    self.placer = placing.Placer(
        info, spec.views, spec.window, multi_label=info.multi_label)

  def __call__(self, entry):
    epoch, serialized = entry
    spec, placer = self.spec, self.placer
    record = placer.parse(serialized)
    count, seed, draw = spec.eval_segments, None, None
    if self.training:
      chance = order.chance(self.seed, epoch, self._name(record, serialized))
      count, seed = spec.num_segments, augment_lib.fold(chance, 0)
      draw = spec.augment.draw(augment_lib.fold(chance, 1))
    video = placer.place(
        record, placer.starts(record, count, seed), draw, spec.augment)
    built, present = {}, {}
    for view in spec.views:
      value, there = view.build(video, built)
      built[view.name] = tf.ensure_shape(value, [count, *view.spec().shape])
      there = tf.ensure_shape(there, [count])
      present[view.modality] = there * present.get(view.modality, 1.)
    return {
        **built,
        'present': tf.stack([present[m] for m in spec.modalities], -1),
        'label': record.label,
        'media_id': record.media_id,
        'segment_times': tf.cast(video.times, tf.float32),
    }

  def _name(self, record, serialized):
    """What makes a video's chance its own: its name, or else its content."""
    name = record.media_id
    if not self.placer.foreign:
      return name
    return tf.cond(tf.strings.length(name) > 0, lambda: name, lambda: serialized[0])
