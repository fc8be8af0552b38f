"""Inputs of JPEGs: what is decoded of them, and what one input can serve."""

import dataclasses

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.export import tiny_export
from tfmm.data import dataset
from tfmm.export import served_pictures

FLOW, DIFFERENCES = tiny_export.FLOW, tiny_export.DIFFERENCES
PREVIEW = tiny_export.DIFFERENCE_PREVIEW


def jpeg(rng, height=48, width=64):
  picture = cv2.resize(rng.integers(0, 256, [6, 8, 3], np.uint8), (width, height))
  return cv2.imencode('.jpg', picture)[1].tobytes()


def rows(rng, shape, **size):
  made = np.empty(shape, object)
  for index in np.ndindex(made.shape):
    made[index] = jpeg(rng, **size)
  return made


def decoded(data):
  return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def sources_of(*views):
  """The inputs from which views are computed, if all of them are in the data."""
  by_name = {view.name: view for view in views}
  read = [(view, served_pictures.source(view, by_name)) for view in views]
  return [source for kind in served_pictures.KINDS for source in kind.all_of(read)]


def source_of(*views):
  """The only one."""
  source, = sources_of(*views)
  return source


def middle(picture, size):
  top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
  return picture[top:top + size, left:left + size]


def test_frames_without_scaling_equal_opencv():
  view = dataset.RgbFrames(num_frames=2, size=32, short_side=48, scale_range=(48, 48))
  rng = np.random.default_rng(0)
  encoded = np.stack([rows(rng, [2]), rows(rng, [2], width=90)])
  encoded[0, 1] = encoded[0, 0]  # as behind the end of a video
  got = source_of(view).decode(tf.constant(encoded)).numpy()
  assert got.shape == (2, 2, 32, 32, 3)
  for index in np.ndindex(2, 2):
    np.testing.assert_array_equal(got[index], middle(decoded(encoded[index]), 32))


def test_flow_without_scaling_equals_opencv():
  view = dataclasses.replace(FLOW, short_side=48)
  rng = np.random.default_rng(1)
  encoded = np.stack([rows(rng, [2, 3]), rows(rng, [2, 3], width=90)])
  encoded[0, 1, 0] = encoded[0, 0, 2]  # as where runs overlap
  got = source_of(view).decode(tf.constant(encoded)).numpy()
  assert got.shape == (2, 2, 24, 24, 6)
  for n, f, k in np.ndindex(2, 2, 3):
    np.testing.assert_array_equal(
        got[n, f, ..., 2 * k:2 * k + 2],
        middle(decoded(encoded[n, f, k]), 24)[..., :2])


def test_differences_are_taken_before_scaling():
  rng = np.random.default_rng(2)
  encoded = rows(rng, [1, 2, 4])
  encoded[0, 1, 3] = encoded[0, 1, 2]  # as behind the end of a video
  got = source_of(DIFFERENCES).decode(tf.constant(encoded)).numpy()
  frames = np.stack([decoded(data) for data in encoded.ravel()]).reshape(
      [2, 4, 48, 64, 3]).astype(int)
  changes = ((frames[:, 1:] - frames[:, :-1] + 255) // 2).astype(np.uint8)
  assert (changes[1, 2] == 127).all() and changes.std() > 10
  small = tf.image.resize(changes.reshape([-1, 48, 64, 3]), [32, 43])
  small = np.round(small).astype(np.uint8).reshape([2, 3, 32, 43, 3])[
      :, :, 4:28, 9:33]
  # [f, fields, size, size, 3] -> [f, size, size, fields, 3]
  expected = small.transpose(0, 2, 3, 1, 4).reshape([1, 2, 24, 24, 9])
  np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize('view', [tiny_export.FRAMES, FLOW, DIFFERENCES])
def test_rows_do_not_touch_each_other(view):
  """Neither their sizes nor their number matter; no rows are none."""
  source = source_of(view)
  rng = np.random.default_rng(3)
  shape = source.row_spec.shape.as_list()
  encoded = np.stack([rows(rng, shape, height=h, width=w) for h, w in (
      (48, 64), (36, 36), (90, 40))])
  got = source.decode(tf.constant(encoded))
  for n in range(3):
    np.testing.assert_array_equal(got[n:n + 1], source.decode(encoded[n:n + 1]))
  none = source.decode(tf.constant(encoded)[:0])
  assert none.shape == (0, *view.spec().shape)


def test_a_difference_preview_alone_asks_for_its_frames():
  source = source_of(PREVIEW)
  assert not source.is_read and source.previews == (PREVIEW,)
  assert source.frames == (1,) and source.offsets == (2,)
  assert source.row_spec.shape == [1, 4]
  rng = np.random.default_rng(4)
  encoded = rows(rng, [1, 2, 1, 4])
  there = tf.constant([[1., 0.]])
  got = source.preview(PREVIEW, tf.constant(encoded), there)
  assert got.shape == (1, 2, 1, 12, 12, 9) and not got[0, 1].numpy().any()
  # Halving with half-pixel centres is the mean of 2 x 2.
  clips = source.decode(encoded[0, :1]).numpy().astype(np.float32)
  small = clips.reshape([1, 12, 2, 12, 2, 9]).mean((2, 4))
  np.testing.assert_allclose(got[0, 0], small, atol=1e-3)


def test_differences_and_their_preview_are_one_input():
  source = source_of(DIFFERENCES, PREVIEW)
  assert source.is_read and source.view == DIFFERENCES
  assert source.row_spec.shape == [2, 4] and source.previews == (PREVIEW,)
  encoded = tf.constant(rows(np.random.default_rng(5), [1, 1, 2, 4]))
  there = tf.ones([1, 1])
  alone = source_of(PREVIEW).preview(PREVIEW, encoded[:, :, 1:], there)
  np.testing.assert_array_equal(source.preview(PREVIEW, encoded, there), alone)


@pytest.mark.parametrize('changes', [
    {'stride': 1}, {'fields': 2}, {'crop': 20}, {'short_side': 36}, {'frames': (1, 2)}])
def test_differences_of_other_frames_are_refused(changes):
  other = dataclasses.replace(PREVIEW, **changes)
  with pytest.raises(ValueError, match="one input 'rgb_difference'") as error:
    source_of(DIFFERENCES, other)
  assert '\n' not in str(error.value)
  if 'frames' not in changes:
    with pytest.raises(ValueError, match="one input 'rgb_difference'"):
      source_of(PREVIEW, dataclasses.replace(other, name='other'))


def test_frames_of_two_sizes_are_two_inputs():
  frames, clip = tiny_export.FRAMES, tiny_export.CLIP
  looks = [dataset.RgbPreview(name=f'small_{view.name}', source=view.name, frames=(1,))
           for view in (frames, clip)]
  first, second = sources_of(frames, clip, *reversed(looks))
  assert (first.name, second.name) == ('image', 'image_clip')
  assert (first.view, second.view) == (frames, clip)
  assert (first.previews, second.previews) == ((looks[0],), (looks[1],))
  assert first.offsets == (0, 2) and second.offsets == (0, 1, 2)
  other = dataclasses.replace(clip, name='other', size=16)
  with pytest.raises(ValueError, match=r"\['rgb', 'small_clip'\].*one RgbFrames"):
    served_pictures.Frames.all_of([(frames, frames), (clip, clip), (looks[1], other)])
