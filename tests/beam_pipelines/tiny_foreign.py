"""Records as DMVR's and mediapipe's writers make them, for the tests."""

import cv2
import numpy as np
import tensorflow as tf

SECONDS = 2.0


def jpeg(level, height=36, width=48):
  return cv2.imencode('.jpg', np.full((height, width, 3), level, np.uint8))[1].tobytes()


def add_context(example, key, *values):
  feature = example.context.feature[key]
  kind = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
  kind[type(values[0])].value.extend(values)


def dmvr(level=100, label='run', index=0, *, frames=20, rate=8000, name='a.mp4'):
  """As DMVR's generate_from_file: no times of frames, no rates, no media_id."""
  example = tf.train.SequenceExample()
  if label is not None:
    add_context(example, 'clip/label/text', label.encode())
    add_context(example, 'clip/label/index', index)
  lists = example.feature_lists.feature_list
  for k in range(frames):
    lists['image/encoded'].feature.add().bytes_list.value.append(jpeg(level + 2 * k))
  if rate:
    lists['WAVEFORM/feature/floats'].feature.add().float_list.value.extend(
        .5 * np.sin(np.arange(int(SECONDS * rate))))
  add_context(example, 'video/filename', name.encode())
  add_context(example, 'clip/start/timestamp', 3_000_000)
  add_context(example, 'clip/end/timestamp', 3_000_000 + int(SECONDS * 1e6))
  return example


def mediapipe(labels=('run',), *, start=0, media_id='m', frames=10, rate=25.0):
  """mediapipe's keys: strings as labels, times of frames, a rate; no sound here."""
  example = tf.train.SequenceExample()
  add_context(example, 'clip/label/string', *[text.encode() for text in labels])
  add_context(example, 'clip/media_id', media_id.encode())
  add_context(example, 'clip/start/timestamp', start)
  add_context(example, 'clip/end/timestamp', start + int(frames * 1e6 / rate))
  add_context(example, 'image/frame_rate', rate)
  add_context(example, 'image/format', b'JPEG')
  lists = example.feature_lists.feature_list
  for k in range(frames):
    lists['image/encoded'].feature.add().bytes_list.value.append(jpeg(50 + 10 * k))
    lists['image/timestamp'].feature.add().int64_list.value.append(
        start + int(k * 1e6 / rate))
  return example
