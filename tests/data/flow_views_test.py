"""What the views of optical flow show, against NumPy."""

import dataclasses
import itertools

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_dataset
from tests.data import tiny_shards
from tfmm import schema
from tfmm.data import dataset

_FLOW = dataset.FlowFrames(
    num_frames=3, stride=2, fields=3, size=16, short_side=24, scale_range=(24, 24))


def _spec(*views, **options):
  views = views or (_FLOW,)
  modalities = tuple(dict.fromkeys(view.modality for view in views))
  return tiny_dataset.spec(views=views, modalities=modalities, **options)


def _decoded(video):
  """The stored fields as OpenCV decodes them: uint8 [T, H, W, 2]."""
  return np.stack([
      cv2.imdecode(np.frombuffer(tiny_shards.flow_jpeg(field), np.uint8),
                   cv2.IMREAD_COLOR)[..., :0:-1] for field in video.flow])


def _stack(fields, starts, last):
  """u1, v1, u2, v2, u3, v3 of every second frame: [S, 3, H, W, 6]."""
  return np.stack([
      np.stack([np.concatenate([
          fields[min(start + 2 * f + k, last)] for k in range(3)], -1)
          for f in range(3)]) for start in starts])


@pytest.fixture(scope='module', name='video')
def video_fixture():
  return tiny_shards.with_flow(tiny_shards.noise_video('a', 20))


def test_flow_at_test_time_against_numpy(tmp_path, video):
  tiny_shards.write(tmp_path, [video], flow='dis_fast')
  batch, = tiny_dataset.evaluate(tmp_path, _spec())
  starts = np.linspace(0, 20 - 6, 4).astype(int)
  fields = _decoded(video)
  assert np.abs(fields.astype(int) - video.flow).mean() < 2  # of the JPEG alone
  expected = _stack(fields[:, 4:20, 8:24], starts, 19)
  assert batch['flow'].dtype == np.uint8
  np.testing.assert_array_equal(batch['flow'][0], expected)
  # The last stack is at frame 18: fields 18, 19 and 19 again.
  np.testing.assert_array_equal(
      batch['flow'][0, 3, 2, ..., 2:4], batch['flow'][0, 3, 2, ..., 4:])
  np.testing.assert_array_equal(batch['present'], np.ones([1, 4, 1]))


def test_fields_behind_a_run_repeat_its_last_one(tmp_path, video):
  """Runs of frames 0 to 6 and 13 to 19; seven fields are read from a start on."""
  windows = tiny_shards.segmented(video, num_segments=2, segment_frames=6, margin=1)
  tiny_shards.write(
      tmp_path, [windows], flow='dis_fast', frames='segments', num_segments=2,
      segment_frames=6, segment_margin_seconds=.1)
  crops = _crops(_decoded(video))
  firsts = set()
  for batch in tiny_dataset.train(
      tmp_path, 6, _spec(num_segments=2), batch_size=1):
    one, two = np.rint(batch['segment_times'][0, :, 0] * 10).astype(int)
    matches = [place for place, crop in crops.items() if np.array_equal(
        batch['flow'][0], np.concatenate([_stack(crop, [one], 6),
                                          _stack(crop, [two], 19)]))]
    assert len(matches) == 1
    firsts.add(one)
  assert firsts == {0, 1}  # from 1 on the last field is missing


def _crops(fields):
  """All crops of 16 of uint8 [T, 24, 32, 2], plain and mirrored: {place: crop}."""
  mirrored = fields[:, :, ::-1].copy()
  mirrored[..., 0] = 255 - mirrored[..., 0]
  return {
      (top, left, flip): pictures[:, top:top + 16, left:left + 16]
      for top, left in itertools.product(range(9), range(17))
      for flip, pictures in ((False, fields), (True, mirrored))}


