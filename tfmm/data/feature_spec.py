"""What a model reads of every video where features are read, not pictures and sound."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import tensorflow as tf

from tfmm.data import features
from tfmm.data import info as info_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSpec:
  """Features of the steps of every video.

  The data directory holds one directory of extract_features for each view, of that
  view's name: FEATURES/audio, FEATURES/rgb. A modality is the view of its name; others
  are previews.

  Attributes:
    dims: {view: length of a feature}.
    modalities: order of the M axis of `present`; all in `dims`.
    num_segments: S in training: one step is drawn from each S-th part of a video.
    eval_segments: S otherwise, spread evenly.
    shuffle_buffer: serialized videos held for shuffling.
  """

  dims: Mapping[str, int]
  modalities: tuple[str, ...]
  num_segments: int = 128
  eval_segments: int = 128
  shuffle_buffer: int = 256

  def __post_init__(self):
    missing = [m for m in self.modalities if m not in self.dims]
    if missing or not self.modalities:
      raise ValueError(
          f'dims has {sorted(self.dims)} and modalities is {tuple(self.modalities)}; '
          'give each modality the length of its features')
    for field in ('num_segments', 'eval_segments', 'shuffle_buffer'):
      if getattr(self, field) < 1:
        raise ValueError(f'{field}={getattr(self, field)} must be at least 1')

  def view_specs(self) -> dict[str, tf.TensorSpec]:
    """{view: TensorSpec [B, S, D]} with B and S open."""
    return {v: tf.TensorSpec([None, None, dim]) for v, dim in self.dims.items()}

  def load_info(self, data_dir: str) -> info_lib.DatasetInfo:
    """What all directories of features have in common.

    Raises:
      FileNotFoundError: if one is missing or not finished.
      ValueError: if one holds no features, or those of another length.
    """
    infos = {v: features.load_info(path) for v, path in self._folders(data_dir).items()}
    for view, info in infos.items():
      found = info.options['dimensions']
      if found != self.dims[view]:
        raise ValueError(
            f'{info.data_dir} has features of {found} numbers and dims says '
            f'{self.dims[view]} of {view!r}; make them agree')
    first = next(iter(infos.values()))
    splits = {}
    for split, entry in first.splits.items():
      shards = [{**shard, 'file': f'{v}/{shard["file"]}'} for v, info in infos.items()
                for shard in info.splits.get(split, {}).get('shards', ())]
      splits[split] = {**entry, 'shards': shards}
    return dataclasses.replace(
        first, data_dir=str(data_dir), splits=splits, made_by='extract_features',
        options={v: dict(info.options) for v, info in infos.items()})

  def batches(self, data_dir: str, split: str, **options) -> tf.data.Dataset:
    """As `dataset.make_dataset`; `segment_times` has the middle of a step twice."""
    steps = self.num_segments if options['training'] else self.eval_segments
    made = features.make_feature_dataset(
        self._folders(data_dir), split, num_steps=steps,
        shuffle_buffer=self.shuffle_buffer, **options)
    columns = [tuple(self.dims).index(m) for m in self.modalities]

    def adapt(batch):
      times = batch.pop('times')
      return {**batch, 'present': tf.gather(batch['present'], columns, axis=2),
              'segment_times': tf.stack([times, times], -1)}

    return made.map(adapt, num_parallel_calls=tf.data.AUTOTUNE)

  def _folders(self, data_dir):
    return {v: os.path.join(data_dir, v) for v in self.dims}
