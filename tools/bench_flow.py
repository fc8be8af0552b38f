"""Optical flow against OpenCV's algorithm alone: CPU time, stage by stage."""

import cv2
import numpy as np

import cpu_time
from beam_pipelines import config as config_lib
from tfmm.media import flow as flow_lib
from tfmm.media import video

ALGORITHM = 'dis_fast'
_FRAMES = 30  # of each clip: short rounds, and many, since the goal is narrow
_ROUNDS = 6  # for each one that is asked for


def measure(options, videos, unused_folder) -> float:
  """Part b; returns the figure that the goal is for.

  All variants see the same grey pictures, the frames of the clips as they are stored.
  """
  size = config_lib.PrepareConfig()
  rgb = [video.read_frames(path, size.frame_rate, size.short_side,
                           end_s=_FRAMES / size.frame_rate)[0] for path in videos]
  gray = [np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in c]) for c in rgb]
  ours = flow_lib.Flow(ALGORITHM)
  fields = [[ours(a, b) for a, b in zip(c, c[1:])] for c in gray]
  direct = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

  def each(function, clips):
    return cpu_time.of(lambda: [function(item) for c in clips for item in c])

  def pairs(function):
    return cpu_time.of(
        lambda: [function(a, b) for c in gray for a, b in zip(c, c[1:])])

  got = cpu_time.medians({
      'algorithm': lambda: pairs(lambda a, b: direct.calc(a, b, None)),
      'Flow()': lambda: pairs(ours),
      'grey': lambda: each(lambda f: cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), rgb),
      'quantize': lambda: each(flow_lib.quantize, fields),
      'encode': lambda: each(flow_lib.encode, fields),
  }, _ROUNDS * options.repeats)
  count = sum(len(c) - 1 for c in gray)
  rows = [
      ('the algorithm, called directly', got['algorithm']),
      ('Flow() beside it: checks, copies', got['Flow()'] - got['algorithm']),
      ('grey pictures', got['grey']),
      ('quantizing to uint8', got['quantize']),
      ('JPEG, 4:4:4, quality 95', got['encode'] - got['quantize']),
  ]
  total = sum(seconds for _, seconds in rows)
  print(f'b  {ours.name}, {count} pairs of {gray[0].shape[2]} x {gray[0].shape[1]}')
  for name, seconds in rows:
    print(f'     {name:34s} {1e3 * seconds / count:7.3f} ms per frame, '
          f'{seconds / total:5.1%}')
  print(f'   all that --flow={ALGORITHM} adds is {total / got["algorithm"]:.2f} times '
        'the algorithm')
  return got['Flow()'] / got['algorithm']
