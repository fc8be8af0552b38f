r"""Measures what preparing videos costs, and beside what it should be seen.

  python tools/bench_prepare.py [--parts=a,b,c,d] [--clips=FOLDER] [--ffmpeg=PATH]

a  RGB and sound: CPU time of the worker path (decode, scale, JPEG, waveform, record,
   TFRecord) against FFmpeg's command line, which writes the same JPEGs and sound.
b  flow: CPU time of the algorithm as OpenCV offers it, and of all that is added to it.
c  two workers against one: wall time of the whole command.
d  a video of two hours with --frames=segments, and dense: seconds and peak memory.

Variants alternate and medians are compared, because other work on a machine disturbs
all of them. CPU time is that of the whole process tree. Clips are made (640 x 360,
10 s, H.264 and AAC) if no folder of them is given. FFmpeg is that of the package
imageio-ffmpeg if no path is given. The exit code is 1 if a goal is missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import bench_clips
import bench_command
import bench_flow
import bench_rgb_sound
import cv2
from tfmm import command_line

# part -> how it is measured, what its figure is, and what that must be
PARTS = {
    'a': (bench_rgb_sound.measure,
          'ours over ffmpeg, video-seconds per core-second', 'at least', 0.8),
    'b': (bench_flow.measure, "time of Flow() over the algorithm's", 'at most', 1.05),
    'c': (bench_command.measure_two_workers, 'speed of two workers over one',
          'at least', 1.8),
    'd': (bench_command.measure_long_video, 'peak memory of a worker, GiB', 'at most',
          1.0),
}


def parse(argv):
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--parts', default='a,b,c,d', help='which to measure')
  parser.add_argument('--clips', help='folder of videos, for a, b and c')
  parser.add_argument('--num_clips', type=int, default=6, help='how many of them')
  parser.add_argument('--copies', type=int, default=40,
                      help='c: how often each is prepared')
  parser.add_argument('--repeats', type=int, default=5,
                      help='rounds of which medians are taken; c: at most 3')
  parser.add_argument('--hours', type=float, default=2.0,
                      help='d: length of the long video')
  parser.add_argument('--ffmpeg', help='a: path of the ffmpeg to compare with')
  options = parser.parse_args(argv)
  options.parts = options.parts.split(',')
  unknown = [part for part in options.parts if part not in PARTS]
  if unknown:
    raise ValueError(f'--parts has {unknown[0]!r}; give some of {",".join(PARTS)}')
  for name in ('num_clips', 'copies', 'repeats', 'hours'):
    if not getattr(options, name) > 0:
      raise ValueError(f'--{name}={getattr(options, name)} must be above 0')
  return options


def find_clips(options, folder) -> list[str]:
  """Paths of the clips to measure with."""
  if not options.clips:
    return bench_clips.make_clips(os.path.join(folder, 'clips'), options.num_clips)
  found = sorted(e.path for e in os.scandir(options.clips) if e.is_file())
  if not found:
    raise ValueError(f'--clips={options.clips} has no files')
  return found[:options.num_clips]


def measure(options) -> bool:
  """Measures and prints all parts; whether every goal is met."""
  met = True
  cv2.setNumThreads(1)
  with tempfile.TemporaryDirectory() as folder:
    videos = find_clips(options, folder) if set(options.parts) & set('abc') else []
    for part in options.parts:
      place = os.path.join(folder, f'part-{part}')
      os.makedirs(place)
      run, what, kind, goal = PARTS[part]
      figure = run(options, videos, place)
      good = figure >= goal if kind == 'at least' else figure <= goal
      met = met and good
      print(f'{part}  {what}: {figure:.2f}, goal {kind} {goal}: '
            f'{"met" if good else "MISSED"}', flush=True)
  return met


def main(argv=None) -> int:
  try:
    return 0 if measure(parse(argv)) else 1
  except (ValueError, OSError, subprocess.CalledProcessError) as error:
    sys.exit(f'bench_prepare: {command_line.one_line(error)}')


if __name__ == '__main__':
  sys.exit(main())
