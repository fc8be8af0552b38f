"""A small job, and a decoding child that decodes nothing."""

import os

from beam_pipelines import config
from beam_pipelines import job as job_lib
from beam_pipelines import storage
from tests import tiny_videos
from tfmm.media import MediaError

CONFIG = config.PrepareConfig(frame_rate=10, short_side=36, sample_rate=8000)


class FakeChild:
  """Answers as `guard.Child`, without decoding."""

  def __init__(self, bad=()):
    self.bad = dict(bad)
    self.asked = []

  def run(self, request, alive=lambda: None):
    name = request['media_id']
    self.asked.append(name)
    alive()
    yield name.encode(), {'frames': 10, 'seconds': 1.0, 'has_audio': 1, 'height': 36,
                          'width': 48, 'corrupt_frames': 0, 'bad_packets': 0,
                          'truncated': 0, 'stage_seconds': {'decode': 0.5}}
    if name in self.bad:
      raise MediaError(self.bad[name], 'as asked')


def job(tmp_path, rows=4, **options):
  path = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [(f'v{k}.mp4', 'ab'[k % 2], 'train') for k in range(rows)])
  os.makedirs(tmp_path / 'out' / storage.TEMPORARY, exist_ok=True)
  return job_lib.Job(**{
      'manifest_path': path, 'output_dir': str(tmp_path / 'out'), 'config': CONFIG,
      'labels': ('a', 'b'), 'num_shards': {'train': 1}, **options})
