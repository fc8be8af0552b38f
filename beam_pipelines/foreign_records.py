"""Records that another MediaSequence writer made (DMVR, mediapipe): what is in them.

Everything is checked that the reader relies on, so that a record it cannot use is told
by file and number now, and not by TensorFlow in the middle of a training run.
"""

import dataclasses
from typing import Any

import cv2
import numpy as np

from beam_pipelines import sequence_example
from tfmm import schema

_JPEG = b'\xff\xd8'
_LOUDEST = 8.0  # floats in [-1, 1] can overshoot; integers are far above


@dataclasses.dataclass
class Found:
  """What one record holds.

  Attributes:
    media_id: Whose clip it is; '' if it does not say.
    name: What a person may know it by; '' if it has none.
    texts: Names of its labels.
    indices: Their numbers.
    frames: How many.
    height: Of the first frame, pixels.
    width: Its width.
    frame_rate: Frames per second as told or as the times say; None: unknown.
    start: Microseconds; None: unknown.
    end: Microseconds; None: unknown.
    samples: Of sound; 0: none.
    sample_rate: Hertz as told; None: not told.
    waveform: One of `schema.WAVEFORMS`; '' without sound.
    flow: Algorithm of the flow, 'unknown' if not told; '' without flow.
    has_mbt: Whether it carries the log-mels of MBT.
  """

  media_id: str
  name: str
  texts: tuple[str, ...]
  indices: tuple[int, ...]
  frames: int
  height: int
  width: int
  frame_rate: float | None
  start: int | None
  end: int | None
  samples: int
  sample_rate: float | None
  waveform: str
  flow: str
  has_mbt: bool

  @property
  def seconds(self) -> float | None:
    """Length, from the clip's ends; None if they are not told."""
    if self.start is None or self.end is None or self.end <= self.start:
      return None
    return (self.end - self.start) / schema.MICROSECONDS

  @property
  def labels(self) -> tuple[Any, ...]:
    return self.texts or self.indices

  def follows(self, other: 'Found') -> bool:
    """Whether it goes on where another record of the same video ends."""
    if not self.media_id or self.media_id != other.media_id:
      return False
    if self.labels != other.labels or None in (self.start, other.end):
      return False
    period = schema.MICROSECONDS / (self.frame_rate or 25.0)
    return abs(self.start - other.end) <= period


def examine(record: bytes, *, sound: bool = True, flow: bool = True) -> Found:
  """Looks at one record.

  Args:
    record: A serialized SequenceExample.
    sound: Whether its sound will be used, and must be right.
    flow: Whether its flow will.

  Raises:
    ValueError: If it cannot be used; says why.
  """
  try:
    example = sequence_example.SequenceExample.FromString(record)
  except Exception:  # pylint: disable=broad-exception-caught  # protobuf's own class
    raise ValueError('it is no SequenceExample') from None
  frames = _bytes_list(example, schema.IMAGE_ENCODED)
  if not frames:
    raise ValueError(f'it has no frames ({schema.IMAGE_ENCODED})')
  height, width = _size(frames)
  texts = tuple(dict.fromkeys(
      _text(value) for key in (schema.LABEL_TEXT, schema.LABEL_STRING)
      for value in _context(example, key, 'bytes_list')))
  indices = tuple(_context(example, schema.LABEL_INDEX, 'int64_list'))
  if not texts and not indices:
    raise ValueError(f'it has no label ({schema.LABEL_TEXT}, {schema.LABEL_STRING} or '
                     f'{schema.LABEL_INDEX})')
  if min(indices, default=0) < 0:
    raise ValueError(f'{schema.LABEL_INDEX} is {list(indices)}: below 0')
  names = [_text(_one(example, key, 'bytes_list') or b'') for key in schema.NAME_KEYS]
  samples, waveform = _sound(example) if sound else (0, '')
  return Found(
      media_id=names[0],
      name=next(filter(None, names), ''),
      texts=texts,
      indices=indices,
      frames=len(frames),
      height=height,
      width=width,
      frame_rate=_frame_rate(example, len(frames)),
      start=_one(example, schema.CLIP_START, 'int64_list'),
      end=_one(example, schema.CLIP_END, 'int64_list'),
      samples=samples,
      sample_rate=_number(example, schema.WAVEFORM_SAMPLE_RATE),
      waveform=waveform,
      flow=_flow(example, len(frames)) if flow else '',
      has_mbt=_has_mbt(example))


