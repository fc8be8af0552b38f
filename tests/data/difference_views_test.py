"""What the views of differences of frames show, against NumPy."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.data import tiny_dataset
from tests.data import tiny_shards
from tfmm.data import dataset

_DIFFERENCES = dataset.RgbDifferences(
    num_frames=3, stride=2, fields=3, size=16, short_side=24, scale_range=(24, 24))
_PREVIEW = dataset.RgbDifferencePreview(
    modality='motion', frames=(0, 2), stride=2, fields=3, crop=16, size=8,
    short_side=24, scale_range=(24, 24))


def _spec(*views, **options):
  views = views or (_DIFFERENCES,)
  modalities = tuple(dict.fromkeys(view.modality for view in views))
  return tiny_dataset.spec(views=views, modalities=modalities, **options)


def _decoded(video):
  return np.stack([
      tf.io.decode_jpeg(tiny_shards.jpeg(f), dct_method='INTEGER_ACCURATE').numpy()
      for f in video.frames])


def _changes(frames):
  """compute_img_diff of the authors: uint8 [T, H, W, 3], the last without change."""
  after = np.concatenate([frames[1:], frames[-1:]]).astype(np.float64)
  return ((after - frames + 255.) * (255. / 510.)).astype(np.uint8)


def _stack(changes, starts, last):
  """Three differences of every second frame: [S, 3, H, W, 9]."""
  none = np.full_like(changes[0], 127)
  return np.stack([
      np.stack([np.concatenate([
          none if start + 2 * f + k >= last else changes[start + 2 * f + k]
          for k in range(3)], -1) for f in range(3)]) for start in starts])


@pytest.fixture(scope='module', name='video')
def video_fixture():
  return tiny_shards.noise_video('a', 20)


def test_at_test_time_against_numpy(tmp_path, video):
  tiny_shards.write(tmp_path, [video])
  batch, = tiny_dataset.evaluate(tmp_path, _spec())
  starts = np.linspace(0, 20 - 6, 4).astype(int)
  changes = _changes(_decoded(video))
  assert changes.std() > 10
  assert batch['rgb_difference'].dtype == np.uint8
  np.testing.assert_array_equal(
      batch['rgb_difference'][0], _stack(changes[:, 4:20, 8:24], starts, 19))
  np.testing.assert_array_equal(batch['present'], np.ones([1, 4, 1]))


def test_crop_and_flip_are_those_of_the_frames(tmp_path, video):
  tiny_shards.write(tmp_path, [video])
  rgb = dataclasses.replace(tiny_dataset.RGB, scale_range=(24, 24))
  frames = _decoded(video)
  changes = _changes(frames)
  flips = set()
  for batch in tiny_dataset.train(
      tmp_path, 8, _spec(rgb, _DIFFERENCES), batch_size=1):
    starts = np.rint(batch['segment_times'][0, :, 0] * 10).astype(int)
    (top, left, flip), = (
        (top, left, flip) for top, left, flip in itertools.product(
            range(9), range(17), (False, True))
        if np.array_equal(
            batch['rgb'][0, 0, 0],
            (frames[:, :, ::-1] if flip else frames)[
                starts[0], top:top + 16, left:left + 16]))
    shown = changes[:, :, ::-1] if flip else changes  # a flip negates nothing
    np.testing.assert_array_equal(
        batch['rgb_difference'][0],
        _stack(shown[:, top:top + 16, left:left + 16], starts, 19))
    flips.add(flip)
  assert flips == {False, True}


def test_nothing_is_taken_across_the_border_of_a_run(tmp_path, video):
  """Runs of frames 0 to 6 and 13 to 19, and seven more frames are wanted."""
  windows = tiny_shards.segmented(video, num_segments=2, segment_frames=6, margin=1)
  tiny_shards.write(
      tmp_path, [windows], frames='segments', num_segments=2, segment_frames=6,
      segment_margin_seconds=.2)
  batch, = tiny_dataset.evaluate(
      tmp_path, _spec(num_segments=2, eval_segments=2))
  changes = _changes(_decoded(video))[:, 4:20, 8:24]
  np.testing.assert_array_equal(
      batch['rgb_difference'][0],
      np.concatenate([_stack(changes, [0], 6), _stack(changes, [14], 19)]))


def test_the_preview_shows_the_crop(tmp_path, video):
  tiny_shards.write(tmp_path, [video])
  for batch in (*tiny_dataset.train(tmp_path, 2, _spec(_DIFFERENCES, _PREVIEW),
                                    batch_size=1),
                *tiny_dataset.evaluate(tmp_path, _spec(_DIFFERENCES, _PREVIEW))):
    crops = batch['rgb_difference'][:, :, [0, 2]].astype(np.float32)
    # Halving with half-pixel centres is the mean of 2 x 2.
    small = crops.reshape(1, -1, 2, 8, 2, 8, 2, 9).mean((4, 6))
    assert batch['rgb_difference_preview'].dtype == np.float32
    np.testing.assert_allclose(batch['rgb_difference_preview'], small, atol=1e-3)


def test_the_preview_needs_no_other_view(tmp_path, video):
  tiny_shards.write(tmp_path, [video])
  rgb = tiny_dataset.RGB
  preview = dataclasses.replace(_PREVIEW, modality='rgb')
  batch, = tiny_dataset.evaluate(tmp_path, _spec(rgb, preview))
  both, = tiny_dataset.evaluate(tmp_path, _spec(_DIFFERENCES, _PREVIEW))
  np.testing.assert_array_equal(
      batch['rgb_difference_preview'], both['rgb_difference_preview'])


def test_sizes_of_the_paper():
  spec = dataset.DatasetSpec(
      views=(dataset.RgbFrames(), dataset.FlowFrames(), dataset.RgbDifferencePreview()),
      modalities=('rgb', 'flow'))
  assert spec.window == 32
  shapes = {name: tuple(s.shape[2:]) for name, s in spec.view_specs().items()}
  assert shapes['rgb_difference_preview'] == (4, 160, 160, 15)
  assert dataset.RgbDifferences().spec().shape == (8, 224, 224, 15)
  assert dataset.RgbDifferencePreview().reach == 6 * 4 + 5 + 1


@pytest.mark.parametrize('make, message', [
    (lambda: dataset.RgbDifferences(fields=0), 'fields=0'),
    (lambda: dataset.RgbDifferencePreview(fields=0), 'fields=0'),
    (lambda: dataset.RgbDifferencePreview(crop=300), 'size=300'),
    (lambda: dataset.RgbDifferencePreview(frames=()), r'frames=\(\)'),
    (lambda: dataset.RgbDifferencePreview(stride=0), 'stride=0')])
def test_views_that_make_no_sense(make, message):
  with pytest.raises(ValueError, match=message):
    make()
