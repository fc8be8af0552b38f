"""Made-up requests: for the check after an export, and for warming a server up.

Smooth pictures compress to a few kilobytes, so that a warm-up file stays small; each
request looks and sounds different, so that a policy has reason to decide differently.
"""

import numpy as np
import tensorflow as tf

from tfmm.models import base

_KINDS = ('noise', 'waves', 'black')


def requests(record, *, seed=0):
  """Yields inputs of one video each, `{name: array}`, without a limit of cost.

  They are those of `serving_default`, or of `views` if the model reads features.
  First some with everything present; then one with each modality missing, which takes
  the branch of a closed gate whatever the policy says.

  Args:
    record: the `ServingRecord` of the model.
    seed: of the pictures, sounds and features.
  """
  rng = np.random.default_rng(seed)
  num_modalities = len(record.modalities)
  for kind in _KINDS:
    yield _request(record, kind, rng, np.ones(num_modalities))
  for m in range(num_modalities):
    present = np.ones(num_modalities)
    present[m] = 0
    yield _request(record, 'waves', rng, present)


def limited(request, gflops):
  """The same video twice, under a third and two thirds of what it costs.

  Args:
    request: inputs of one video, with 'budget_gflops'.
    gflops: [1], 1e9 multiply-adds without a limit.
  """
  twice = {name: np.repeat(value, 2, axis=0) for name, value in request.items()}
  twice[base.BUDGET] = np.float32(gflops) * np.array([1 / 3, 2 / 3], np.float32)
  return twice


def _request(record, kind, rng, present):
  segments = record.num_segments
  request = {
      'present': np.tile(present.astype(np.float32), [1, segments, 1])}
  for source in record.pictures:
    jpegs = np.empty([1, segments, *source.shape], object)
    for index in np.ndindex(jpegs.shape):
      jpegs[index] = _jpeg(record, kind, rng)
    request[source.name] = jpegs
  if record.hears:
    shape = [1, segments, record.samples]
    request['waveform'] = _sound(record, kind, rng, shape).astype(np.float32)
  for view, options in record.features.items():
    shape = [1, segments, options['dimensions']]
    request[view] = _features(kind, rng, shape).astype(np.float32)
  if record.least_budget is not None:
    request[base.BUDGET] = np.full([1], np.inf, np.float32)
  return request


def _features(kind, rng, shape):
  if kind == 'black':
    return np.zeros(shape)
  # Many encoders end in a ReLU.
  return rng.exponential(size=shape) if kind == 'waves' else rng.normal(size=shape)


def _jpeg(record, kind, rng):
  height, width = record.short_side, record.short_side * 4 // 3
  if kind == 'black':
    small = np.zeros([2, 2, 3], np.uint8)
  else:
    cells = 8 if kind == 'noise' else 3
    small = rng.integers(0, 256, [cells, cells, 3], np.uint8)
  picture = tf.image.resize(small, [height, width], 'bicubic')
  picture = tf.saturate_cast(tf.round(picture), tf.uint8)
  return tf.io.encode_jpeg(picture, quality=record.jpeg_quality).numpy()


def _sound(record, kind, rng, shape):
  if kind == 'black':
    return np.zeros(shape)
  if kind == 'noise':
    return rng.uniform(-0.5, 0.5, shape)
  pitch = rng.uniform(100.0, 0.2 * record.sample_rate, shape[:2])  # hertz
  time = np.arange(shape[2]) / record.sample_rate
  return 0.5 * np.sin(2 * np.pi * pitch[..., np.newaxis] * time)
