"""A data set of shards that another writer made: its labels, options and side files.

All is laid out as `shards` and `dataset_files` do it for our own.
"""

import dataclasses
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from beam_pipelines import config as config_lib
from beam_pipelines import dataset_files
from beam_pipelines import foreign_records
from beam_pipelines import tfrecord
from beam_pipelines.foreign_records import Found
from tfmm import schema

_SAMPLE_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
_NEAR = 0.03  # a rate told by length alone is off by a frame, or by a codec's delay


@dataclasses.dataclass(frozen=True)
class Shard:
  """One file.

  Attributes:
    path: Where it is.
    videos: What the records of each video hold.
    size: Bytes.
    sha256: Of its content.
  """

  path: str
  videos: list[list[Found]]
  size: int
  sha256: str

  @property
  def records(self) -> list[Found]:
    return [found for video in self.videos for found in video]


def read_shard(path: str, *, sound: bool = True, flow: bool = True) -> Shard:
  """Reads and checks all of a file.

  Args:
    path: A TFRecord file.
    sound: Whether the sound of the records will be used.
    flow: Whether their flow will.

  Raises:
    ValueError: If a record cannot be used; names file and record.
  """
  videos = []
  for number, record in enumerate(tfrecord.read(path)):
    try:
      found = foreign_records.examine(record, sound=sound, flow=flow)
    except ValueError as error:
      raise ValueError(f'{path}, record {number}: {error}.') from None
    if videos and found.follows(videos[-1][-1]):
      videos[-1].append(found)
    else:
      videos.append([found])
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  return Shard(path, videos, os.path.getsize(path), digest)


def class_names(records: Sequence[Found]) -> list[str]:
  """Names of the classes in the order of their indices.

  The reader goes by names and takes numbers only where there are none, because DMVR
  numbers labels anew in every run. Numbers decide the order if they agree with names.

  Raises:
    ValueError: If records without a name use a number that has two names.
  """
  texts = sorted({text for found in records for text in found.texts})
  names = {}  # number -> its names
  for found in records:
    if len(found.texts) == len(found.indices):
      for index, text in zip(found.indices, found.texts):
        names.setdefault(index, set()).add(text)
  numbers = {text: index for index, several in names.items() for text in several}
  agree = sum(map(len, names.values())) == len(names) == len(texts) == len(numbers)
  nameless = sum(not found.texts for found in records)
  if not nameless:
    complete = agree and sorted(names) == list(range(len(texts)))
    return sorted(texts, key=numbers.get) if complete else texts
  if texts and not agree:
    raise ValueError(
        f'{nameless} of {len(records)} records have a label number without a name, and '
        'the others do not number their names alike; give all of them names.')
  count = 1 + max(index for found in records for index in found.indices)
  return [min(names[k]) if k in names else str(k) for k in range(count)]


def options(records: Sequence[Found], *, frame_rate: float | None = None,
            sample_rate: int | None = None) -> dict[str, Any]:
  """The `options` of dataset_info.json.

  Args:
    records: All of them.
    frame_rate: Frames per second, for records that do not tell theirs.
    sample_rate: Hertz, for records that do not tell theirs.

  Raises:
    ValueError: If a rate is not known, or records differ in how sound is stored.
  """
  if frame_rate is None:
    frame_rate = _frame_rate(records)
  if frame_rate <= 0:
    raise ValueError(f'frame_rate is {frame_rate}; it must be above 0 per second.')
  heard = [found for found in records if found.samples]
  waveforms = sorted({found.waveform for found in heard})
  if len(waveforms) > 1:
    raise ValueError('some records have sound as floats and some as bytes; make them '
                     'alike, or leave it out with --nosound.')
  flows = sorted({found.flow for found in records})
  return {
      'schema_version': schema.VERSION,
      'foreign': True,
      'frames': 'dense',
      'frame_rate': frame_rate,
      'short_side': min(min(found.height, found.width) for found in records),
      'sample_rate': _sample_rate(heard, frame_rate, sample_rate) if heard else None,
      'waveform': waveforms[0] if waveforms else '',
      'flow': '' if '' in flows else ', '.join(flows),
      'log_mels': ['mbt'] if all(found.has_mbt for found in records) else [],
  }


