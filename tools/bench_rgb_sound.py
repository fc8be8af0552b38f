"""Preparing RGB and sound against FFmpeg's command line: CPU time, stage by stage."""

import collections
import importlib
import os
import statistics
import subprocess

import bench_command
import cpu_time
from beam_pipelines import config as config_lib
from beam_pipelines import guard
from beam_pipelines import job as job_lib
from beam_pipelines import manifest
from beam_pipelines import shards as shards_lib

_QUANTIZERS = range(1, 16)  # what ffmpeg's -q:v is chosen from
_TIMEOUT_SECONDS = 600.0


class Shard:
  """One shard of some videos, made as `prepare_videos` does: by a decoding child.

  Attributes:
    stages: CPU seconds of each stage, for each time that it was made.
  """

  def __init__(self, folder: str, videos: list[str]):
    os.makedirs(folder)
    path = bench_command.write_manifest(os.path.join(folder, 'manifest.csv'), videos)
    self.stages = collections.defaultdict(list)
    self._job = job_lib.Job(
        manifest_path=path, output_dir=folder, labels=('a',), num_shards={'train': 1},
        config=config_lib.PrepareConfig())
    self._rows = manifest.in_shard_order(self._job.read_manifest())

  def make(self) -> dict:
    """Makes it, with a child that is started and ended; returns the sidecar."""
    meter = collections.Counter()
    child = guard.Child(_TIMEOUT_SECONDS)
    try:
      sidecar = shards_lib.make_shard(
          self._job, ('train', 0), self._rows, child, meter=meter)
    finally:
      child.close()
    for stage in shards_lib.STAGES:
      self.stages[stage].append(1e-6 * meter[f'microseconds_{stage}'])
    return sidecar


def find_ffmpeg(given: str | None) -> str:
  """The ffmpeg to measure.

  Raises:
    ValueError: If there is none.
  """
  if given:
    return given
  try:
    return importlib.import_module('imageio_ffmpeg').get_ffmpeg_exe()
  except (ImportError, RuntimeError):
    raise ValueError('no ffmpeg to compare with: pip install imageio-ffmpeg, or give '
                     '--ffmpeg=PATH') from None


def run_ffmpeg(ffmpeg: str, video: str, folder: str, quantizer: int) -> int:
  """Writes a video's frames and sound as files; returns the bytes of its JPEGs.

  One pass for both and one thread, with our frame rate, size, scaling filter and sample
  rate. The files of the video before are removed.
  """
  for name in os.listdir(folder):
    os.unlink(os.path.join(folder, name))
  ours = config_lib.PrepareConfig()
  short = ours.short_side
  scale = (f"scale='if(gt(iw,ih),-2,{short})':'if(gt(iw,ih),{short},-2)'"
           ':flags=bilinear')
  subprocess.run(
      [ffmpeg, '-nostdin', '-v', 'error', '-y', '-threads', '1', '-i', video,
       '-filter_threads', '1', '-map', '0:v:0', '-vf', f'fps={ours.frame_rate},{scale}',
       '-threads', '1', '-qmin', '1', '-q:v', str(quantizer), f'{folder}/%06d.jpg',
       '-map', '0:a:0?', '-threads', '1', '-ac', '1', '-ar', str(ours.sample_rate),
       '-c:a', 'pcm_f32le', f'{folder}/sound.wav'],
      check=True)
  return sum(entry.stat().st_size for entry in os.scandir(folder)
             if entry.name.endswith('.jpg'))


def choose_quantizer(run, wanted: float) -> tuple[int, float]:
  """The one whose JPEGs are nearest in size, and their megabytes.

  Args:
    run: Quantizer -> megabytes; a larger one gives fewer.
    wanted: Megabytes.
  """
  sizes = {}
  for quantizer in _QUANTIZERS:
    sizes[quantizer] = run(quantizer)
    if sizes[quantizer] < wanted:
      break
  return min(sizes.items(), key=lambda item: abs(item[1] - wanted))


def measure(options, videos, folder) -> float:
  """Part a; returns the figure that the goal is for."""
  ffmpeg = find_ffmpeg(options.ffmpeg)
  frames = os.path.join(folder, 'frames')
  os.makedirs(frames)
  nothing = os.path.join(folder, 'nothing.mp4')
  with open(nothing, 'w', encoding='ascii') as file:
    file.write('no film')
  start = Shard(os.path.join(folder, 'start'), [nothing])
  shard = Shard(os.path.join(folder, 'shard'), videos)
  sidecar = shard.make()  # and warms the file cache
  if sidecar['rejected']:
    first = sidecar['rejected'][0]
    raise ValueError(f'{first["video_path"]} cannot be used ({first["detail"]}); take '
                     'it out of --clips')
  shard.stages.clear()
  seconds = sum(video['seconds'] for video in sidecar['videos'])
  sound = 4 * config_lib.PrepareConfig().sample_rate * seconds
  ours_mb = (sidecar['bytes'] - sound) / 1e6

  def all_by_ffmpeg(quantizer):
    return sum(run_ffmpeg(ffmpeg, video, frames, quantizer) for video in videos) / 1e6

  quantizer, theirs_mb = choose_quantizer(all_by_ffmpeg, ours_mb)
  got = cpu_time.medians({
      'ours': lambda: cpu_time.of(shard.make),
      'ffmpeg': lambda: cpu_time.of(lambda: all_by_ffmpeg(quantizer)),
      'start': lambda: cpu_time.of(start.make),
  }, options.repeats)
  ours, theirs = got['ours'] - got['start'], got['ffmpeg']
  print(f'a  {len(videos)} videos, {seconds:.0f} s; JPEGs {ours_mb:.1f} MB, of ffmpeg '
        f'-q:v {quantizer} {theirs_mb:.1f} MB')
  for name, value, note in (
      ('ffmpeg', theirs, ''), ('ours', ours, f': {theirs / ours:.2f} of ffmpeg'),
      ('with start', got['ours'], f': {theirs / got["ours"]:.2f} of ffmpeg; a worker '
       'starts once for many videos')):
    print(f'   {name:10s} {value:6.2f} CPU s, {seconds / value:5.1f} video-seconds per '
          f'core-second{note}')
  parts = {name: statistics.median(values) for name, values in shard.stages.items()}
  parts['pipe, Python'] = ours - sum(parts.values())
  for name, value in sorted(parts.items(), key=lambda item: -item[1]):
    if value:
      print(f'     {name:12s} {value / ours:6.1%} {1e3 * value / seconds:7.2f} ms per '
            'video-second')
  return theirs / ours