def _text(value: bytes) -> str:
  try:
    return value.decode('utf-8')
  except UnicodeDecodeError:
    raise ValueError(f'the text {value[:40]!r} is not UTF-8') from None


def _context(example, key, kind):
  """Values of a context feature as a list; empty if there are none."""
  feature = example.context.feature.get(key)
  if feature is None or feature.WhichOneof('kind') is None:
    return []
  if feature.WhichOneof('kind') != kind:
    raise ValueError(
        f'{key} is of kind {feature.WhichOneof("kind")}; it must be {kind}')
  return list(getattr(feature, kind).value)


def _one(example, key, kind):
  """The one value of a context feature, or None."""
  values = _context(example, key, kind)
  if len(values) > 1:
    raise ValueError(f'{key} has {len(values)} values; it must have one')
  return values[0] if values else None


def _number(example, key):
  """As `_one`, of whatever kind: the reader does not look at it."""
  feature = example.context.feature.get(key)
  if feature is None:
    return None
  values = [*feature.float_list.value, *feature.int64_list.value]
  return float(values[0]) if values else None


def _features(example, key):
  """The features of a list; empty if there is none."""
  values = example.feature_lists.feature_list.get(key)
  return values.feature if values is not None else ()


def _bytes_list(example, key):
  return [value for feature in _features(example, key)
          for value in feature.bytes_list.value]


def _size(frames):
  """(height, width) of the first frame; all must be JPEGs."""
  for k, data in enumerate(frames):
    if not data.startswith(_JPEG):
      raise ValueError(f'frame {k} of {schema.IMAGE_ENCODED} is no JPEG')
  picture = cv2.imdecode(np.frombuffer(frames[0], np.uint8), cv2.IMREAD_COLOR)
  if picture is None:
    raise ValueError(f'frame 0 of {schema.IMAGE_ENCODED} cannot be decoded')
  return picture.shape[:2]


def _frame_rate(example, frames):
  told = _one(example, schema.IMAGE_FRAME_RATE, 'float_list')
  if told and told > 0:
    return told
  stamps = [value for feature in _features(example, schema.IMAGE_TIMESTAMP)
            for value in feature.int64_list.value]
  if len(stamps) == frames > 1 and stamps[-1] > stamps[0]:
    return (frames - 1) * schema.MICROSECONDS / (stamps[-1] - stamps[0])
  return None


def _sound(example):
  """(samples, one of `schema.WAVEFORMS`), or (0, '')."""
  coded = sum(map(len, _bytes_list(example, schema.WAVEFORM_BYTES)))
  floats = np.concatenate([np.zeros(0, np.float32), *map(
      sequence_example.floats, _features(example, schema.WAVEFORM_FLOATS))])
  channels = _number(example, schema.WAVEFORM_NUM_CHANNELS)
  if (coded or floats.size) and channels not in (None, 1):
    raise ValueError(f'its sound has {channels:g} channels, and only mono can be read: '
                     'leave the sound out with --nosound')
  # `not <=` also finds what is no number.
  if floats.size and not np.abs(floats).max() <= _LOUDEST:
    raise ValueError(
        'its sound is no wave in [-1, 1] (DMVR\'s generate_from_file stores 32-bit '
        'integers as if they were floats): leave the sound out with --nosound')
  if floats.size:
    return floats.size, 'float'
  return (coded // 2, 'pcm16') if coded else (0, '')


def _flow(example, frames):
  """Algorithm of the flow, 'unknown' if not told; '' without flow."""
  encoded = _bytes_list(example, schema.FLOW_ENCODED)
  if not encoded:
    return ''
  if len(encoded) != frames:
    raise ValueError(f'it has {frames} frames and {len(encoded)} fields of flow, where '
                     'there must be as many: leave the flow out with --noflow')
  saturation = _number(example, schema.FLOW_SATURATION)
  if saturation not in (None, schema.FLOW_SATURATION_PIXELS):
    raise ValueError(f'its flow is of +-{saturation:g} pixels, and only '
                     f'+-{schema.FLOW_SATURATION_PIXELS:g} can be read: leave the flow '
                     'out with --noflow')
  return _text(_one(example, schema.FLOW_ALGORITHM, 'bytes_list') or b'unknown')


def _has_mbt(example):
  """Whether it carries log-mels as scenic's MBT reads them."""
  size = int(np.prod(schema.LOG_MELS['mbt']['shape']))
  features = _features(example, schema.LOG_MEL_KEYS['mbt'])
  return bool(features) and all(len(f.float_list.value) == size for f in features)
