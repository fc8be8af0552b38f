"""Ten kills at random moments, then a last run: nothing tells that they happened."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tiny_videos

_ROOT = Path(__file__).resolve().parents[2]


def _command(manifest, out):
  return [sys.executable, '-m', 'beam_pipelines.prepare_videos',
          f'--manifest={manifest}', f'--output_dir={out}', '--num_shards=12',
          '--frame_rate=30', '--short_side=128', '--sample_rate=8000',
          '--flow=dis_medium', '--log_mels=yamnet']


def _content(out):
  return {p.name: p.read_bytes() for p in sorted(Path(out).iterdir())}


def _start(manifest, out):
  """The command, left at work: it has begun its directory."""
  process = subprocess.Popen(_command(manifest, out), cwd=_ROOT, stderr=subprocess.PIPE)
  deadline = time.monotonic() + 60
  while (not (out / 'options.json').exists() and process.poll() is None
         and time.monotonic() < deadline):
    time.sleep(0.01)
  return process


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path):
  manifest = tiny_videos.make_set(
      tmp_path, num_videos=24, splits=('train',), seconds=3, width=320, height=240)
  (tmp_path / 'videos' / 'v7.mp4').write_bytes(b'no film')
  undisturbed = _start(manifest, tmp_path / 'whole')
  begin = time.monotonic()
  assert undisturbed.wait() == 0, undisturbed.stderr.read()
  working = time.monotonic() - begin
  moments = random.Random(0)
  out, sizes, interrupted = tmp_path / 'out', [], 0
  for _ in range(10):
    process = _start(manifest, out)
    time.sleep(moments.uniform(0.0, working / 2))  # soon, or in the midst of it
    interrupted += process.poll() is None
    process.kill()  # SIGKILL; nothing if it has just ended
    process.communicate()
    sizes.append(len(list(out.glob('train-*.json'))))
    for shard in out.glob('*.tfrecord'):  # what is there is whole
      assert shard.read_bytes() == (tmp_path / 'whole' / shard.name).read_bytes()
    assert sizes == sorted(sizes)  # no kill costs what was finished
    if (out / 'COMPLETED').exists():
      shutil.rmtree(out)
      sizes = []
  assert interrupted >= 5  # else the machine is too fast for this test's videos
  last = subprocess.run(_command(manifest, out), cwd=_ROOT, capture_output=True,
                        text=True, check=False)
  assert last.returncode == 0, last.stderr
  assert _content(out) == _content(tmp_path / 'whole')
