"""Records of prepared shards, to look at. No TensorFlow here."""

import functools
from collections.abc import Iterator

import cv2
import numpy as np

import shard_directory
from beam_pipelines import sequence_example
from beam_pipelines import tfrecord
from tfmm import schema
from tfmm.media import flow as flow_lib

_KNOWN = {*schema.CONTEXT_KINDS, *schema.LIST_KINDS}


def read(directory: shard_directory.Directory, split: str | None = None,
         media_id: str | None = None) -> Iterator['Record']:
  """Yields records.

  Args:
    directory: Where from.
    split: Of which split; None: of all.
    media_id: Of this video alone; None: of all.
  """
  shards = directory.shards(split) if split else directory.all_shards()
  for entry in shards:
    ids = _media_ids(directory.sidecars[entry['file']])
    if media_id is not None and ids is not None and media_id not in ids:
      continue
    path = directory.path_of(entry['file'])
    for number, data in enumerate(tfrecord.read(path)):
      record = Record(data, entry['split'], entry['file'], number)
      if media_id is None or record.media_id == media_id:
        yield record


def _media_ids(sidecar):
  if 'videos' in sidecar:
    return [video.get('media_id') for video in sidecar['videos']]
  return sidecar.get('media_ids')  # of features


class Record:
  """One record; everything is looked at only when it is asked for.

  Attributes:
    split: Its split.
    shard: The file it is in.
    number: Its place in that file, from 0.
    size: Bytes.
  """

  def __init__(self, data: bytes, split: str, shard: str, number: int):
    self.split, self.shard, self.number = split, shard, number
    self.size = len(data)
    try:
      self._example = sequence_example.SequenceExample.FromString(data)
    except Exception:  # pylint: disable=broad-exception-caught  # protobuf's own class
      raise ValueError(f'{shard}, record {number}, is no SequenceExample') from None

  def context(self, key: str) -> list:
    """Values of a context key; none if it is not there."""
    return _values(self._example.context.feature.get(key))

  def one(self, key: str, default=None):
    """The first value of a context key, as text if it is bytes."""
    value = (self.context(key) or [default])[0]
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value

  def features(self, key: str) -> list:
    """Values of each feature of a list; none if it is not there."""
    found = self._example.feature_lists.feature_list.get(key)
    return [_values(feature) for feature in found.feature] if found is not None else []

  def arrays(self, key: str) -> list[np.ndarray]:
    """As `features`, of floats: float32 [n] each; quick for long ones."""
    found = self._example.feature_lists.feature_list.get(key)
    return [*map(sequence_example.floats, found.feature)] if found is not None else []

  @property
  def media_id(self) -> str:
    return next(filter(None, map(self.one, schema.NAME_KEYS)), '')

  @property
  def example_id(self) -> str:
    return self.one(schema.EXAMPLE_ID) or self.media_id or f'{self.shard} {self.number}'

  @property
  def labels(self) -> list[str]:
    """Texts, or numbers where there are no texts."""
    texts = self.context(schema.LABEL_TEXT) or self.context(schema.LABEL_STRING)
    return ([text.decode('utf-8', 'replace') for text in texts]
            or [str(k) for k in self.context(schema.LABEL_INDEX)])

  @functools.cached_property
  def jpegs(self) -> list[bytes]:
    return [v for values in self.features(schema.IMAGE_ENCODED) for v in values]

  @functools.cached_property
  def flow_jpegs(self) -> list[bytes]:
    return [v for values in self.features(schema.FLOW_ENCODED) for v in values]

  def frame(self, k: int) -> np.ndarray:
    """Frame k, uint8 [height, width, 3], RGB.

    Raises:
      ValueError: If it cannot be decoded.
    """
    return self._decode(self.jpegs[k], f'frame {k}')

  def flow(self, k: int) -> np.ndarray:
    """Motion from frame k to the next, float32 [height, width, 2], pixels per frame.

    Raises:
      ValueError: If it cannot be decoded.
    """
    return flow_lib.dequantize(self._decode(self.flow_jpegs[k], f'flow {k}'))

  def _decode(self, data, what):
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
      raise ValueError(f'{self.shard}, record {self.number}: {what} is no picture')
    return np.ascontiguousarray(picture[..., ::-1])

  @property
  def frame_rate(self) -> float | None:
    """Frames per second as told, or as the times say; None: unknown."""
    told = self.one(schema.IMAGE_FRAME_RATE)
    times = [v for values in self.features(schema.IMAGE_TIMESTAMP) for v in values]
    if not told and len(times) > 1 and times[-1] > times[0]:
      told = (len(times) - 1) * schema.MICROSECONDS / (times[-1] - times[0])
    return told or None

  @property
  def span(self) -> tuple[float, float]:
    """Start and end in seconds; (0, 0) if nothing says how long it is."""
    start, end = self.one(schema.CLIP_START, 0), self.one(schema.CLIP_END, 0)
    if end <= start and self.frame_rate:
      end = start + round(len(self.jpegs) / self.frame_rate * schema.MICROSECONDS)
    return start / schema.MICROSECONDS, max(start, end) / schema.MICROSECONDS

  @property
  def sample_rate(self) -> float | None:
    return self.one(schema.WAVEFORM_SAMPLE_RATE)

  @functools.cached_property
  def waveform(self) -> np.ndarray:
    """float32 [samples], the first channel; none without sound."""
    floats = self.arrays(schema.WAVEFORM_FLOATS)
    if floats:
      return floats[0]
    coded = b''.join(v for values in self.features(schema.WAVEFORM_BYTES)
                     for v in values)
    return np.frombuffer(coded[:len(coded) // 2 * 2], '<i2').astype(
        np.float32) / schema.PCM16_SCALE

  @property
  def heard(self) -> tuple[float, float]:
    """Span that real sound covers, seconds of the video; equal ends: none."""
    start, end = self.one(schema.AUDIO_START, 0), self.one(schema.AUDIO_END, 0)
    return start / schema.MICROSECONDS, end / schema.MICROSECONDS

  @property
  def windows(self) -> list[tuple[int, int]]:
    """(first frame, last frame) of each stored window; none in a dense record."""
    return list(zip(self.context(schema.SEGMENT_START),
                    self.context(schema.SEGMENT_END)))

  def log_mels(self) -> dict[str, np.ndarray]:
    """Name -> float32 [patches, *shape]; flat patches if they have another size."""
    found = {}
    for name, key in schema.LOG_MEL_KEYS.items():
      patches = self.arrays(key)
      if patches and len({p.size for p in patches}) == 1:
        shape = schema.LOG_MELS[name]['shape']
        stacked = np.stack(patches)
        found[name] = (stacked.reshape(-1, *shape)
                       if stacked.shape[1] == np.prod(shape) else stacked)
    return found

  def others(self) -> dict[str, str]:
    """Keys that are not of the schema -> kind and shape, as 'float [10, 512]'."""
    found = {}
    for key, feature in self._example.context.feature.items():
      if key not in _KNOWN:
        found[key] = f'{_kind(feature)} [{_count(feature)}]'
    for key, values in self._example.feature_lists.feature_list.items():
      if key not in _KNOWN:
        counts = sorted({_count(f) for f in values.feature})
        kinds = sorted({_kind(f) for f in values.feature})
        width = '-'.join(map(str, sorted({counts[0], counts[-1]}))) if counts else '0'
        found[key] = f'{"/".join(kinds) or "list"} [{len(values.feature)}, {width}]'
    return dict(sorted(found.items()))


def _kind(feature):
  return (feature.WhichOneof('kind') or 'nothing').removesuffix('_list')


def _count(feature):
  kind = feature.WhichOneof('kind')
  return len(getattr(feature, kind).value) if kind else 0


def _values(feature):
  kind = feature.WhichOneof('kind') if feature is not None else None
  return list(getattr(feature, kind).value) if kind else []
