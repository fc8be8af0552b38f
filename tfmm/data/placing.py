"""Serialized clips of a video to a `Video`: the record with its segments placed.

Training and extract_features read records through a `Placer`, so both look at the same
frames and hear the same sound.
"""

import functools
from typing import NamedTuple

import tensorflow as tf

from tfmm import schema
from tfmm.data import augment
from tfmm.data import reader
from tfmm.data import segments


class Video(NamedTuple):
  """A record with its segments placed."""

  record: reader.Record
  starts: tf.Tensor  # int32 [S], first frame of each segment
  runs: tf.Tensor  # int32 [S], the run of the record that each segment lies in
  ends: tf.Tensor  # int32 [S], one past the last frame of that run
  times: tf.Tensor  # float64 [S, 2] seconds
  window: int  # frames of a segment
  draw: augment.Draw | None  # None at test time
  augmentation: augment.Augmentation


class Placer:
  """Parses the records of one data set and places segments in them.

  Attributes:
    parse: string [clips] of one video -> `reader.Record` with all that the views read.
    foreign: whether another program wrote the records.
  """

  def __init__(self, info, views, window, *, multi_label):
    """Makes the parser.

    Args:
      info: a `DatasetInfo` that holds what the views read; see `requirements.check`.
      views: what will be built of each `Video`; see `tfmm.data.views`.
      window: frames of a segment.
      multi_label: whether labels become a multi-hot vector.
    """
    options = info.options
    self.foreign = bool(options.get('foreign'))
    self._windows = options.get('frames') == 'segments'
    self._options, self._window = options, window
    reads = {item for view in views for item in view.reads}
    self.parse = functools.partial(
        reader.parse, labels=info.labels, multi_label=multi_label,
        sample_rate=options['sample_rate'] if 'waveform' in reads else None,
        pictures='jpegs' in reads, flow='flow' in reads,
        log_mels=[n for n, key in schema.LOG_MEL_KEYS.items() if key in reads],
        windows=self._windows, foreign=self.foreign,
        frame_rate=options.get('frame_rate'))

  def starts(self, record, count, seed=None):
    """First frame of each segment: int32 [S].

    Args:
      record: from `parse`.
      count: S.
      seed: int tensor [2] for random starts, None for uniform ones.
    """
    window, options = self._window, self._options
    if not self._windows:
      return segments.window_starts(tf.size(record.times), window, count, seed=seed)
    margin = schema.margin_frames(
        options['segment_margin_seconds'], options['frame_rate'])
    return segments.starts_in_windows(
        record.windows, window, count, runs=record.runs, margin=margin, seed=seed)

  def times(self, record, starts):
    """When each segment begins and ends: float64 [S, 2] seconds."""
    return segments.segment_times(record.times, starts, self._window, record.runs)

  def place(self, record, starts, draw=None, augmentation=augment.Augmentation()):
    """The `Video` of a record, with segments from `starts`; no draw at test time."""
    runs = record.runs.find(starts)
    return Video(record, starts, runs, tf.gather(record.runs.end, runs),
                 self.times(record, starts), self._window, draw, augmentation)