def test_crop_and_flip_are_those_of_the_frames(tmp_path, video):
  tiny_shards.write(tmp_path, [video], flow='dis_fast')
  rgb = dataclasses.replace(tiny_dataset.RGB, scale_range=(24, 24))
  frames = np.stack([
      tf.io.decode_jpeg(tiny_shards.jpeg(f), dct_method='INTEGER_ACCURATE').numpy()
      for f in video.frames])
  crops = _crops(_decoded(video))
  flips = set()
  for batch in tiny_dataset.train(tmp_path, 8, _spec(rgb, _FLOW), batch_size=1):
    starts = np.rint(batch['segment_times'][0, :, 0] * 10).astype(int)
    first = batch['flow'][0, 0, 0, ..., :2]
    (top, left, flip), = (
        place for place, crop in crops.items()
        if np.array_equal(crop[starts[0]], first))
    np.testing.assert_array_equal(
        batch['flow'][0], _stack(crops[top, left, flip], starts, 19))
    shown = frames[:, :, ::-1] if flip else frames
    shown = shown[starts[:, None] + [0, 2, 4], top:top + 16, left:left + 16]
    np.testing.assert_array_equal(batch['rgb'][0], shown)
    flips.add(flip)
  assert flips == {False, True}


def test_scaling_the_crop_leaves_the_values(tmp_path, video):
  flow = np.zeros_like(video.flow) + np.array([200, 60], np.uint8)
  tiny_shards.write(
      tmp_path, [dataclasses.replace(video, flow=flow)], flow='dis_fast')
  view = dataclasses.replace(_FLOW, size=40, short_side=48, scale_range=(48, 60))
  spec = _spec(view, augment=dataset.Augmentation(flip=0.))
  for batch in (*tiny_dataset.evaluate(tmp_path, spec),
                *tiny_dataset.train(tmp_path, 1, spec, batch_size=1)):
    found = batch['flow'].astype(int).reshape([-1, 3, 2])
    assert np.abs(found - [200, 60]).max() <= 1  # of the JPEG


def test_fields_that_are_not_read_are_not_decoded(tmp_path, video):
  """Two frames 4 apart with 2 fields each: 0, 1 and 4, 5 of each segment."""
  view = dataclasses.replace(_FLOW, num_frames=2, stride=4, fields=2)
  sequence = tf.train.SequenceExample.FromString(next(tiny_shards.examples(video)))
  fields = sequence.feature_lists.feature_list[schema.FLOW_ENCODED].feature
  starts = [0, 4, 8, 12]  # windows of 8 of 20 frames
  read = {start + k for start in starts for k in (0, 1, 4, 5)}
  assert read == {0, 1, 4, 5, 8, 9, 12, 13, 16, 17}
  for k, field in enumerate(fields):
    if k not in read:
      field.bytes_list.value[0] = b'not a picture'
  del sequence.feature_lists.feature_list[schema.IMAGE_ENCODED]
  tiny_shards.write(tmp_path, [sequence.SerializeToString()], flow='dis_fast')
  batch, = tiny_dataset.evaluate(tmp_path, _spec(view))
  assert batch['flow'].shape == (1, 4, 2, 16, 16, 4)


def test_the_preview_shows_the_crop(tmp_path, video):
  tiny_shards.write(tmp_path, [video], flow='dis_fast')
  preview = dataset.FlowPreview(frames=(0, 2), fields=3, size=8)
  batch, = tiny_dataset.train(tmp_path, 1, _spec(_FLOW, preview), batch_size=1)
  crops = batch['flow'][:, :, [0, 2]].astype(np.float32)
  # Halving with half-pixel centres is the mean of 2 x 2.
  small = crops.reshape(1, 3, 2, 8, 2, 8, 2, 6).mean((4, 6))
  assert batch['flow_preview'].dtype == np.float32
  np.testing.assert_allclose(batch['flow_preview'], small, atol=1e-3)


def test_flow_shares_its_segments_with_the_frames():
  spec = dataset.DatasetSpec(
      views=(dataset.RgbFrames(), dataset.FlowFrames(), dataset.FlowPreview()),
      modalities=('rgb', 'flow'))
  assert spec.window == 32
  shapes = {name: tuple(s.shape[2:]) for name, s in spec.view_specs().items()}
  assert shapes == {'rgb': (8, 224, 224, 3), 'flow': (8, 224, 224, 10),
                    'flow_preview': (4, 160, 160, 10)}


def test_a_stack_has_at_least_one_field():
  with pytest.raises(ValueError, match="fields=0 of view 'flow' must be at least 1"):
    dataset.FlowFrames(fields=0)
