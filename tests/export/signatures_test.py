"""What a request may hold: bad bytes, wrong shapes, broken sound."""

import itertools

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(name='call')
def call_fixture(served):
  def call(request):
    tensors = {k: tf.constant(v) for k, v in request.items()}
    return {k: v.numpy() for k, v in served['serving_default'](**tensors).items()}
  return call


def copy(request):
  return {k: v.copy() for k, v in request.items()}


def test_only_open_gates_decode_their_frames(exported, call):
  request = copy(exported.request)
  good = call(request)
  ran = good['ran'][0, :, 0]
  assert 0 < ran.sum() < len(ran)
  # Both frames of a segment are in its preview here, so what the policy closed is
  # tested in `preprocessing_test`; what is not present is never decoded at all.
  request['present'][0, ran == 0, 0] = 0
  before = call(request)
  request['image'][0, ran == 0] = b'not a picture'
  after = call(request)
  for name, value in before.items():
    np.testing.assert_array_equal(after[name], value)
  request['image'][0, ran == 1] = b'not a picture'
  with pytest.raises(tf.errors.InvalidArgumentError, match='Unknown image file format'):
    call(request)


@pytest.mark.parametrize('kind', ['flow', 'difference'], indirect=True)
def test_only_open_gates_decode_their_flow(kind):
  """What only a closed gate would need is present, and is not even looked at."""
  serve = tf.saved_model.load(kind.version_dir).signatures['serving_default']
  call = lambda request: {
      k: v.numpy()
      for k, v in serve(**{k: tf.constant(v) for k, v in request.items()}).items()}
  request = copy(kind.request)
  good = call(request)
  ran = good['ran'][0, :, 1]
  assert 0 < ran.sum() < len(ran) and request['present'].all()
  flow = next(p for p in kind.record.pictures if p.name == 'flow')
  seen = [v.frames for source in kind.inputs.pictures if source.name == 'flow'
          for v in source.previews]  # all that the policy sees of it
  unseen = [f for f in range(len(flow.offsets)) if f not in sum(seen, ())]
  assert unseen
  for s, f in itertools.product(np.flatnonzero(ran == 0), unseen):
    request['flow'][0, s, f] = b'not a picture'
  after = call(request)
  for name, value in good.items():
    np.testing.assert_array_equal(after[name], value)
  request['flow'][0, np.flatnonzero(ran)[0], unseen[0], -1] = b'not a picture'
  with pytest.raises(tf.errors.InvalidArgumentError, match='Unknown image file format'):
    call(request)


def test_pictures_of_any_size_and_png(exported, call):
  request = copy(exported.request)
  rng = np.random.default_rng(0)
  for s, side in enumerate((20, 64, 36, 100)):
    picture = rng.integers(0, 256, [side, side * 2, 3], np.uint8)
    encode = tf.io.encode_png if s == 1 else tf.io.encode_jpeg
    request['image'][0, s] = encode(picture).numpy()
  assert np.isfinite(call(request)['logits']).all()


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_sound_that_is_not_finite_closes_its_own_segment_only(exported, call, bad):
  request = copy(exported.request)
  request['waveform'][0, 1, 7] = bad
  got = call(request)
  assert np.isfinite(got['logits']).all()
  assert got['ran'][0, 1, 1] == 0
  request['waveform'][0, 1] = 0
  request['present'][0, 1, 1] = 0
  silent = call(request)
  for name, value in got.items():
    np.testing.assert_array_equal(silent[name], value)


def test_nothing_present_answers_without_running_anything(exported, call):
  request = copy(exported.request)
  request['present'][:] = 0
  request['image'][:] = b''
  got = call(request)
  assert got['ran'].sum() == 0 and got['gflops'][0] == 0
  np.testing.assert_array_equal(got['logits'], 0)


@pytest.mark.parametrize('name, value', [
    ('image', np.full([1, 8], b'', object)),
    ('image', np.full([1, 4, 3], b'', object)),
    ('waveform', np.zeros([1, 4, 1279], np.float32)),
    ('present', np.ones([1, 4, 3], np.float32)),
    ('present', np.ones([2, 4, 2], np.float32)),
    ('present', np.ones([1, 5, 2], np.float32)),
])
def test_wrong_shapes_are_errors(exported, call, name, value):
  request = copy(exported.request)
  request[name] = value
  with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
    call(request)
