"""What a prepared data set is made with; part of every shard's fingerprint."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tfmm import schema
from tfmm.media import flow

_OF_SEGMENTS = ('num_segments', 'segment_')


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig:
  """Options that decide the content of records.

  Attributes:
    frame_rate: Frames per second that are stored.
    short_side: Pixels of the shorter side, even.
    jpeg_quality: 1 to 100.
    sample_rate: Of the waveform, hertz.
    waveform: How sound is stored: one of `schema.WAVEFORMS`.
    max_clip_seconds: Longest record; longer videos become several.
    max_video_seconds: A longer video is rejected as `too_long`.
    flow: Optical flow between stored frames: '' for none, or one of
      `schema.FLOW_ALGORITHMS`.
    log_mels: Names of `schema.LOG_MELS` that are stored beside the waveform.
    frames: 'dense' stores all frames, 'segments' only windows of them.
    num_segments: Windows of a video, spread evenly; for 'segments' alone, as the next.
    segment_frames: Stored frames of a window.
    segment_margin_seconds: Kept on both sides of a window.
  """

  frame_rate: float = 30.0
  short_side: int = 256
  jpeg_quality: int = 90
  sample_rate: int = 24000
  waveform: str = 'float'
  max_clip_seconds: float = schema.MAX_CLIP_SECONDS
  max_video_seconds: float = 4 * 3600.0
  flow: str = ''
  log_mels: tuple[str, ...] = ()
  frames: str = 'dense'
  num_segments: int = 10
  segment_frames: int = 32
  segment_margin_seconds: float = 0.25

  def __post_init__(self):
    object.__setattr__(self, 'log_mels', tuple(self.log_mels))
    _between('frame_rate', self.frame_rate, 0.01, 240.0, 'per second')
    _between('short_side', self.short_side, 16, 4096, 'pixels')
    if self.short_side % 2:
      raise ValueError(f'short_side is {self.short_side}; JPEG chroma and video codecs '
                       f'need an even number: use {self.short_side + 1}.')
    _between('jpeg_quality', self.jpeg_quality, 1, 100, '')
    _between('sample_rate', self.sample_rate, 1000, 192000, 'hertz')
    _between('max_clip_seconds', self.max_clip_seconds, 1.0, schema.MAX_CLIP_SECONDS,
             'seconds: readers copy a whole record')
    _between('max_video_seconds', self.max_video_seconds, 1.0, 7 * 86400.0, 'seconds')
    if self.waveform not in schema.WAVEFORMS:
      raise ValueError(
          f'waveform is {self.waveform!r}; it must be one of {schema.WAVEFORMS}.')
    if self.flow:
      flow.check(self.flow)
    for name in self.log_mels:
      if name not in schema.LOG_MELS:
        raise ValueError(f'log_mels has {name!r}; names are '
                         f'{", ".join(schema.LOG_MELS)}.')
    if len(set(self.log_mels)) != len(self.log_mels):
      raise ValueError(f'log_mels is {",".join(self.log_mels)}; give each name once.')
    if self.frames not in schema.FRAMES:
      raise ValueError(f'frames is {self.frames!r}; it must be one of {schema.FRAMES}.')
    if self.frames == 'segments':
      self._check_segments()

  def _check_segments(self):
    _between('num_segments', self.num_segments, 1, 10_000, 'windows')
    _between('segment_frames', self.segment_frames, 1, 10_000, 'frames')
    _between('segment_margin_seconds', self.segment_margin_seconds, 0.0, 30.0,
             'seconds')
    run = (self.segment_frames / self.frame_rate + 2 * self.segment_margin_seconds)
    if run > self.max_clip_seconds:
      raise ValueError(
          f'segment_frames={self.segment_frames} and segment_margin_seconds='
          f'{self.segment_margin_seconds:g} make {run:g} s at {self.frame_rate:g} '
          f'frames a second; at most max_clip_seconds={self.max_clip_seconds:g}.')

  def to_dict(self) -> dict[str, Any]:
    """The options that count, as plain JSON values."""
    options = {**dataclasses.asdict(self), 'log_mels': list(self.log_mels)}
    if self.frames == 'dense':
      options = {k: v for k, v in options.items() if not k.startswith(_OF_SEGMENTS)}
    return options

  def views(self) -> dict[str, Any]:
    """What the stored views look like, for dataset_info.json."""
    is_float = self.waveform == 'float'
    views = {
        'image': {
            'key': schema.IMAGE_ENCODED,
            'format': 'JPEG',
            'colorspace': 'RGB',
            'channels': 3,
            'frame_rate': self.frame_rate,
            'short_side': self.short_side,
        },
        'waveform': {
            'key': schema.WAVEFORM_FLOATS if is_float else schema.WAVEFORM_BYTES,
            'dtype': 'float32' if is_float else 'int16',
            'channels': 1,
            'sample_rate': self.sample_rate,
        },
    }
    if self.flow:
      views['flow'] = {
          'key': schema.FLOW_ENCODED,
          'format': 'JPEG',
          'channels': 3,
          'algorithm': self.flow,
          'saturation': schema.FLOW_SATURATION_PIXELS,
          'frame_rate': self.frame_rate,
      }
    for name in self.log_mels:
      views[f'log_mel_{name}'] = {
          'key': schema.LOG_MEL_KEYS[name], 'dtype': 'float32',
          **schema.LOG_MELS[name], 'shape': list(schema.LOG_MELS[name]['shape'])}
    return views


def fingerprint(*parts: Any) -> str:
  """sha256 of JSON values, the schema version included; equal values, equal text."""
  text = json.dumps([schema.VERSION, *parts], sort_keys=True, ensure_ascii=False)
  return hashlib.sha256(text.encode('utf-8')).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """`key: old -> new` for each option that is not the same."""
  return [
      f'{key}: {old.get(key)} -> {new.get(key)}'
      for key in sorted(set(old) | set(new))
      if old.get(key) != new.get(key)
  ]


def parse_fractions(items: Iterable[str]) -> dict[str, float]:
  """`['train:0.8', 'test:0.2']` as a dict over all of `schema.SPLITS`.

  Raises:
    ValueError: On an unknown split, a number that is none, or a sum that is not 1.
  """
  fractions = dict.fromkeys(schema.SPLITS, 0.0)
  for item in items:
    split, colon, number = item.partition(':')
    try:
      value = float(number) if colon else math.nan
    except ValueError:
      value = math.nan
    if split not in fractions or not 0 <= value <= 1:
      raise ValueError(
          f'split_fractions has {item!r}; each part must be a split of '
          f'{schema.SPLITS}, a colon and a number in [0, 1], as in '
          'train:0.8,validation:0.1,test:0.1.')
    fractions[split] = value
  total = sum(fractions.values())
  if abs(total - 1) > 1e-6:
    raise ValueError(f'split_fractions add up to {total:g}; they must add up to 1.')
  return fractions


def _between(name, value, low, high, unit):
  if not low <= value <= high:
    raise ValueError(f'{name} is {value}; it must be in [{low:g}, {high:g}] {unit}.'
                     .replace(' .', '.'))
