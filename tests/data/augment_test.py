import cv2
import numpy as np
import pytest
import tensorflow as tf

from tfmm.data import augment


def _frames(count=3, height=48, width=64, seed=0):
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (count, 12, 16, 3), np.uint8)
  return np.stack([cv2.resize(f, (width, height)) for f in coarse])


def _draw(scale=0., top=0., left=0., flip=False):
  f = lambda v: tf.constant(v, tf.float32)
  return augment.Draw(
      f(scale), f(top), f(left), tf.constant(flip), tf.constant([0, 0], tf.int64))


def _near(actual, expected):
  """Within a level: OpenCV's bilinear weights have 11 bits."""
  assert np.abs(actual.numpy().astype(int) - expected.astype(int)).max() <= 1


def test_centre_crop_equals_opencv():
  frames = _frames()
  big = np.stack([cv2.resize(f, (80, 60)) for f in frames])
  _near(augment.centre_crop(frames, size=40, short_side=60), big[:, 10:50, 20:60])


def test_centre_crop_of_a_fitting_frame_is_exact():
  frames = _frames()
  result = augment.centre_crop(frames, size=33, short_side=48)
  np.testing.assert_array_equal(result, frames[:, 7:40, 15:48])


@pytest.mark.parametrize('flip', [False, True])
def test_random_crop_equals_opencv(flip):
  frames = _frames(height=64, width=48)
  # scale .5 of (50..60) is 55: 48x64 -> 55x73; room 16 x 34 of size 40
  big = np.stack([cv2.resize(f, (55, 73)) for f in frames])
  top, left = int(.25 * 34), int(.75 * 16)
  expected = big[:, top:top + 40, left:left + 40]
  result = augment.random_crop(
      frames, _draw(.5, .25, .75, flip), size=40, scale_range=(50, 60))
  _near(result, expected[:, :, ::-1] if flip else expected)


def test_largest_draws_stay_inside():
  almost = np.nextafter(np.float32(1), np.float32(0))
  result = augment.random_crop(
      _frames(), _draw(almost, almost, almost), size=50, scale_range=(50, 51))
  assert result.shape == (3, 50, 50, 3)


def test_draws_are_functions_of_the_seed_and_cover_their_ranges():
  policy = augment.Augmentation(flip=.5)
  seeds = [tf.constant([3, k], tf.int64) for k in range(200)]
  draws = [policy.draw(seed) for seed in seeds]
  again = [policy.draw(seed) for seed in seeds]
  for a, b in zip(draws, again):
    assert all(np.array_equal(x, y) for x, y in zip(a, b))
  assert .35 < np.mean([d.flip for d in draws]) < .65
  for field in ('scale', 'top', 'left'):
    values = np.array([getattr(d, field) for d in draws])
    assert values.min() < .05 and values.max() > .95
  assert not any(augment.Augmentation(flip=0.).draw(s).flip for s in seeds)


def test_masks_are_one_band_and_one_run_per_segment():
  pictures = tf.ones([50, 32, 40, 1])
  result = augment.mask_spectrograms(
      pictures, tf.constant([1, 2], tf.int64), frequency_mask=8, time_mask=10).numpy()
  for picture in result[..., 0]:
    rows = np.flatnonzero((picture == 0).all(1))
    columns = np.flatnonzero((picture == 0).all(0))
    assert len(rows) < 8 and len(columns) < 10
    for run in (rows, columns):
      assert len(run) == 0 or run[-1] - run[0] + 1 == len(run)
    expected = np.ones((32, 40))
    expected[rows] = 0
    expected[:, columns] = 0
    np.testing.assert_array_equal(picture, expected)
  assert len({r.tobytes() for r in result}) > 25


def test_colours_against_numpy():
  frames = _frames()
  seed = tf.constant([5, 6], tf.int64)
  draws = tf.random.stateless_uniform([3], seed, -1., 1., alg='philox').numpy()
  limits = {'brightness': .2, 'contrast': .5, 'saturation': .4}
  alone = lambda name: augment.jitter_colours(
      frames, seed, **{**dict.fromkeys(limits, 0.), name: limits[name]})
  x = frames.astype(np.float64)
  _near(alone('brightness'), np.clip(x + draws[0] * .2 * 255, 0, 255).round())
  mean = x.mean((1, 2), keepdims=True)
  _near(alone('contrast'),
        np.clip((x - mean) * (1 + draws[1] * .5) + mean, 0, 255).round())
  hsv = np.stack(
      [cv2.cvtColor(f.astype(np.float32), cv2.COLOR_RGB2HSV) for f in frames])
  hsv[..., 1] = np.clip(hsv[..., 1] * (1 + draws[2] * .4), 0, 1)
  _near(alone('saturation'), np.stack(
      [cv2.cvtColor(f, cv2.COLOR_HSV2RGB) for f in hsv]).round())


def test_colours_are_off_by_default():
  policy = augment.Augmentation()
  frames = _frames()
  assert augment.jitter_colours(
      frames, [0, 0], brightness=policy.brightness, contrast=policy.contrast,
      saturation=policy.saturation) is frames


def test_bad_options_are_named():
  with pytest.raises(ValueError, match='flip=2'):
    augment.Augmentation(flip=2)
  with pytest.raises(ValueError, match='time_mask=-1'):
    augment.Augmentation(time_mask=-1)
