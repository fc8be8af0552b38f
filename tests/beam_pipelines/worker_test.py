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
from tfmm.media import flow


def _request(path, **options):
  return {
      'path': str(path), 'media_id': 'v/1.mp4', 'data_path': 'v/1.mp4',
      'labels': ['x'], 'label_indices': [3],
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


def _lists(record):
  example = sequence_example.SequenceExample.FromString(record)
  return example.context.feature, example.feature_lists.feature_list


def test_flow_of_a_picture_that_moves(tmp_path):
  texture = cv2.GaussianBlur(
      np.random.default_rng(0).integers(0, 255, (60, 120, 3), np.uint8), (0, 0), 2)
  texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)

  def draw(k, width, height):  # moves to the left, twice as fast from frame 5 on
    left = 2 * k + 2 * max(0, k - 5)
    return np.ascontiguousarray(texture[:height, left:left + width])

  path = tiny_videos.make(tmp_path / 'a.mp4', draw=draw)
  [(record, summary)] = worker.records(
      _request(path, flow='dis_fast') | {'config': config.PrepareConfig(
          frame_rate=10, short_side=48, sample_rate=8000, flow='dis_fast').to_dict()})
  context, lists = _lists(record)
  fields = lists[schema.FLOW_ENCODED].feature
  assert len(fields) == len(lists[schema.IMAGE_ENCODED].feature) == 10
  speeds = []
  for feature in fields:
    data = np.frombuffer(feature.bytes_list.value[0], np.uint8)
    motion = flow.dequantize(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    speeds.append(np.median(motion[8:-8, 8:-8], (0, 1)))
  np.testing.assert_allclose(
      speeds, [[-2, 0]] * 5 + [[-4, 0]] * 5, atol=.4)  # the last one is repeated
  assert fields[9] == fields[8]
  assert context[schema.FLOW_ALGORITHM].bytes_list.value[0].startswith(
      b'dis_fast OpenCV ')
  assert summary['stage_seconds']['flow'] > 0


def test_windows_and_log_mels(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=30)
  records = [record for record, _ in worker.records(_request(
      path, frames='segments', num_segments=3, segment_frames=5,
      segment_margin_seconds=.2, log_mels=('yamnet', 'mbt')))]
  begins = []
  for record in records:
    context, lists = _lists(record)
    start = context[schema.CLIP_START].int64_list.value[0]
    for first, last in zip(context[schema.SEGMENT_START].int64_list.value,
                           context[schema.SEGMENT_END].int64_list.value):
      assert last - first == 4
      begins.append(start + first * 100_000)
    samples = context[schema.WAVEFORM_NUM_SAMPLES].int64_list.value[0]
    patches = lists[schema.LOG_MEL_KEYS['yamnet']].feature
    assert len(patches) == -(-samples // round(.96 * 8000))
    assert len(patches[0].float_list.value) == 96 * 64
    assert len(lists[schema.LOG_MEL_KEYS['mbt']].feature) == -(-samples // 8000)
  assert begins == [0, 295 // 2 * 100_000, 29_500_000]


def test_a_part_of_the_file(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=3)
  request = {**_request(path), 'media_id': 'v/1.mp4#1.000-2.000', 'start_s': 1.0,
             'end_s': 2.0}
  [(record, summary)] = worker.records(request)
  context, lists = _lists(record)
  assert context[schema.CLIP_START].int64_list.value[0] == 1_000_000
  assert context[schema.CLIP_END].int64_list.value[0] == 2_000_000
  assert context[schema.MEDIA_ID].bytes_list.value[0] == b'v/1.mp4#1.000-2.000'
  assert context[schema.DATA_PATH].bytes_list.value[0] == b'v/1.mp4'
  assert len(lists[schema.IMAGE_ENCODED].feature) == summary['frames'] == 10


def test_signs_of_life_keep_slow_work_alive(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=3)
  signs = []
  list(worker.records(_request(path, flow='dis_fast'), lambda: signs.append(1)))
  assert len(signs) == 30 + 29  # each picture and each motion


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
