"""Writes small shards directly, as a reference for the reader.

Frame k of video v is a flat picture whose red level is `frame_level(k)`, or noise; the
sound can be silent but for one tone burst.
"""

import dataclasses
import json
import os

import cv2
import numpy as np
import tensorflow as tf

from tfmm import schema

FRAME_RATE = 10
SAMPLE_RATE = 8000


@dataclasses.dataclass
class Video:
  media_id: str
  frames: np.ndarray  # uint8 [T, H, W, 3]
  waveform: np.ndarray  # float32 [N]
  labels: tuple = (0,)
  has_audio: bool = True
  clip_frames: int | None = None  # cuts the video in clips of so many frames
  pcm16: bool = False
  sound: tuple | None = None  # seconds between which the sound is real


def noise_video(media_id, num_frames=20, *, height=24, width=32, seed=0, **options):
  """Smooth coloured noise, and noise as sound."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (num_frames, height // 4, width // 4, 3), np.uint8)
  frames = np.stack([cv2.resize(f, (width, height)) for f in coarse])
  samples = num_frames * SAMPLE_RATE // FRAME_RATE
  waveform = rng.uniform(-.5, .5, samples).astype(np.float32)
  return Video(media_id, frames, waveform, **options)


def flat_video(media_id, num_frames, **options):
  """Frame k is grey at level `frame_level(k)`; no sound unless given."""
  options.setdefault(
      'waveform', np.zeros(num_frames * SAMPLE_RATE // FRAME_RATE, np.float32))
  frames = np.zeros((num_frames, 16, 16, 3), np.uint8)
  frames += np.array([frame_level(k) for k in range(num_frames)],
                     np.uint8)[:, None, None, None]
  return Video(media_id, frames, **options)


def frame_level(k):
  return 8 + 2 * k


def jpeg(frame):
  return cv2.imencode('.jpg', frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[
      1].tobytes()


def examples(video):
  """The serialized clips of one video."""
  total = len(video.frames)
  size = video.clip_frames or total
  samples = SAMPLE_RATE // FRAME_RATE
  clips = [(k, min(k + size, total)) for k in range(0, total, size)]
  for k, (begin, end) in enumerate(clips):
    name = video.media_id + (f'#{k}' if len(clips) > 1 else '')
    waveform = video.waveform[
        begin * samples:end * samples if end < total else None]
    yield _example(video, name, begin, end, waveform)


def _example(video, name, begin, end, waveform):
  period = schema.MICROSECONDS // FRAME_RATE
  sequence = tf.train.SequenceExample()
  context, lists = sequence.context.feature, sequence.feature_lists.feature_list
  context[schema.EXAMPLE_ID].bytes_list.value.append(name.encode())
  context[schema.MEDIA_ID].bytes_list.value.append(video.media_id.encode())
  sound = video.sound or (0, len(video.frames) / FRAME_RATE)
  for key, value in (
      (schema.CLIP_START, begin * period),
      (schema.CLIP_END, end * period),
      (schema.HAS_AUDIO, int(video.has_audio)),
      (schema.AUDIO_START, int(sound[0] * schema.MICROSECONDS)),
      (schema.AUDIO_END, int(sound[1] * schema.MICROSECONDS)),
  ):
    context[key].int64_list.value.append(value)
  context[schema.LABEL_INDEX].int64_list.value.extend(video.labels)
  for k in range(begin, end):
    lists[schema.IMAGE_ENCODED].feature.add().bytes_list.value.append(
        jpeg(video.frames[k]))
    lists[schema.IMAGE_TIMESTAMP].feature.add().int64_list.value.append(k * period)
  if video.pcm16:
    lists[schema.WAVEFORM_BYTES].feature.add().bytes_list.value.append(
        np.round(waveform * schema.PCM16_SCALE).astype('<i2').tobytes())
  else:
    lists[schema.WAVEFORM_FLOATS].feature.add().float_list.value.extend(waveform)
  return sequence.SerializeToString()


def write(directory, videos, *, split='train', num_shards=1, labels=('a', 'b', 'c'),
          multi_label=False, **options):
  """Writes shards, dataset_info.json and COMPLETED; returns the directory as text."""
  directory = str(directory)
  os.makedirs(directory, exist_ok=True)
  shards = []
  for index in range(num_shards):
    name = schema.shard_name(split, index, num_shards)
    mine = [list(examples(video)) for video in videos[index::num_shards]]
    with tf.io.TFRecordWriter(os.path.join(directory, name)) as writer:
      for clip in (clip for clips in mine for clip in clips):
        writer.write(clip)
    shards.append({'file': name, 'num_videos': len(mine),
                   'clips_per_video': [len(clips) for clips in mine]})
  path = os.path.join(directory, schema.DATASET_INFO)
  info = {'schema_version': schema.VERSION, 'labels': list(labels),
          'multi_label': multi_label, 'splits': {},
          'options': {'frame_rate': FRAME_RATE, 'sample_rate': SAMPLE_RATE,
                      'short_side': 24, 'frames': 'dense', **options}}
  if os.path.exists(path):
    with open(path) as file:
      info['splits'] = json.load(file)['splits']
  info['splits'][split] = {
      'num_videos': len(videos), 'num_clips': sum(
          len(s['clips_per_video']) for s in shards), 'shards': shards}
  with open(path, 'w') as file:
    json.dump(info, file)
  open(os.path.join(directory, schema.COMPLETED), 'w').close()
  return directory
