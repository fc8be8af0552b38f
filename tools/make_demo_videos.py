r"""Makes a small data set of videos whose truth is known segment by segment.

  python tools/make_demo_videos.py --output_dir=D --num_videos=600 --seed=0

writes real mp4 files (h264 and aac), `D/manifest.csv` (video_path,label,split) and
`D/relevance.json`, which says for each video and each second whether sight, motion or
sound carries evidence of the label, and what else was put there to distract. A
policy's choice of segments can so be scored against the truth (`tools/report.py`).

Ten classes: `disc`, `cross` are told by a shape; `slide_horizontal`, `slide_vertical`
by how one and the same square moves; `chirps`, `bursts` by sound alone; `ring_low`,
`ring_high`, `star_low`, `star_high` only by shape and tone together, which need not
fall into the same segment. A segment is one second. A third to a half of them carry
evidence, the others hold a dim texture and a faint hiss, neutral clutter or babble,
or a short, weak piece of another class.

The same flags give the same pixels and samples, whatever the number of processes.
"""

import collections
import concurrent.futures
import csv
import dataclasses
import json
import multiprocessing
import os
import sys
import threading

from absl import flags
import av
import cv2
import demo_scenes
import numpy as np
from tfmm import command_line
from tfmm import directory_lock

MODALITY_OF_EVIDENCE = {
    'rgb': ['sight', 'motion'], 'flow': ['motion'], 'audio': ['sound']}
# 7 train, 1 validation, 2 test of ten; no two neighbours are outside train, so that
# a label with two videos has one to learn from.
SPLIT_PATTERN = ('train', 'train', 'test', 'train', 'validation',
                 'train', 'train', 'test', 'train', 'train')


def plan_labels(options: demo_scenes.Options) -> list[tuple[str, str]]:
  """Returns (label, split) of each video, stratified by label, in file order."""
  labels = sorted(i % len(demo_scenes.CLASSES) for i in range(options.num_videos))
  names = list(demo_scenes.CLASSES)
  rows = [(names[label], SPLIT_PATTERN[i % len(SPLIT_PATTERN)])
          for i, label in enumerate(labels)]
  order = np.random.default_rng([options.seed, 0]).permutation(len(rows))
  return [rows[i] for i in order]


