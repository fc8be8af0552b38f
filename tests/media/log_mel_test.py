"""Tests of tfmm.media.log_mel: against TensorFlow's ops, and against plain sums."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_sounds
from tfmm import schema
from tfmm.data import spectrogram
from tfmm.media import log_mel

NAMES = list(schema.LOG_MELS)


def _length(name):
  kind = schema.LOG_MELS[name]
  return round(kind['seconds'] * kind['sample_rate'])


def _piece(sound, name, patch, tail=0):
  """The samples of one patch, silence after the end."""
  length = _length(name)
  sound = np.pad(sound, (0, 2 * length))
  return sound[patch * length:(patch + 1) * length + tail]


def _close(actual, expected, bound):
  error = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64))
  assert error.max() < bound and error.mean() < 1e-5, (error.max(), error.mean())


def _of_tensorflow(name, piece):
  if name == 'yamnet':
    return spectrogram.yamnet_log_mel(piece)
  if name == 'adamml':
    return spectrogram.log_power_spectrogram(piece)
  return tf.pad(tf.transpose(spectrogram.ast_fbank(piece)), [[0, 0], [0, 2]])


@pytest.mark.parametrize('patch', [0, 1, 2])
@pytest.mark.parametrize('name, tail', [('yamnet', 240), ('adamml', 0), ('ast', 0)])
def test_equals_tensorflows(name, tail, patch):
  rate = schema.LOG_MELS[name]['sample_rate']
  sound = tiny_sounds.varied(int(2.4 * _length(name)), rate)
  got = log_mel.patches(sound, rate, name)
  assert len(got) == 3
  # TensorFlow's are float32: up to 3e-3 off where a band is all but empty.
  _close(got[patch], _of_tensorflow(name, _piece(sound, name, patch, tail)), 5e-3)


def _transform(frame, n_fft):
  """|DFT| of one frame as a plain sum of cosines and sines."""
  angle = 2 * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(len(frame))) / n_fft
  return np.hypot(np.cos(angle) @ frame, np.sin(angle) @ frame)


def test_mbt_by_plain_sums():
  sound = tiny_sounds.varied(40000, 16000)
  got = log_mel.patches(sound, 16000, 'mbt')
  assert got.shape == (3, 100, 128)
  hamming = .54 - .46 * np.cos(2 * np.pi * np.arange(400) / 400)
  bank = tf.signal.linear_to_mel_weight_matrix(
      128, 257, 16000, 80., 7600., dtype=tf.float64).numpy()
  padded = np.pad(sound.astype(np.float64), (0, 16000))
  for frame in (0, 7, 99, 100, 143, 249, 250):
    piece = padded[frame * 160:frame * 160 + 400] * hamming
    expected = np.log(_transform(piece, 512) @ bank + 1e-6)
    _close(got[frame // 100, frame % 100], expected, 1e-4)
  assert (got[2, 51:] == np.float32(np.log(1e-6))).all()


def test_listen_to_look_by_plain_sums():
  sound = tiny_sounds.varied(24000, 16000)
  got = log_mel.patches(sound, 16000, 'listen_to_look')
  assert got.shape == (2, 101, 40)

  def hertz(mel):
    return mel * 200 / 3 if mel < 15 else 1000 * np.exp((mel - 15) * np.log(6.4) / 27)

  top = 15 + np.log(8) * 27 / np.log(6.4)
  edges = [hertz(m) for m in np.linspace(0, top, 42)]
  hann = .5 - .5 * np.cos(2 * np.pi * np.arange(400) / 400)
  for patch in (0, 1):
    padded = np.pad(_piece(sound, 'listen_to_look', patch).astype(np.float64), 200)
    for frame in (0, 1, 50, 100):
      power = _transform(padded[frame * 160:frame * 160 + 400] * hann, 400)**2
      for band in range(40):
        low, middle, high = edges[band:band + 3]
        weights = np.interp(np.arange(201) * 40, [low, middle, high], [0, 1, 0])
        weights *= 2 / (high - low)
        expected = np.log(power @ weights + 1e-6)
        assert abs(got[patch, frame, band] - expected) < 1e-4


@pytest.mark.parametrize('hertz', [500., 1500., 5000.])
@pytest.mark.parametrize('name', NAMES)
def test_a_tone_sits_in_its_band(name, hertz):
  kind = schema.LOG_MELS[name]
  rate = kind['sample_rate']
  t = np.arange(2 * _length(name)) / rate
  tone = .5 * np.sin(2 * np.pi * hertz * t)
  patch = log_mel.patches(tone.astype(np.float32), rate, name)[0]
  by_band = patch.mean(1) if name in ('adamml', 'ast') else patch.mean(0)
  htk = lambda f: 2595 * np.log10(1 + f / 700)
  slaney = lambda f: min(f * 3 / 200, 15) + 27 * np.log(max(f / 1000, 1)) / np.log(6.4)
  place = {
      'yamnet': lambda f: (htk(f) - htk(125)) / (htk(7500) - htk(125)) * 65 - 1,
      'adamml': lambda f: f * 511 / 24000,
      'listen_to_look': lambda f: slaney(f) / slaney(8000) * 41 - 1,
      'ast': lambda f: (htk(f) - htk(20)) / (htk(8000) - htk(20)) * 129 - 1,
      'mbt': lambda f: (htk(f) - htk(80)) / (htk(7600) - htk(80)) * 129 - 1,
  }[name](hertz)
  assert abs(np.argmax(by_band) - place) <= 2


@pytest.mark.parametrize('name', NAMES)
def test_shapes_and_counts_are_the_schemas(name):
  kind = schema.LOG_MELS[name]
  rate, length = kind['sample_rate'], _length(name)
  for samples, count in ((1, 1), (length, 1), (length + 1, 2), (3 * length, 3),
                         (3 * length - 1, 3), (7 * length, 7), (9 * length, 9), (0, 0)):
    got = log_mel.patches(np.zeros(samples, np.float32), rate, name)
    assert got.shape == (count, *kind['shape']) and got.dtype == np.float32
    other = 44100 if rate == 16000 else 16000
    expected = -(-samples * rate // (other * length))
    assert len(log_mel.patches(np.zeros(samples, 'f4'), other, name)) == expected


@pytest.mark.parametrize('name', NAMES)
def test_silence_and_full_scale_are_finite(name):
  rate = schema.LOG_MELS[name]['sample_rate']
  silence = log_mel.patches(np.zeros(rate, np.float32), rate, name)
  assert np.isfinite(silence).all()
  square = np.where(np.arange(rate) % 50 < 25, 1, -1).astype(np.float32)
  loud = log_mel.patches(square, rate, name)
  assert np.isfinite(loud).all() and loud.max() > silence.max() + 3


@pytest.mark.parametrize('name', NAMES)
def test_another_rate_gives_the_same_picture(name):
  kind = schema.LOG_MELS[name]
  rate, seconds = kind['sample_rate'], kind['seconds']

  def make(rate):
    t = np.arange(round(2 * seconds * rate)) / rate
    return (.4 * np.sin(5e3 * t) + .2 * np.sin(4e4 * t)).astype(np.float32)

  want = log_mel.patches(make(rate), rate, name)
  other = 48000 if name == 'adamml' else 24000
  got = log_mel.patches(make(other), other, name)
  axis = 2 if name in ('adamml', 'ast') else 1  # of moments, without the sound's ends
  want, got = (np.moveaxis(picture, axis, 0)[4:-6] for picture in (want, got))
  loud = want > want.max() - 6
  np.testing.assert_allclose(got[loud], want[loud], atol=.05)


@pytest.mark.parametrize('name', ['yamnet', 'mbt'])
def test_patches_are_one_picture(name):
  """A cut in the stream does not show: the second patch is that of the whole."""
  sound, length = tiny_sounds.varied(48000, 16000), _length(name)
  whole = np.concatenate(log_mel.patches(sound, 16000, name))
  shifted = np.concatenate(log_mel.patches(sound[1600:], 16000, name))
  frames = length // 160
  np.testing.assert_allclose(shifted[:frames], whole[10:10 + frames], atol=1e-5)


@pytest.mark.parametrize('name', ['adamml', 'listen_to_look', 'ast'])
def test_patches_stand_alone(name):
  rate, length = schema.LOG_MELS[name]['sample_rate'], _length(name)
  sound = tiny_sounds.varied(2 * length, rate)
  changed = sound.copy()
  changed[length:] *= -.3
  before, after = (log_mel.patches(s, rate, name) for s in (sound, changed))
  np.testing.assert_array_equal(before[0], after[0])
  assert np.abs(before[1] - after[1]).max() > .1


def test_refusals():
  sound = np.zeros(1600, np.float32)
  with pytest.raises(ValueError, match="'vggish' is unknown; give one of yamnet"):
    log_mel.patches(sound, 16000, 'vggish')
  for rate in (0, -16000, 16000.5):
    with pytest.raises(ValueError, match=f'sample_rate is {rate} Hz'):
      log_mel.patches(sound, rate, 'yamnet')
  with pytest.raises(ValueError, match=r'shape \[800, 2\]: give one channel'):
    log_mel.patches(sound.reshape(800, 2), 16000, 'yamnet')
