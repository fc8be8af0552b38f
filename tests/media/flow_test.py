"""Tests of tfmm.media.flow, against pictures moved by a known amount."""

import threading

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tfmm import schema
from tfmm.media import flow

ALGORITHMS = schema.FLOW_ALGORITHMS
# Error of the mean motion and mean end-point error away from the border, in pixels,
# for motions of up to 4 pixels per frame.
BIAS, END_POINT = 0.15, 0.3


@pytest.fixture(autouse=True)
def threads_as_before():
  before = cv2.getNumThreads()
  yield
  cv2.setNumThreads(before)


def _moved(height, width, u, v, seed=0):
  """Smooth noise, and the same moved by (u, v) pixels: a Fourier shift, so exact."""
  rng = np.random.default_rng(seed)
  fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
  spectrum = np.fft.fft2(rng.normal(size=(height, width)))
  spectrum *= np.exp(-(fx**2 + fy**2) / (2 * .06**2))  # band-limited: no aliasing
  shift = np.exp(-2j * np.pi * (fx * u + fy * v))
  pictures = [np.fft.ifft2(s).real for s in (spectrum, spectrum * shift)]
  scale = 60 / pictures[0].std()
  return [np.clip(np.rint(128 + scale * p), 0, 255).astype(np.uint8) for p in pictures]


def _inner(field, border=16):
  return field[border:-border, border:-border]


@pytest.mark.parametrize('u, v', [(1.7, -.8), (-2.6, .4), (.3, 3.9), (0., 0.)])
@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_known_motion_is_found(algorithm, u, v):
  got = flow.Flow(algorithm)(*_moved(96, 112, u, v))
  assert got.shape == (96, 112, 2) and got.dtype == np.float32
  error = _inner(got) - np.float32([u, v])
  assert np.abs(error.mean((0, 1))).max() < BIAS
  assert np.hypot(*np.moveaxis(error, -1, 0)).mean() < END_POINT


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_first_channel_is_to_the_right_and_second_downwards(algorithm):
  picture = np.full((64, 80), 90, np.uint8)
  first, second = picture.copy(), picture.copy()
  dots = np.random.default_rng(0).integers(0, 255, (24, 24), np.uint8)
  dots = cv2.GaussianBlur(dots, (0, 0), 2)
  first[20:44, 28:52], second[22:46, 31:55] = dots, dots  # 3 right, 2 down
  middle = flow.Flow(algorithm)(first, second)[28:36, 36:44].mean((0, 1))
  np.testing.assert_allclose(middle, [3, 2], atol=.4)


@pytest.mark.parametrize('height, width', [
    (16, 16), (16, 64), (64, 16), (2, 2), (4, 90)])
@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_tiny_pictures(algorithm, height, width):
  got = flow.Flow(algorithm)(*_moved(height, width, .5, 0))
  assert got.shape == (height, width, 2) and np.isfinite(got).all()
  if min(height, width) >= 16:
    np.testing.assert_allclose(got[2:-2, 2:-2].mean((0, 1)), [.5, 0], atol=BIAS)


@pytest.mark.parametrize('algorithm', ['dis_fast', 'dis_medium'])
def test_pyramids_of_all_small_sizes(algorithm):
  """Low wide pictures once made OpenCV read outside of them."""
  for height in (2, 15, 16, 17, 24, 31, 32, 33, 47):
    for width in (2, 16, 31, 45, 46, 64, 90, 91, 100, 160, 343):
      first, second = _moved(height, width, 1, 0)
      got = flow.Flow(algorithm)(first, second)
      assert np.isfinite(got).all() and np.abs(got).max() < 50, (height, width)
      np.testing.assert_array_equal(got, flow.Flow(algorithm)(first, second))


@pytest.mark.parametrize('algorithm, preset', [('dis_fast', 1), ('dis_medium', 2)])
@pytest.mark.parametrize('height, width', [(32, 91), (91, 32), (96, 112), (256, 340)])
def test_larger_pictures_have_the_presets_own_result(algorithm, preset, height, width):
  first, second = _moved(height, width, 1.5, -.5)
  want = cv2.DISOpticalFlow_create(preset).calc(first, second, None)
  np.testing.assert_array_equal(flow.Flow(algorithm)(first, second), want)


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_constant_pictures_do_not_move(algorithm):
  method = flow.Flow(algorithm)
  for height, width in ((16, 16), (48, 64)):
    for grey in (0, 128, 255):
      picture = np.full((height, width), grey, np.uint8)
      assert not method(picture, picture).any()


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_cuts_and_noise_stay_finite(algorithm):
  rng = np.random.default_rng(0)
  pictures = [rng.integers(0, 256, (32, 48), np.uint8), np.zeros((32, 48), np.uint8),
              (np.indices((32, 48)).sum(0) % 2 * 255).astype(np.uint8)]
  method = flow.Flow(algorithm)
  for first in pictures:
    for second in pictures:
      got = method(first, second)
      assert np.isfinite(got).all()
      assert np.abs(flow.dequantize(flow.quantize(got))).max() <= 20


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_same_numbers_for_any_threads_and_history(algorithm):
  pairs = [_moved(64, 80, 1.5, -.5), _moved(96, 64, -2, 1), _moved(16, 16, .5, 0)]
  cv2.setNumThreads(1)
  alone = [flow.Flow(algorithm)(*pair) for pair in pairs]
  cv2.setNumThreads(4)
  method = flow.Flow(algorithm)
  for k in (0, 2, 1, 2, 0, 0):
    np.testing.assert_array_equal(method(*pairs[k]), alone[k])