def write_mp4(path: str, frames: np.ndarray, sound: np.ndarray, frame_rate: int):
  """Writes h264 and aac; the name appears only when the file is whole."""
  part = path + '.part'
  with av.open(part, 'w', format='mp4') as container:
    # One thread, or the bits depend on the machine. With mbtree and B-frames the
    # assembly of x264 gives other bits from call to call (seen with PyAV 18.1).
    video = container.add_stream('libx264', rate=frame_rate, options={
        'preset': 'veryfast', 'crf': '23', 'threads': '1', 'mbtree': '0'})
    video.height, video.width = frames.shape[1:3]
    video.pix_fmt = 'yuv420p'
    audio = container.add_stream('aac', rate=demo_scenes.SOUND_RATE, layout='mono')
    seconds = len(frames) // frame_rate
    for second, block in enumerate(np.split(sound, seconds)):
      for frame in frames[second * frame_rate:(second + 1) * frame_rate]:
        container.mux(video.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
      samples = av.AudioFrame.from_ndarray(block[None], 'fltp', 'mono')
      samples.sample_rate = demo_scenes.SOUND_RATE
      samples.pts = second * demo_scenes.SOUND_RATE
      container.mux(audio.encode(samples))
    container.mux(video.encode(None))
    container.mux(audio.encode(None))
  os.replace(part, path)


def _write_one(job):
  """Makes one video in a worker process and returns its entry of relevance.json."""
  output_dir, path, index, label, options = job
  cv2.setNumThreads(1)
  segments, frames, sound = demo_scenes.make_video(index, label, options)
  write_mp4(os.path.join(output_dir, path), frames, sound, options.frame_rate)
  return path, {
      'label': label,
      'duration_s': float(options.seconds),
      'segments': [
          {'start_s': float(i), 'end_s': float(i + 1),
           'evidence': s.evidence(), 'distractor': s.distractors()}
          for i, s in enumerate(segments)],
  }


def _end_with_parent():
  """Worker processes would wait forever for work from a process that was killed."""
  def watch():
    multiprocessing.parent_process().join()
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


def _is_done(output_dir, options):
  """True if the same call ended here before; ValueError if another one did."""
  path = os.path.join(output_dir, 'relevance.json')
  if not os.path.exists(path):
    return False
  with open(path, encoding='utf-8') as f:
    before = json.load(f).get('options')
  if before != dataclasses.asdict(options):
    raise ValueError(f'{output_dir} holds videos made with {before}; give another '
                     '--output_dir or remove it')
  return True


def make_demo_videos(output_dir: str, options: demo_scenes.Options, processes: int = 0):
  """Writes videos, manifest.csv and, last, relevance.json.

  Args:
    output_dir: folder to write to; made if missing. What an interrupted call left
      is written again, what a finished equal call left is kept.
    options: what to make.
    processes: how many to use; 0: one per core that this process may run on.

  Raises:
    ValueError: `output_dir` holds a finished data set of other options.
  """
  if _is_done(output_dir, options):
    print(f'{output_dir}: {options.num_videos} videos are there already')
    return
  os.makedirs(os.path.join(output_dir, 'videos'), exist_ok=True)
  rows = plan_labels(options)
  width = max(4, len(str(len(rows))))
  jobs = [(output_dir, f'videos/{i:0{width}d}.mp4', i, label, options)
          for i, (label, _) in enumerate(rows, 1)]
  processes = min(processes or len(os.sched_getaffinity(0)), len(jobs))
  videos = {}
  with concurrent.futures.ProcessPoolExecutor(
      processes, multiprocessing.get_context('spawn'), _end_with_parent) as pool:
    for path, entry in pool.map(_write_one, jobs, chunksize=4):
      videos[path] = entry
      if len(videos) % 100 == 0 or len(videos) == len(jobs):
        print(f'{len(videos)} of {len(jobs)} videos', flush=True)
  with open(os.path.join(output_dir, 'manifest.csv'), 'w', newline='',
            encoding='utf-8') as f:
    writer = csv.writer(f, lineterminator='\n')
    writer.writerow(['video_path', 'label', 'split'])
    writer.writerows((path, label, split)
                     for path, (label, split) in zip(videos, rows))
  # The commit point.
  path = os.path.join(output_dir, 'relevance.json')
  with open(path + '.part', 'w', encoding='utf-8') as f:
    json.dump({'segments_per_video': options.seconds,
               'modality_of_evidence': MODALITY_OF_EVIDENCE,
               'options': dataclasses.asdict(options),
               'videos': videos}, f, indent=1)
  os.replace(path + '.part', path)
  splits = collections.Counter(split for _, split in rows)
  print(f'{output_dir}: ' + ', '.join(f'{n} {split}' for split, n in splits.items()))


def main(argv):
  if len(argv) > 1:
    sys.exit(f'make_demo_videos: unexpected argument {argv[1]!r}; flags start with --.')
  values = flags.FLAGS
  try:
    options = demo_scenes.Options(
        num_videos=values.num_videos, seed=values.seed, seconds=values.seconds,
        size=values.size, frame_rate=values.frame_rate)
    if '://' in values.output_dir:
      raise ValueError(f'--output_dir={values.output_dir} is remote; make the videos '
                       'in a local folder and copy it')
    with directory_lock.hold(values.output_dir, '--output_dir'):
      make_demo_videos(values.output_dir, options)
  except (ValueError, OSError) as error:
    sys.exit(f'make_demo_videos: {error}')


if __name__ == '__main__':
  flags.DEFINE_string('output_dir', None, 'Folder to write to.', required=True)
  flags.DEFINE_integer('num_videos', 600, 'Number of videos over all splits.')
  flags.DEFINE_integer('seed', 0, 'The same seed gives the same data set.')
  flags.DEFINE_integer('seconds', 10, 'Length of a video; a segment is one second.')
  flags.DEFINE_integer('size', 96, 'Side of the picture in pixels, even.')
  flags.DEFINE_integer('frame_rate', 10, 'Frames per second.')
  command_line.run('make_demo_videos', main)
