"""Writes small shards directly, as a reference for the reader.

Frame k of video v is a flat picture whose red level is `frame_level(k)`, or noise; the
sound can be silent but for one tone burst. A video is written whole, cut in clips, or
as the windows that `segmented` chooses.
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
  flow: np.ndarray | None = None  # uint8 [T, H, W, 2]
  log_mels: tuple = ()  # names; see `patch_level`
  spans: list | None = None  # clips that are written: (begin, end, [(begin, end)])


def noise_video(media_id, num_frames=20, *, height=24, width=32, seed=0, **options):
  """Smooth coloured noise, and noise as sound."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (num_frames, height // 4, width // 4, 3), np.uint8)
  frames = np.stack([cv2.resize(f, (width, height)) for f in coarse])
  samples = num_frames * SAMPLE_RATE // FRAME_RATE
  waveform = rng.uniform(-.5, .5, samples).astype(np.float32)
  return Video(media_id, frames, waveform, **options)


def with_flow(video, seed=0):
  """The video with smooth noise as flow, one field per frame, the last repeated."""
  rng = np.random.default_rng(seed)
  total, height, width, _ = video.frames.shape
  coarse = rng.integers(0, 256, (total, height // 4, width // 4, 2), np.uint8)
  flow = np.stack([cv2.resize(f, (width, height)) for f in coarse])
  flow[-1] = flow[max(total - 2, 0)]
  return dataclasses.replace(video, flow=flow)


def segmented(video, *, num_segments, segment_frames, margin=0, max_frames=1000):
  """The video as a data set of frames 'segments' holds it: only windows are written.

  Args:
    video: a `Video`.
    num_segments: windows, spread evenly.
    segment_frames: frames of a window.
    margin: frames kept on both sides of it.
    max_frames: of a clip.
  """
  total = len(video.frames)
  window = min(segment_frames, total)
  spans = []
  for i in range(num_segments):
    first = i * (total - window) // max(num_segments - 1, 1)
    begin, end = max(first - margin, 0), min(first + window + margin, total)
    if spans and begin <= spans[-1][1] and end - spans[-1][0] <= max_frames:
      spans[-1][1] = end
    else:
      spans.append([begin, end, []])
    spans[-1][2].append((first, first + window))
  return dataclasses.replace(video, spans=spans)


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


def flow_jpeg(field):
  """uint8 [H, W, 2] as the first two channels of an unsubsampled JPEG."""
  bgr = np.concatenate([np.zeros_like(field[..., :1]), field[..., ::-1]], -1)
  return cv2.imencode('.jpg', bgr, [
      cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
      cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])[1].tobytes()


def patch_level(clip, patch):
  """What all values of a stored log-mel's patch are."""
  return 100. * (clip + 1) + patch


def examples(video):
  """The serialized clips of one video."""
  total = len(video.frames)
  size = video.clip_frames or total
  spans = video.spans or [
      (k, min(k + size, total), ()) for k in range(0, total, size)]
  for k, (begin, end, windows) in enumerate(spans):
    name = video.media_id + (f'#{k}' if len(spans) > 1 else '')
    yield _example(video, name, k, begin, end, windows)


def _example(video, name, index, begin, end, windows):
  period = schema.MICROSECONDS // FRAME_RATE
  samples = SAMPLE_RATE // FRAME_RATE
  waveform = video.waveform[
      begin * samples:end * samples if end < len(video.frames) else None]
  sequence = tf.train.SequenceExample()
  context, lists = sequence.context.feature, sequence.feature_lists.feature_list
  context[schema.EXAMPLE_ID].bytes_list.value.append(name.encode())
  context[schema.MEDIA_ID].bytes_list.value.append(video.media_id.encode())
  sound = video.sound or (0, len(video.frames) / FRAME_RATE)
  if video.spans:  # the real part of this clip's own sound
    sound = np.clip(sound, begin / FRAME_RATE, end / FRAME_RATE)
  for key, value in (
      (schema.CLIP_START, begin * period),
      (schema.CLIP_END, end * period),
      (schema.HAS_AUDIO, int(video.has_audio)),
      (schema.AUDIO_START, int(sound[0] * schema.MICROSECONDS)),
      (schema.AUDIO_END, int(sound[1] * schema.MICROSECONDS)),
  ):
    context[key].int64_list.value.append(value)
  context[schema.LABEL_INDEX].int64_list.value.extend(video.labels)
  for first, last in windows:
    context[schema.SEGMENT_START].int64_list.value.append(first - begin)
    context[schema.SEGMENT_END].int64_list.value.append(last - 1 - begin)
  for k in range(begin, end):
    lists[schema.IMAGE_ENCODED].feature.add().bytes_list.value.append(
        jpeg(video.frames[k]))
    lists[schema.IMAGE_TIMESTAMP].feature.add().int64_list.value.append(k * period)
    if video.flow is not None:
      lists[schema.FLOW_ENCODED].feature.add().bytes_list.value.append(
          flow_jpeg(video.flow[k]))
  if video.pcm16:
    lists[schema.WAVEFORM_BYTES].feature.add().bytes_list.value.append(
        np.round(waveform * schema.PCM16_SCALE).astype('<i2').tobytes())
  else:
    lists[schema.WAVEFORM_FLOATS].feature.add().float_list.value.extend(waveform)
  for log_mel in video.log_mels:
    kind = schema.LOG_MELS[log_mel]
    seconds = (end - begin) / FRAME_RATE
    for p in range(int(np.ceil(seconds / kind['seconds'] - 1e-9))):
      lists[schema.LOG_MEL_KEYS[log_mel]].feature.add().float_list.value.extend(
          np.full(kind['shape'], patch_level(index, p)).ravel())
  return sequence.SerializeToString()


def write(directory, videos, *, split='train', num_shards=1, labels=('a', 'b', 'c'),
          multi_label=False, **options):
  """Writes shards, dataset_info.json and COMPLETED; returns the directory as text.

  Args:
    directory: where to.
    videos: each a `Video`, or a serialized record of any writer.
    split: which one.
    num_shards: of the split.
    labels: names of the classes.
    multi_label: whether videos have several.
    **options: of prepare_videos.
  """
  directory = str(directory)
  os.makedirs(directory, exist_ok=True)
  shards = []
  for index in range(num_shards):
    name = schema.shard_name(split, index, num_shards)
    mine = [[video] if isinstance(video, bytes) else list(examples(video))
            for video in videos[index::num_shards]]
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
