"""Audio models of TensorFlow Hub that read a waveform, such as YAMNet."""

import hashlib
import os
import socket
import tempfile
import warnings

import tensorflow as tf

from tfmm.encoders import encoder

_SAVED_MODEL = 'saved_model.pb'
_WAYS_OUT = (
    'give a directory with an unpacked SavedModel as the handle, or use the native '
    'encoder (tfmm.encoders.yamnet on the view LogMel)')


def resolve_hub(handle: str, timeout: float = 5.0) -> str:
  """The directory of a hub model, downloaded at most once.

  TensorFlow Hub itself waits for a silent server without end, and for the lock file
  of a dead download for ten minutes; both end here, soon and with a reason.

  Args:
    handle: a directory with a SavedModel, or an address such as
      'https://tfhub.dev/google/yamnet/1'. Downloads are kept in $TFHUB_CACHE_DIR
      under the sha1 of the handle, letter by letter.
    timeout: seconds that the server may stay silent.

  Returns:
    A directory that contains saved_model.pb.

  Raises:
    OSError: there is no such model, or no way to it.
  """
  if '://' not in handle:
    if not os.path.exists(os.path.join(handle, _SAVED_MODEL)):
      raise OSError(f'hub model {handle}: no {_SAVED_MODEL} there; {_WAYS_OUT}')
    return handle
  cache = os.environ.get('TFHUB_CACHE_DIR') or os.path.join(
      tempfile.gettempdir(), 'tfhub_modules')
  directory = os.path.join(cache, hashlib.sha1(handle.encode()).hexdigest())
  if os.path.exists(os.path.join(directory, _SAVED_MODEL)):
    return directory
  if os.path.exists(directory + '.lock'):
    raise OSError(
        f'hub model {handle} is being downloaded by another process, or its download '
        f'died: wait, or delete {directory}.lock; else {_WAYS_OUT}')
  previous = socket.getdefaulttimeout()
  socket.setdefaulttimeout(timeout)
  try:
    return _library().resolve(handle)
  except (OSError, ValueError, tf.errors.OpError) as error:
    reason = ' '.join(str(error).split())
    raise OSError(
        f'hub model {handle} is neither cached ({directory}) nor reachable '
        f'({reason}); {_WAYS_OUT}') from None
  finally:
    socket.setdefaulttimeout(previous)


def _library():
  """tensorflow_hub, imported by those alone who use it, and without its warnings."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', UserWarning)  # that pkg_resources will go
    import tensorflow_hub
  return tensorflow_hub


class HubAudioEncoder(encoder.Encoder):
  """Mean embedding of a waveform: [N, samples] -> [N, D].

  The model takes one waveform [samples], float32 in [-1, 1], and returns embeddings
  [patches, D] among its outputs, as YAMNet does: (scores, embeddings, log_mel). Rows
  are those of the view `Waveform`.

  Args:
    handle: directory or address, see `resolve_hub`.
    seconds: length of a row; 0.975 is one patch of YAMNet, shorter ones it fills up.
    sample_rate: hertz that the model expects; 16000 for YAMNet.
    feature_dim: D of the embeddings; 1024 for YAMNet.
    output: index or key of the embeddings in the model's outputs; None if the model
      returns nothing else.
    trainable: fine-tune the weights. Not every SavedModel offers them.
    timeout: seconds, see `resolve_hub`.
  """

  def __init__(
      self, *, handle: str, seconds: float = 0.96, sample_rate: int = 16000,
      feature_dim: int = 1024, output: int | str | None = 1, trainable: bool = False,
      timeout: float = 5.0, name=None):
    num_samples = round(seconds * sample_rate)
    super().__init__(
        row_spec=tf.TensorSpec([num_samples], tf.float32), feature_dim=feature_dim,
        name=name)
    self.handle = handle
    self.output_key = output
    self.model = _library().KerasLayer(
        resolve_hub(handle, timeout), trainable=trainable)
    self._check_embeddings()
    if trainable and not self.model.trainable_weights:
      raise ValueError(
          f'hub model {handle} offers no weights to train: use trainable=False, or a '
          'SavedModel with trainable_variables (Keras writes such)')

  def call(self, rows, training=False):
    """[N, samples] -> [N, D]; N = 0 is fine, the model is then not run."""
    return tf.map_fn(
        lambda waveform: self._embedding(waveform, training), rows,
        fn_output_signature=tf.TensorSpec([self.feature_dim], tf.float32))

  def _embedding(self, waveform, training):
    """[samples] -> [D]."""
    outputs = self.model(waveform, training=training)
    if self.output_key is not None:
      outputs = outputs[self.output_key]
    # [patches, D] -> [D]
    mean = tf.reduce_mean(tf.cast(outputs, tf.float32), axis=0)
    return tf.ensure_shape(mean, [self.feature_dim])

  def _check_embeddings(self):
    try:
      self._embedding(tf.zeros(self.row_spec.shape), training=False)
    except (TypeError, ValueError, KeyError, IndexError, tf.errors.OpError) as error:
      reason = ' '.join(str(error).split())[:200]
      raise ValueError(
          f'hub model {self.handle} gives no embeddings [patches, {self.feature_dim}] '
          f'as output={self.output_key!r} of a waveform [{self.row_spec.shape[0]}] '
          f'({reason}): check output, feature_dim and the model') from None
