"""A video file to one request, by the rules that made the training records.

Decoding and optical flow are those of the Beam pipeline (`tfmm.media`), pictures are
kept as JPEGs of the same quality, and segments are placed by `tfmm.data.segments`: a
served model and an evaluation on shards see the same bytes.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfmm import schema
from tfmm.data import segments
from tfmm.data import spectrogram
from tfmm.media import clips
from tfmm.media import flow
from tfmm.media import video
from tfmm.models import base

# Records hold sound, so a file is decoded with some rate even for a deaf model.
_ANY_SAMPLE_RATE = 8000


class Request(NamedTuple):
  """Inputs of `serving_default` for one video, and when its segments are.

  Attributes:
    inputs: {name: array [1, S, ...]}, and 'budget_gflops' [1] if the model takes one.
    segment_times: float32 [S, 2], start and end in seconds.
  """

  inputs: dict[str, np.ndarray]
  segment_times: np.ndarray


def from_video(path, record, budget_gflops=math.inf):
  """Decodes a file and cuts its segments.

  Memory holds JPEGs and sound of the whole video, and pictures of a few seconds.
  Optical flow is computed if the model reads it, for every frame of the video.

  Args:
    path: a video file, with or without sound.
    record: the `ServingRecord` of the model.
    budget_gflops: 1e9 multiply-adds that the video may cost, if the model takes that.

  Returns:
    A `Request`.

  Raises:
    tfmm.media.MediaError: a ValueError; the file gives no video.
    ValueError: the flow that the model reads cannot be computed here, it reads
      features, or it cannot keep within the budget.
  """
  if record.features:
    raise ValueError(
        f'the model reads features of {", ".join(record.features)}, not videos; send '
        'features to its signature `views`')
  record.check_budget(budget_gflops)
  rate = record.record_sample_rate or _ANY_SAMPLE_RATE
  encode = lambda rgb: video.encode_jpeg(rgb, record.jpeg_quality)
  parts = list(clips.stream_clips(
      path, frame_rate=record.frame_rate, short_side=record.short_side,
      sample_rate=rate, clip_seconds=schema.MAX_CLIP_SECONDS,
      encode=encode if record.sees('jpegs') else lambda rgb: b'',
      flow=_flow(record) if record.sees('flow') else None))
  times = np.concatenate([_microseconds(clip.timestamps) for clip in parts])
  starts = segments.window_starts(
      len(times), record.segment_frames, record.num_segments)
  spans = segments.segment_times(times, starts, record.segment_frames)
  inputs, present = {}, {}
  for source in record.pictures:
    stored = [
        jpeg for clip in parts
        for jpeg in (clip.flows if source.reads == 'flow' else clip.frames)]
    indices = source.indices(starts, len(stored))
    inputs[source.name] = np.asarray(stored, object)[indices][np.newaxis]
    present[source.name] = np.ones(record.num_segments, np.float32)
  if record.hears:
    windows, present['waveform'] = _sound(parts, record, rate, starts, spans)
    inputs['waveform'] = windows[np.newaxis]
  columns = [present[source] for source in record.sources]
  inputs['present'] = np.stack(columns, -1)[np.newaxis].astype(np.float32)
  if record.least_budget is not None:
    inputs[base.BUDGET] = np.array([budget_gflops], np.float32)
  return Request(inputs, spans.numpy().astype(np.float32))


def _flow(record):
  """What `stream_clips` computes flow with."""
  # Shards that were adopted name the version too: 'dis_fast OpenCV 4.11.0'.
  names = {made.split()[0] for made in record.flow.split(', ') if made.strip()}
  if len(names) != 1 or names - set(schema.FLOW_ALGORITHMS):
    raise ValueError(
        f'the model reads optical flow of the algorithm {record.flow!r}, and only '
        f'{", ".join(schema.FLOW_ALGORITHMS)} can be computed from a video; send the '
        "model requests whose input 'flow' comes from the program that made its data")
  return flow.Flow(*names).jpeg


def _microseconds(seconds):
  """Seconds as a record keeps them: float64, whole microseconds."""
  return np.round(np.asarray(seconds, np.float64) * 1e6) / schema.MICROSECONDS


def _sound(parts, record, rate, starts, spans):
  """Windows float32 [S, samples] and which of them are real sound [S]."""
  begin = _microseconds(parts[0].start_s)
  if record.sound_frame_rate is None:
    centres = segments.middles(spans)
  else:
    centres = begin + segments.middles_at_rate(
        starts, record.segment_frames, record.sound_frame_rate)
  waveform = np.concatenate([clip.waveform for clip in parts])
  waveform = spectrogram.resample(
      tf.constant(waveform)[tf.newaxis], rate, record.sample_rate)[0]
  windows, present = segments.audio_windows(
      waveform, centres, sample_rate=record.sample_rate, length=record.samples,
      offset=begin)
  real = _microseconds([[clip.audio_start_s, clip.audio_end_s] for clip in parts])
  present *= segments.overlap(tf.constant(real), centres, record.seconds)
  return windows.numpy(), present.numpy()
