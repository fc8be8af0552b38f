"""Tests of beam_pipelines.worker, in this process and as the real child."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from beam_pipelines import config
from beam_pipelines import guard
from beam_pipelines import sequence_example
from beam_pipelines import worker
from tests import tiny_videos
from tfmm import schema
from tfmm.media import MediaError


def _request(path, **options):
  return {
      'path': str(path), 'media_id': 'v/1.mp4', 'labels': ['x'], 'label_indices': [3],
      'config': config.PrepareConfig(
          frame_rate=10, short_side=36, sample_rate=8000, **options).to_dict()}


def test_records_of_a_long_video(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=2.5)
  pairs = list(worker.records(_request(path, max_clip_seconds=1.0)))
  assert [s['frames'] for _, s in pairs] == [10, 10, 5]
  ids = []
  level = []
  for record, summary in pairs:
    example = sequence_example.SequenceExample.FromString(record)
    context = example.context.feature
    ids.append(context[schema.EXAMPLE_ID].bytes_list.value[0])
    assert context[schema.MEDIA_ID].bytes_list.value[0] == b'v/1.mp4'
    assert summary['has_audio'] == 1
    for feature in example.feature_lists.feature_list[schema.IMAGE_ENCODED].feature:
      data = np.frombuffer(feature.bytes_list.value[0], np.uint8)
      image = cv2.imdecode(data, cv2.IMREAD_COLOR)
      assert image.shape == (36, 48, 3)
      level.append(image[:, 30:].mean())
  assert ids == [b'v/1.mp4#0', b'v/1.mp4#1', b'v/1.mp4#2']
  np.testing.assert_allclose(level, [tiny_videos.level(k) for k in range(25)], atol=4)


def test_the_real_child_gives_the_same_bytes(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4')
  child = guard.Child(60.0)
  try:
    [(record, _)] = child.run(_request(path))
    assert record == next(worker.records(_request(path)))[0]
    with pytest.raises(MediaError) as error:
      list(child.run(_request(tmp_path / 'none.mp4')))
    assert error.value.reason == 'missing'
    assert [r for r, _ in child.run(_request(path))] == [record]
  finally:
    child.close()


def test_the_child_imports_neither_tensorflow_nor_beam():
  code = ('import sys; import beam_pipelines.worker; '
          'print([m for m in ("tensorflow", "apache_beam") if m in sys.modules])')
  out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       check=True).stdout
  assert out.strip() == '[]'