def test_two_threads_with_their_own_objects():
  pair = _moved(64, 80, 1.5, -.5)
  want, got = flow.Flow('dis_fast')(*pair), {}

  def run(name):
    method = flow.Flow('dis_fast')
    got[name] = [method(*pair) for _ in range(20)]

  threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
  [t.start() for t in threads]
  [t.join() for t in threads]
  for fields in got.values():
    np.testing.assert_array_equal(fields, [want] * 20)


def test_views_that_are_not_contiguous():
  first, second = _moved(64, 80, 1.5, -.5)
  want = flow.Flow('dis_fast')(first, second)
  got = flow.Flow('dis_fast')(np.repeat(first, 2, 1)[:, ::2], np.asfortranarray(second))
  np.testing.assert_array_equal(got, want)


def test_quantization():
  at_rest = flow.quantize(np.zeros((2, 3, 2), np.float32))
  assert at_rest.tolist() == [[[128, 128, 0]] * 3] * 2
  field = np.random.default_rng(0).uniform(-20, 20, (40, 50, 2)).astype(np.float32)
  picture = flow.quantize(field)
  assert picture.dtype == np.uint8 and picture.shape == (40, 50, 3)
  want = np.rint((field.astype(np.float64) + 20) * 255 / 40)
  np.testing.assert_array_equal(picture[..., :2], want)
  back = flow.dequantize(picture)
  assert back.dtype == np.float32
  assert np.abs(back - field).max() <= .5 * 40 / 255 + 1e-5
  np.testing.assert_array_equal(flow.quantize(back), picture)
  np.testing.assert_allclose(flow.dequantize(at_rest), .0784, atol=1e-4)


def test_large_motion_is_clipped():
  field = np.float32([[[-1e6, 1e6], [-20.01, 20.01], [-np.inf, np.inf]]])
  assert flow.quantize(field)[..., :2].tolist() == [[[0, 255]] * 3]
  assert flow.dequantize(flow.quantize(field)).tolist() == [[[-20, 20]] * 3]


def test_jpeg_round_trip():
  # Motion of two bodies over a background at rest, with edges.
  y, x = np.indices((128, 160)).astype(np.float32)
  field = np.zeros((128, 160, 2), np.float32)
  field[30:90, 20:70] = np.stack([3 + x / 40, y / 60 - 1], -1)[30:90, 20:70]
  field[60:110, 100:150] = [-6, 2.5]
  data = flow.encode(field)
  by_cv2 = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
  by_tf = tf.io.decode_jpeg(data, 3, dct_method='INTEGER_ACCURATE').numpy()
  np.testing.assert_array_equal(by_cv2, by_tf)
  # tf.data's default transform differs by rounding alone.
  assert np.abs(tf.io.decode_jpeg(data).numpy().astype(int) - by_tf).max() <= 3
  error = np.abs(flow.dequantize(by_cv2) - field)
  assert error.mean() < .09
  assert np.quantile(error, .99) < .5
  assert by_cv2[..., 2].mean() < 3  # the third channel stays empty


def test_jpeg_keeps_colour_at_full_size():
  """4:4:4: single columns of motion would smear over their neighbours in 4:2:0."""
  field = np.zeros((32, 32, 2), np.float32)
  field[:, 8::2] = [5, -5]
  data = flow.encode(field)
  picture = tf.io.decode_jpeg(data).numpy()
  got = flow.dequantize(picture)[:, 16:24]
  np.testing.assert_allclose(got[:, ::2].mean((0, 1)), [5, -5], atol=.5)
  np.testing.assert_allclose(got[:, 1::2].mean((0, 1)), [0, 0], atol=.5)
  assert len(flow.encode(field, quality=50)) < len(data)


def test_names():
  for algorithm in ALGORITHMS:
    assert flow.Flow(algorithm).name == f'{algorithm} OpenCV {cv2.__version__}'


@pytest.mark.parametrize('algorithm', ['', 'dis', 'TVL1'])
def test_unknown_algorithm(algorithm):
  with pytest.raises(ValueError, match='one of dis_fast, dis_medium, farneback, tvl1'):
    flow.Flow(algorithm)


@pytest.mark.parametrize('whole', [True, False])
def test_without_tvl1_the_repair_is_named(monkeypatch, whole):
  if whole:
    monkeypatch.delattr(cv2, 'optflow')
  else:  # a leftover folder of an overwritten wheel
    monkeypatch.delattr(cv2.optflow, 'createOptFlow_DualTVL1')
  for refuse in (flow.check, flow.Flow):
    with pytest.raises(ValueError) as error:
      refuse('tvl1')
    assert 'pip uninstall -y opencv-python-headless' in str(error.value)
    assert '--no-deps opencv-contrib-python-headless==4.11.0.86' in str(error.value)
  flow.check('dis_fast')


def test_refused_pictures():
  method, grey = flow.Flow('dis_fast'), np.zeros((16, 16), np.uint8)
  with pytest.raises(ValueError, match=r'float32 \[16, 16\]: pictures must be grey'):
    method(grey.astype(np.float32), grey)
  with pytest.raises(ValueError, match=r'uint8 \[16, 16, 3\]'):
    method(grey, np.zeros((16, 16, 3), np.uint8))
  with pytest.raises(ValueError, match=r'\[16, 16\] and \[16, 18\]'):
    method(grey, np.zeros((16, 18), np.uint8))


def test_jpeg_is_of_the_field_and_grey_where_a_picture_repeats():
  rng = np.random.default_rng(0)
  first = cv2.resize(rng.integers(0, 256, (16, 16), np.uint8), (64, 64))
  method, second = flow.Flow('dis_fast'), np.roll(first, 4, 1)
  assert method.jpeg(first, second) == flow.encode(method(first, second))
  still = flow.encode(np.zeros((64, 64, 2), np.float32))
  assert method.jpeg(first, first) == still != method.jpeg(first, second)
