"""A tiny SavedModel with YAMNet's signature; no network beyond this machine."""

import hashlib
import os
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import hub

RATE, SECONDS, PATCH, DIM = 100, 0.6, 20, 8


class Listener(tf.Module):
  """waveform [samples] -> (scores [P, 3], embeddings [P, 8], log_mel [P, 20])."""

  def __init__(self):
    super().__init__()
    self.kernel = tf.Variable(tf.random.stateless_normal([PATCH, DIM], (0, 1)))

  @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
  def __call__(self, waveform):
    patches = tf.signal.frame(waveform, PATCH, PATCH // 2)
    embeddings = tf.matmul(patches, self.kernel)
    return embeddings[:, :3], embeddings, tf.math.log(tf.abs(patches) + 1e-3)


@pytest.fixture(name='frozen_model')
def fixture_frozen_model(tmp_path):
  listener = Listener()
  path = str(tmp_path / 'listener')
  tf.saved_model.save(listener, path)
  return path, listener.kernel.numpy()


@pytest.fixture(name='trainable_model')
def fixture_trainable_model(tmp_path):
  listener = Listener()
  root = tf.train.Checkpoint(call=listener)
  root.__call__ = listener.__call__
  root.variables = [listener.kernel]
  root.trainable_variables = [listener.kernel]
  root.regularization_losses = []
  path = str(tmp_path / 'trainable')
  tf.saved_model.save(root, path)
  return path


def encoder_of(path, **options):
  options = dict(seconds=SECONDS, sample_rate=RATE, feature_dim=DIM) | options
  return hub.HubAudioEncoder(handle=path, **options)


def waveforms(count):
  samples = np.random.default_rng(0).normal(size=(count, round(RATE * SECONDS)))
  return samples.astype('float32')


def test_features_are_mean_embeddings(frozen_model):
  path, kernel = frozen_model
  encoder = encoder_of(path)
  rows = waveforms(3)
  expected = [
      np.mean([row[i:i + PATCH] @ kernel for i in range(0, 41, PATCH // 2)], axis=0)
      for row in rows]
  assert encoder.row_spec == tf.TensorSpec([60], tf.float32)
  np.testing.assert_allclose(encoder(rows), expected, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(encoder(rows[1:2]), expected[1:2], rtol=1e-5, atol=1e-5)
  assert encoder(rows[:0]).shape == (0, DIM)
  assert not encoder.trainable_variables


def test_trainable_weights_get_gradients(trainable_model):
  encoder = encoder_of(trainable_model, trainable=True)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(encoder(waveforms(2), training=True) ** 2)
  [variable] = encoder.trainable_variables
  assert np.abs(tape.gradient(loss, variable)).max() > 0


def test_nothing_to_train_is_an_error(frozen_model):
  with pytest.raises(ValueError, match='offers no weights to train'):
    encoder_of(frozen_model[0], trainable=True)


@pytest.mark.parametrize('options', [
    dict(output=0), dict(output=7), dict(feature_dim=9), dict(output=None)])
def test_wrong_output_is_one_line(frozen_model, options):
  with pytest.raises(ValueError, match='gives no embeddings') as error:
    encoder_of(frozen_model[0], **options)
  assert '\n' not in str(error.value)


def test_saved_and_loaded_without_hub(frozen_model, tmp_path):
  encoder = encoder_of(frozen_model[0])
  module = tf.Module()
  module.encoder = encoder
  module.encode = tf.function(
      lambda rows: encoder(rows), [tf.TensorSpec([None, 60], tf.float32)])
  tf.saved_model.save(module, str(tmp_path / 'export'))
  loaded = tf.saved_model.load(str(tmp_path / 'export'))
  np.testing.assert_allclose(
      loaded.encode(waveforms(2)), encoder(waveforms(2)), rtol=1e-6)


@pytest.fixture(name='cache')
def fixture_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path / 'cache'))
  monkeypatch.delenv('TFHUB_MODEL_LOAD_FORMAT', raising=False)
  return tmp_path / 'cache'


def one_line_error(handle, **options):
  with pytest.raises(OSError) as error:
    hub.resolve_hub(handle, **options)
  message = str(error.value)
  assert handle in message and '\n' not in message
  assert 'native encoder (tfmm.encoders.yamnet on' in message
  assert 'directory with an unpacked SavedModel' in message
  return message


def test_missing_directory(tmp_path):
  assert 'saved_model.pb' in one_line_error(str(tmp_path / 'nowhere'))


def test_cached_model_needs_no_network(cache):
  handle = 'https://tfhub.invalid/yamnet/1'
  directory = cache / hashlib.sha1(handle.encode()).hexdigest()
  directory.mkdir(parents=True)
  (directory / 'saved_model.pb').touch()
  assert hub.resolve_hub(handle) == str(directory)


def test_refused_connection(cache):
  with socket.socket() as unused:
    unused.bind(('127.0.0.1', 0))
    port = unused.getsockname()[1]
  assert str(cache) in one_line_error(f'http://127.0.0.1:{port}/yamnet/1')


def test_silent_server_ends_in_time(cache):
  del cache
  with socket.create_server(('127.0.0.1', 0)) as server:
    accepted = []
    thread = threading.Thread(
        target=lambda: accepted.append(server.accept()), daemon=True)
    thread.start()
    port = server.getsockname()[1]
    message = one_line_error(f'http://127.0.0.1:{port}/yamnet/1', timeout=0.3)
    assert 'timed out' in message
    thread.join(5)
    for connection, _ in accepted:
      connection.close()
  assert socket.getdefaulttimeout() is None


def test_stale_lock_is_named(cache):
  handle = 'https://tfhub.invalid/yamnet/1'
  lock = f'{cache / hashlib.sha1(handle.encode()).hexdigest()}.lock'
  os.makedirs(cache)
  with open(lock, 'w', encoding='utf-8'):
    pass
  assert lock in one_line_error(handle)


def test_macs_of_the_loaded_model(frozen_model):
  count = encoder_of(frozen_model[0]).row_macs()
  assert count.total == 5 * PATCH * DIM
