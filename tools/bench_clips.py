"""Videos for measurements: moving texture with sound, looped to any length."""

import math
import os
from fractions import Fraction

import av
import cv2
import numpy as np

_GRAIN = 9  # grey levels of noise that differs from frame to frame
_SOUND_RATE = 48000  # hertz
_SOUND_CHUNK = 1024  # samples


def make_clip(path: str, seed: int, *, seconds: float = 10.0, width: int = 640,
              height: int = 360, frame_rate: int = 30) -> str:
  """Writes an H.264 clip with stereo AAC and returns its path.

  A texture of several scales pans under grain, and a disc moves over it: about the
  bytes of a real clip, and motion everywhere. Ten seconds of 640 x 360 take one second.

  Args:
    path: Where to; mp4 or mkv.
    seed: Another number, another texture and path.
    seconds: Length.
    width: Pixels, even.
    height: Pixels, even.
    frame_rate: Frames per second.
  """
  rng = np.random.default_rng(seed)
  texture = np.full((2 * height, 2 * width, 3), 128.0, np.float32)
  for scale in (4, 16, 64):
    coarse = rng.normal(size=(2 * height // scale + 1, 2 * width // scale + 1, 3))
    texture += 6 * math.sqrt(scale) * cv2.resize(
        coarse.astype(np.float32), (2 * width, 2 * height),
        interpolation=cv2.INTER_CUBIC)
  texture = np.clip(texture, 0, 255).astype(np.uint8)
  grain = rng.integers(0, _GRAIN, (5, height, width, 3), dtype=np.uint8)
  with av.open(path, 'w') as container:
    picture = container.add_stream('libx264', rate=frame_rate)
    picture.width, picture.height, picture.pix_fmt = width, height, 'yuv420p'
    picture.options = {'crf': '23', 'preset': 'veryfast', 'g': '250'}
    sound = container.add_stream('aac', rate=_SOUND_RATE)
    sound.layout = 'stereo'
    for k in range(round(seconds * frame_rate)):
      x = int((math.sin(k / 40 + seed) + 1) * 0.45 * width)
      y = int((math.cos(k / 55) + 1) * 0.45 * height)
      image = cv2.add(
          np.ascontiguousarray(texture[y:y + height, x:x + width]), grain[k % 5])
      centre = (int(width * (0.5 + 0.33 * math.sin(k / 15))),
                int(height * (0.5 + 0.33 * math.cos(k / 11))))
      cv2.circle(image, centre, height // 9, (220, 80, 40), -1)
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      frame.pts, frame.time_base = k, Fraction(1, frame_rate)
      container.mux(picture.encode(frame))
    container.mux(picture.encode(None))
    t = np.arange(round(seconds * _SOUND_RATE)) / _SOUND_RATE
    wave = 0.3 * np.sin(2 * np.pi * (300 + 50 * seed) * t)
    wave = (wave + 0.05 * rng.normal(size=t.shape)).astype(np.float32)
    for start in range(0, len(wave), _SOUND_CHUNK):
      frame = av.AudioFrame.from_ndarray(
          np.stack([wave[start:start + _SOUND_CHUNK]] * 2), format='fltp',
          layout='stereo')
      frame.sample_rate, frame.time_base = _SOUND_RATE, Fraction(1, _SOUND_RATE)
      frame.pts = start
      container.mux(sound.encode(frame))
    container.mux(sound.encode(None))
  return path


def loop(source: str, path: str, seconds: float) -> str:
  """Writes a clip again and again, without coding it anew, and returns the path.

  Args:
    source: A clip with picture and sound, as `make_clip` writes them.
    path: Where to.
    seconds: Length at least; a whole number of rounds.
  """
  with av.open(source) as old:
    streams = [s for s in old.streams if s.type in ('video', 'audio')]
    packets = [(p.stream.index, bytes(p), p.pts, p.dts, p.duration, p.is_keyframe)
               for p in old.demux(streams) if p.dts is not None]
    bases = {s.index: s.time_base for s in streams}
    # Times begin below zero: coded ahead (B-frames), or to prime the sound decoder.
    round_s = (max((pts + duration) * bases[index]
                   for index, _, pts, _, duration, _ in packets)
               - min(dts * bases[index] for index, _, _, dts, _, _ in packets))
    with av.open(path, 'w') as new:
      twins = {s.index: new.add_stream_from_template(s) for s in streams}
      for k in range(math.ceil(seconds / round_s)):
        for index, data, pts, dts, duration, is_key in packets:
          packet = av.Packet(data)
          shift = round(k * round_s / bases[index])
          packet.stream, packet.time_base = twins[index], bases[index]
          packet.pts, packet.dts, packet.duration = pts + shift, dts + shift, duration
          packet.is_keyframe = is_key
          new.mux(packet)
  return path


def make_clips(directory: str, count: int, **options) -> list[str]:
  """Writes `count` different clips into a directory; returns their paths."""
  os.makedirs(directory, exist_ok=True)
  return [make_clip(os.path.join(directory, f'clip{k}.mp4'), k, **options)
          for k in range(count)]
