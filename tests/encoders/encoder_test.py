"""Laws of every encoder, on tiny configurations."""

import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.encoders import slowfast
from tfmm.encoders import yamnet

# EfficientNet and hub encoders are held to the same laws in their own tests.
ENCODERS = {
    'resnet18_rgb': lambda: resnet.ResNet(depth=18, num_frames=4, size=32, width=8),
    'resnet34_flow': lambda: resnet.ResNet(
        depth=34, num_frames=3, size=(32, 40), in_channels=10, width=4,
        normalization='flow'),
    'resnet50_spectrogram': lambda: resnet.ResNet(
        depth=50, num_frames=None, size=(33, 40), in_channels=1, width=4,
        normalization='none', synchronized_batch_norm=False),
    'mobilenet_preview': lambda: mobilenet.MobileNetV2(
        num_frames=2, size=32, row_dtype='float32', width_multiplier=0.25,
        last_channels=64),
    'mobilenet_spectrogram': lambda: mobilenet.MobileNetV2(
        size=(32, 48), in_channels=1, normalization='none', width_multiplier=0.35,
        last_channels=32),
    'slowfast': lambda: slowfast.SlowFast(
        num_frames=8, size=(32, 40), width=8, blocks=(1, 2, 1, 1)),
    'yamnet': lambda: yamnet.YAMNet(size=(33, 32), width_multiplier=0.25),
}


def rows_of(encoder, count, seed=0):
  """Random rows as the data would deliver them: 0..255, or standard normal."""
  rng = np.random.default_rng(seed)
  shape = (count, *encoder.row_spec.shape)
  if encoder.normalization == 'none':
    return tf.constant(rng.normal(size=shape), encoder.row_spec.dtype)
  return tf.constant(rng.integers(0, 256, shape), encoder.row_spec.dtype)


@pytest.fixture(name='encoder', params=ENCODERS)
def fixture_encoder(request):
  tf.keras.utils.set_random_seed(1)
  return ENCODERS[request.param]()


def test_features(encoder):
  features = encoder(rows_of(encoder, 3))
  assert features.shape == (3, encoder.feature_dim)
  assert features.dtype == tf.float32
  assert np.isfinite(features).all()
  assert np.ptp(features, axis=0).max() > 0  # rows differ


def test_all_variables_exist_when_constructed(encoder):
  before = [variable.name for variable in encoder.variables]
  encoder(rows_of(encoder, 2), training=True)
  assert [variable.name for variable in encoder.variables] == before
  assert encoder.row_macs().conv > 0


def test_every_trainable_variable_gets_a_gradient(encoder):
  rows = rows_of(encoder, 4)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(encoder(rows, training=True) ** 2)
  gradients = tape.gradient(loss, encoder.trainable_variables)
  for variable, gradient in zip(encoder.trainable_variables, gradients, strict=True):
    assert gradient is not None, variable.name
    assert np.isfinite(gradient).all(), variable.name


def test_rows_do_not_influence_each_other_at_inference(encoder):
  encoder(rows_of(encoder, 4, seed=2), training=True)  # other statistics than 0 and 1
  rows = rows_of(encoder, 3)
  together = encoder(rows, training=False)
  np.testing.assert_array_equal(together, encoder(rows, training=False))
  alone = tf.concat([encoder(rows[i:i + 1], training=False) for i in range(3)], 0)
  np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_training_moves_the_statistics_and_inference_does_not(encoder):
  def statistics():
    return [v.numpy() for v in encoder.non_trainable_variables]

  start = statistics()
  encoder(rows_of(encoder, 2), training=False)
  assert all(np.array_equal(a, b) for a, b in zip(start, statistics(), strict=True))
  encoder(rows_of(encoder, 2), training=True)
  assert not any(
      np.array_equal(a, b) for a, b in zip(start, statistics(), strict=True))


def test_graph_with_unknown_batch_equals_eager(encoder):
  spec = tf.TensorSpec([None, *encoder.row_spec.shape], encoder.row_spec.dtype)
  function = tf.function(lambda rows: encoder(rows, training=False), [spec])
  rows = rows_of(encoder, 2)
  np.testing.assert_allclose(function(rows), encoder(rows), rtol=1e-4, atol=1e-5)
  assert function.get_concrete_function().output_shapes[-1] == encoder.feature_dim


def test_checkpoint_restores_the_features(encoder, tmp_path, request):
  rows = rows_of(encoder, 2)
  expected = encoder(rows)
  path = tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / 'encoder'))
  other = ENCODERS[request.node.callspec.params['encoder']]()
  assert not np.allclose(other(rows), expected)
  status = tf.train.Checkpoint(encoder=other).read(path)
  status.assert_existing_objects_matched().assert_consumed()
  np.testing.assert_array_equal(other(rows), expected)


@pytest.mark.parametrize('options, message', [
    (dict(num_frames=0), 'num_frames=0'),
    (dict(normalization='imagenet', in_channels=10), 'in_channels=10'),
    (dict(normalization='zscore'), "normalization='zscore'"),
])
def test_bad_options(options, message):
  with pytest.raises(ValueError, match=message):
    mobilenet.MobileNetV2(**options)


def test_normalization():
  rgb = resnet.ResNet(depth=18, num_frames=1, size=8, width=4, in_channels=6)
  white = np.full((1, 1, 8, 8, 6), 255, 'uint8')
  np.testing.assert_allclose(
      rgb.normalize(white)[0, 0, 0, 0],
      np.tile((1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], 2),
      rtol=1e-5)
  flow = resnet.ResNet(
      depth=18, num_frames=1, size=8, width=4, in_channels=2, normalization='flow')
  np.testing.assert_allclose(
      flow.normalize(np.full((1, 8, 8, 2), 255, 'uint8')), 0.5 / 0.226, rtol=1e-5)


def test_frames_are_averaged_when_not_pooled():
  encoder = mobilenet.MobileNetV2(
      num_frames=3, size=32, width_multiplier=0.25, last_channels=16,
      temporal_pool=False)
  rows = rows_of(encoder, 2)
  one = tf.stack([
      encoder(tf.repeat(rows[:, i:i + 1], 3, axis=1)) for i in range(3)])
  np.testing.assert_allclose(
      encoder(rows), tf.reduce_mean(one, axis=0), rtol=1e-4, atol=1e-5)
