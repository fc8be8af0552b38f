"""Rows to features to records: plain generators, without files and without Beam."""

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from beam_pipelines import feature_rows
from beam_pipelines import sequence_example
from tfmm import schema


class Features(NamedTuple):
  """All that is known of one video."""

  video: feature_rows.Video
  floats: np.ndarray  # float32 [S, D]; zeros where nothing is present
  present: np.ndarray  # int64 [S] 0/1
  not_finite: int  # steps whose features were infinite or no numbers


def encode_videos(chunks: Iterable[feature_rows.Chunk],
                  encode: Callable[[np.ndarray], np.ndarray], *,
                  dimensions: int, batch_size: int) -> Iterator[Features]:
  """Encodes rows in batches that span videos; yields videos in their order.

  Rows that are not present are not encoded.

  Args:
    chunks: Steps of videos in order.
    encode: Rows [N, ...] to features float32 [N, D].
    dimensions: D.
    batch_size: Rows per call; the last one of all may have fewer.
  """
  waiting = collections.deque()  # [video, present [S], its features so far]
  rows = []  # of the next batch

  def run(count):
    joined = np.concatenate(rows) if len(rows) > 1 else rows[0]
    rows[:] = [joined[count:]] if len(joined) > count else []
    done = encode(joined[:count])
    for entry in waiting:
      missing = int(entry[1].sum()) - sum(map(len, entry[2]))
      entry[2].append(done[:missing])
      done = done[missing:]
      if not len(done):
        break

  def finished():
    while waiting and len(waiting[0][1]) == waiting[0][0].num_steps and (
        int(waiting[0][1].sum()) == sum(map(len, waiting[0][2]))):
      yield _features(*waiting.popleft(), dimensions)

  for chunk in chunks:
    if not waiting or len(waiting[-1][1]) == waiting[-1][0].num_steps:
      waiting.append([chunk.video, np.zeros([0], np.int64), []])
    there = chunk.present > 0
    waiting[-1][1] = np.concatenate([waiting[-1][1], there.astype(np.int64)])
    if there.any():
      rows.append(chunk.rows[there])
    while sum(map(len, rows)) >= batch_size:
      run(batch_size)
    yield from finished()
  if rows:
    run(batch_size)
  yield from finished()


def _features(video, present, parts, dimensions):
  floats = np.zeros([len(present), dimensions], np.float32)
  if parts:
    floats[present > 0] = np.concatenate(parts)
  finite = np.isfinite(floats).all(1)
  floats[~finite] = 0
  return Features(video, floats, present * finite, int((~finite).sum()))


def record(features: Features, name: str, rate: float | None) -> bytes:
  """One video's SequenceExample, with MediaSequence's keys.

  Args:
    features: Of the video.
    name: Prefix of the keys, as RGB.
    rate: Steps per second, if they are regular.
  """
  example, video = sequence_example.SequenceExample(), features.video
  context = {
      schema.EXAMPLE_ID: [video.media_id],
      schema.MEDIA_ID: [video.media_id],
      schema.DATA_PATH: [video.data_path],
      schema.CLIP_START: [video.start],
      schema.CLIP_END: [video.end],
      schema.LABEL_INDEX: video.label_index,
      schema.LABEL_TEXT: video.label_text,
      schema.LABEL_STRING: video.label_text,
      schema.SCHEMA_VERSION: [schema.VERSION],
  }
  for key, values in context.items():
    sequence_example.set_context(example, key, *values)
  feature = example.context.feature
  feature[schema.feature_key(name, 'dimensions')].int64_list.value.append(
      features.floats.shape[1])
  feature[schema.present_key(name)].int64_list.value.extend(
      features.present.tolist())
  if rate is not None:
    feature[schema.feature_key(name, 'rate')].float_list.value.append(rate)
  for row in features.floats:
    sequence_example.set_floats(example, schema.feature_key(name, 'floats'), row)
  times = example.feature_lists.feature_list[schema.feature_key(name, 'timestamp')]
  for time in video.times:
    times.feature.add().int64_list.value.append(time)
  return sequence_example.serialize(example)