def _frame_rate(records):
  told = [found.frame_rate for found in records if found.frame_rate]
  if told:
    return round(float(np.median(told)), 3)
  counted = [found.frames / found.seconds for found in records if found.seconds]
  if not counted:
    raise ValueError('the records do not tell their frames per second; give '
                     '--frame_rate.')
  middle = float(np.median(counted))
  whole = max(1.0, round(middle))
  return whole if abs(whole - middle) <= _NEAR * whole else round(middle, 3)


def _sample_rate(records, frame_rate, given) -> int:
  told = sorted({found.sample_rate for found in records if found.sample_rate})
  if len(told) > 1:
    raise ValueError(f'some records have sound of {told[0]:g} Hz, some of {told[-1]:g} '
                     'Hz; make them alike, or leave it out with --nosound.')
  if told and given not in (None, told[0]):
    raise ValueError(f'sample_rate is {given}, but records tell {told[0]:g} Hz; leave '
                     'the flag out.')
  if told or given is not None:
    rate = told[0] if told else given
    if rate <= 0 or rate != int(rate):
      raise ValueError(
          f'sample_rate is {rate:g} Hz; it must be a positive whole number.')
    return int(rate)
  middle = float(np.median([
      found.samples / (found.seconds or found.frames / frame_rate)
      for found in records]))
  near = min(_SAMPLE_RATES, key=lambda rate: abs(rate - middle))
  if abs(near - middle) > _NEAR * near:
    raise ValueError(f'by its length the sound has {middle:.0f} Hz, no usual rate; '
                     'give --sample_rate, or leave it out with --nosound.')
  return near


def sidecar(shard: Shard, name: str, labels: Sequence[str], made_with: Mapping[str, Any]
           ) -> dict[str, Any]:
  """What stands beside a shard.

  Args:
    shard: The file.
    name: Its name in the data set.
    labels: Names of the classes.
    made_with: The data set's options.
  """
  per_label = dict.fromkeys(labels, 0)
  for first, *_ in shard.videos:
    for label in first.texts or [labels[k] for k in first.indices]:
      per_label[label] += 1
  return {
      'schema_version': schema.VERSION,
      'file': name,
      'fingerprint': config_lib.fingerprint(
          dict(made_with), list(labels), name, shard.sha256),
      'sha256': shard.sha256,
      'bytes': shard.size,
      'num_videos': len(shard.videos),
      'num_clips': len(shard.records),
      'per_label': {text: count for text, count in per_label.items() if count},
      'videos': [_of_video(video, made_with['frame_rate']) for video in shard.videos],
      'rejected': [],
      'versions': versions(),
  }


def _of_video(records, frame_rate):
  """What the sidecar says of a video."""
  seconds = sum(found.seconds or found.frames / frame_rate for found in records)
  return {
      'media_id': records[0].name,
      'clips': len(records),
      'seconds': round(seconds, 6),
      'frames': sum(found.frames for found in records),
      'height': records[-1].height,
      'width': records[-1].width,
      'has_audio': int(any(found.samples for found in records)),
      'truncated': 0,
      'corrupt_frames': 0,
  }


def versions() -> dict[str, str]:
  """Of what looked at the shards."""
  return {'schema': str(schema.VERSION), 'python': platform.python_version(),
          'opencv': cv2.__version__, 'numpy': np.__version__}


def info(sidecars: Sequence[Mapping[str, Any]], labels: Sequence[str],
         made_with: Mapping[str, Any], *, multi_label: bool) -> dict[str, Any]:
  """The content of dataset_info.json.

  Args:
    sidecars: Of all shards, in the order of their names.
    labels: Names of the classes.
    made_with: The data set's options.
    multi_label: Whether a video can have several labels.
  """
  return {
      'schema_version': schema.VERSION,
      'labels': list(labels),
      'multi_label': multi_label,
      'splits': dataset_files.split_entries(sidecars, labels),
      'options': dict(made_with),
      'versions': versions(),
  }
