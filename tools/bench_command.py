"""The whole command: two workers against one, and memory on a long video."""

import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import bench_clips
import cpu_time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_GIB = 1 << 30
_LOOK_EVERY = 0.2  # seconds
_BUSY = 0.5  # load average from which on other work disturbs wall times


def write_manifest(path: str, videos: list[str]) -> str:
  """A manifest of one class and one split; returns its path.

  Relative paths: which shard a video falls into is the same in every run.
  """
  folder = os.path.dirname(path)
  with open(path, 'w', encoding='utf-8') as file:
    file.write('video_path,label,split\n')
    file.writelines(f'"{os.path.relpath(v, folder)}",a,train\n' for v in videos)
  return path


@dataclasses.dataclass(frozen=True)
class Ran:
  """What a command took.

  Attributes:
    seconds: Wall time.
    cpu_seconds: CPU time of all its processes.
    main_gib: Peak resident memory of the main process.
    worker_gib: That of the largest decoding process.
  """

  seconds: float
  cpu_seconds: float
  main_gib: float
  worker_gib: float


def prepare(videos: str, folder: str, *arguments: str) -> Ran:
  """Prepares a manifest into a directory that is then removed.

  Raises:
    OSError: If the command fails.
  """
  with tempfile.TemporaryDirectory(dir=folder) as out, \
      tempfile.TemporaryFile('w+') as log:
    command = [sys.executable, '-m', 'beam_pipelines.prepare_videos',
               f'--manifest={videos}', f'--output_dir={out}', *arguments]
    peaks = {}  # process id -> bytes
    begin, begin_cpu = time.monotonic(), cpu_time.so_far()
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
      while process.poll() is None:
        for pid in _family(process.pid):
          peaks[pid] = max(peaks.get(pid, 0), _peak_memory(pid))
        with contextlib.suppress(subprocess.TimeoutExpired):
          process.wait(_LOOK_EVERY)
      seconds = time.monotonic() - begin
    finally:
      process.kill()
      process.wait()
    if process.returncode:
      log.seek(0)
      raise OSError((log.read().strip().splitlines() or ['prepare_videos failed'])[-1])
  main = peaks.pop(process.pid, 0)
  return Ran(seconds, cpu_time.so_far() - begin_cpu, main / _GIB,
             max(peaks.values(), default=0) / _GIB)


def _family(pid: int) -> Iterator[int]:
  """A process and those that it or its children started."""
  children = {}
  for name in os.listdir('/proc'):
    if name.isdigit():
      with contextlib.suppress(OSError), open(f'/proc/{name}/stat', 'rb') as file:
        parent = int(file.read().rpartition(b')')[2].split()[1])
        children.setdefault(parent, []).append(int(name))
  todo = [pid]
  while todo:
    todo += children.get(todo[0], [])
    yield todo.pop(0)


def _peak_memory(pid: int) -> int:
  """Highest resident memory of a process so far, bytes; 0 if it has gone."""
  with contextlib.suppress(OSError), open(f'/proc/{pid}/status', 'rb') as file:
    for line in file:
      if line.startswith(b'VmHWM:'):
        return int(line.split()[1]) * 1024
  return 0


def measure_two_workers(options, videos, folder) -> float:
  """Part c; returns the figure that the goal is for."""
  load = os.getloadavg()[0]
  if load > _BUSY:
    print(f'c  other work is going on here (load {load:.1f}): wall times are disturbed')
  links = []
  for k in range(options.copies):
    for video in videos:
      links.append(os.path.join(folder, f'copy{k}-{os.path.basename(video)}'))
      os.symlink(os.path.abspath(video), links[-1])
  many = write_manifest(os.path.join(folder, 'many.csv'), links)
  short = bench_clips.make_clip(
      os.path.join(folder, 'short.mp4'), 0, seconds=0.2, width=64, height=48)
  little = write_manifest(os.path.join(folder, 'little.csv'), [short])

  cpu = {}  # workers -> CPU seconds of all rounds

  def run(manifest, workers):
    def once():
      ran = prepare(manifest, folder, f'--direct_num_workers={workers}')
      if manifest == many:
        cpu.setdefault(workers, []).append(ran.cpu_seconds)
      return ran.seconds
    return once

  got = cpu_time.medians(
      {'one': run(many, 1), 'two': run(many, 2), 'start': run(little, 2)},
      min(3, options.repeats))
  ratio = got['one'] / got['two']
  one, two = (statistics.median(cpu[workers]) for workers in (1, 2))
  # With all of the machine, the second is nearly 2 cores.
  print(f'c  {len(links)} videos: one worker {got["one"]:.1f} s ({one:.1f} CPU s, '
        f'{one / got["one"]:.2f} cores), two workers {got["two"]:.1f} s ({two:.1f} '
        f'CPU s, {two / got["two"]:.2f} cores)')
  print(f'   starting and ending the command takes {got["start"]:.1f} s, '
        f'{got["start"] / got["two"]:.0%} of the time with two workers; without it '
        f'they are {(got["one"] - got["start"]) / (got["two"] - got["start"]):.2f} '
        'times as fast')
  return ratio


def measure_long_video(options, unused_videos, folder) -> float:
  """Part d; returns the figure that the goal is for."""
  minute = bench_clips.make_clip(
      os.path.join(folder, 'minute.mp4'), 0, seconds=60.0, width=192, height=112)
  long = bench_clips.loop(
      minute, os.path.join(folder, 'long.mp4'), 3600 * options.hours)
  # Frames of common size: what is held in memory is a clip of a minute.
  short = bench_clips.make_clip(os.path.join(folder, 'short.mp4'), 0)
  usual = bench_clips.loop(short, os.path.join(folder, 'usual.mp4'), 180.0)
  worst = 0.0
  for what, video, arguments in (
      (f'{options.hours:g} h of 192 x 112, segments', long,
       ('--short_side=112', '--frames=segments')),
      (f'{options.hours:g} h of 192 x 112, dense', long, ('--short_side=112',)),
      ('3 min of 640 x 360, dense', usual, ())):
    ran = prepare(write_manifest(os.path.join(folder, 'long.csv'), [video]), folder,
                  *arguments)
    print(f'd  {what:32s} {ran.seconds:6.1f} s ({ran.cpu_seconds:.1f} CPU s), peak '
          f'memory: worker {ran.worker_gib:.2f} GiB, main {ran.main_gib:.2f} GiB',
          flush=True)
    worst = max(worst, ran.worker_gib)
  return worst
