"""Tiny test videos, made with PyAV in milliseconds; the truth about them is known.

Frame k of a video is grey of level `40 + 6 * (k % 30)`; its left half is darker by 20.
The sound is a sine of amplitude 0.5.
"""

import csv
import os
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np


def level(k: int) -> int:
  """Grey level of the right half of frame k."""
  return 40 + 6 * (k % 30)


def picture(k: int, width: int, height: int) -> np.ndarray:
  """Frame k, uint8 [height, width, 3]."""
  image = np.full((height, width, 3), level(k), np.uint8)
  image[:, :width // 2] -= 20
  return image


def tone(start: int, samples: int, sample_rate: int, frequency: float) -> np.ndarray:
  """A sine from sample `start` on, float32 [samples]."""
  t = (start + np.arange(samples)) / sample_rate
  return (0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def make(path, *, seconds: float = 1.0, frame_rate: int = 10, width: int = 64,
         height: int = 48, sound: bool = True, video: bool = True,
         sample_rate: int = 16000, frequency: float = 440.0,
         sound_start_s: float = 0.0, sound_seconds: float | None = None,
         times: Sequence[float] | None = None,
         draw: Callable[[int, int, int], np.ndarray] = picture,
         tone: Callable[[int, int, int, float], np.ndarray] = tone,
         codec: str = 'libx264', gop: int = 10) -> str:
  """Writes a video and returns its path.

  Args:
    path: Where to; the extension decides the container.
    seconds: Length of the picture.
    frame_rate: Frames per second.
    width: Pixels, even.
    height: Pixels, even.
    sound: Whether there is a sound track.
    video: Whether there is a picture track.
    sample_rate: Hertz.
    frequency: Of the tone, hertz.
    sound_start_s: When the sound begins.
    sound_seconds: How long it lasts; None: to the end of the picture.
    times: Time of each frame in seconds, instead of a fixed rate.
    draw: Frame k, width, height -> uint8 [height, width, 3].
    tone: First sample, samples, rate in hertz, frequency -> float32 [samples].
    codec: Of the picture.
    gop: Frames from one key frame to the next, at most.
  """
  path = os.fspath(path)
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  times = ([k / frame_rate for k in range(round(seconds * frame_rate))]
           if times is None else list(times))
  with av.open(path, 'w') as container:
    picture_stream = sound_stream = None
    if video:
      picture_stream = container.add_stream(codec, rate=frame_rate)
      picture_stream.width, picture_stream.height = width, height
      picture_stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
      picture_stream.time_base = Fraction(1, 1000)
      picture_stream.codec_context.time_base = Fraction(1, 1000)
      if codec == 'libx264':
        picture_stream.options = {'crf': '10', 'preset': 'ultrafast', 'g': str(gop)}
      picture_stream.codec_context.thread_count = 1
    if sound:
      sound_stream = container.add_stream('aac', rate=sample_rate)
      sound_stream.layout = 'mono'
    if video:
      for k, time_s in enumerate(times):
        frame = av.VideoFrame.from_ndarray(draw(k, width, height), format='rgb24')
        frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
        container.mux(picture_stream.encode(frame))
      container.mux(picture_stream.encode(None))
    if sound:
      length = seconds - sound_start_s if sound_seconds is None else sound_seconds
      first = round(sound_start_s * sample_rate)
      for start in range(0, round(length * sample_rate), 1024):
        samples = min(1024, round(length * sample_rate) - start)
        frame = av.AudioFrame.from_ndarray(
            tone(first + start, samples, sample_rate, frequency)[None], format='fltp',
            layout='mono')
        frame.sample_rate, frame.time_base = sample_rate, Fraction(1, sample_rate)
        frame.pts = first + start
        container.mux(sound_stream.encode(frame))
      container.mux(sound_stream.encode(None))
  return path


def write_manifest(path, rows: Sequence[Sequence[str]],
                   header: Sequence[str] = ('video_path', 'label', 'split')) -> str:
  """Writes a manifest and returns its path."""
  path = os.fspath(path)
  with open(path, 'w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(rows)
  return path


def make_set(directory, *, num_videos: int = 6, labels: Sequence[str] = ('a', 'b'),
             splits: Sequence[str] = ('train', 'train', 'test'), **options) -> str:
  """Writes `num_videos` videos and their manifest; returns the manifest's path."""
  rows = []
  for k in range(num_videos):
    name = f'videos/v{k}.mp4'
    make(os.path.join(directory, name), frequency=300.0 + 50 * k, **options)
    rows.append((name, labels[k % len(labels)], splits[k % len(splits)]))
  return write_manifest(os.path.join(directory, 'manifest.csv'), rows)
