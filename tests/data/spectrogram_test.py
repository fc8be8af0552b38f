import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from tests import tiny_sounds
from tfmm.data import spectrogram


def _centred_stft(x, n_fft, window, hop):
  """librosa's stft (centre, zero padding) in float64."""
  hann = scipy.signal.get_window('hann', window)
  left = (n_fft - window) // 2
  hann = np.pad(hann, (left, n_fft - window - left))
  x = np.pad(x.astype(np.float64), n_fft // 2)
  frames = np.stack([x[k:k + n_fft] for k in range(0, len(x) - n_fft + 1, hop)])
  return np.fft.rfft(frames * hann, n_fft).T


def _close(actual, expected):
  error = np.abs(np.asarray(actual, np.float64) - expected)
  assert error.max() < 2e-3 and error.mean() < 1e-5, (error.max(), error.mean())


@pytest.mark.parametrize('n_fft, window, hop, samples, shape', [
    (511, 240, 120, 30720, (256, 256)),
    (127, 120, 80, 5120, (64, 64)),
    (512, 400, 160, 16000, (257, 101)),
    (256, 256, 64, 1000, (129, 16))])
def test_log_power_spectrogram(n_fft, window, hop, samples, shape):
  x = tiny_sounds.varied(samples, 24000)
  expected = np.log(np.abs(_centred_stft(x, n_fft, window, hop))**2 + 1e-6)
  assert expected.shape == shape
  actual = spectrogram.log_power_spectrogram(
      np.stack([x, x[::-1]]), n_fft=n_fft, window=window, hop=hop)
  assert actual.shape == (2, *shape)
  _close(actual[0], expected)
  assert spectrogram.num_frames(samples, n_fft=n_fft, hop=hop) == shape[1]


def test_window_longer_than_transform():
  with pytest.raises(ValueError, match='window=600 .* n_fft=511'):
    spectrogram.log_power_spectrogram(np.zeros([1, 1000], 'f4'), window=600)


def _mel_bank(bands, low, high):
  """HTK triangles, linear in mel, one loop per band."""
  mel = lambda f: 2595 * np.log10(1 + f / 700)
  edges = np.linspace(mel(low), mel(high), bands + 2)
  points = mel(np.arange(257) * 16000 / 512)
  bank = np.zeros((257, bands))
  for b in range(bands):
    lo, mid, hi = edges[b:b + 3]
    for k, m in enumerate(points):
      if lo < m <= mid:
        bank[k, b] = (m - lo) / (mid - lo)
      elif mid < m < hi:
        bank[k, b] = (hi - m) / (hi - mid)
  bank[0] = 0
  return bank


def _frames(x):
  return np.stack([x[k:k + 400] for k in range(0, len(x) - 399, 160)])


def test_yamnet_log_mel():
  x = tiny_sounds.varied(15600, 16000)
  frames = _frames(x.astype(np.float64)) * scipy.signal.get_window('hann', 400)
  magnitude = np.abs(np.fft.rfft(frames, 512))
  expected = np.log(magnitude @ _mel_bank(64, 125, 7500) + 1e-3)
  _close(spectrogram.yamnet_log_mel(x[None])[0], expected)
  for samples, count in ((400, 1), (559, 1), (560, 2), (15600, 96)):
    assert spectrogram.yamnet_num_frames(samples) == count
    assert len(spectrogram.yamnet_log_mel(x[:samples])) == count


def test_ast_fbank():
  x = tiny_sounds.varied(16000, 16000)
  frames = _frames(x.astype(np.float64) - x.astype(np.float64).mean())
  frames -= frames.mean(1, keepdims=True)
  frames -= .97 * np.concatenate([frames[:, :1], frames[:, :-1]], 1)
  frames *= np.hanning(400)
  power = np.abs(np.fft.rfft(frames, 512))**2
  expected = np.log(np.maximum(power @ _mel_bank(128, 20, 8000), np.finfo('f4').eps))
  _close(spectrogram.ast_fbank(x[None])[0], expected)


@pytest.mark.parametrize('source, target', [
    (24000, 16000), (44100, 16000), (48000, 16000), (16000, 24000), (8000, 8000)])
@pytest.mark.parametrize('samples', [1, 3, 100, 5001])
def test_resample_equals_scipy(source, target, samples):
  x = np.random.default_rng(1).uniform(-1, 1, (2, samples)).astype(np.float32)
  expected = scipy.signal.resample_poly(x.astype(np.float64), target, source, axis=1)
  actual = spectrogram.resample(x, source, target)
  assert actual.shape == expected.shape
  np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_resample_of_nothing_and_bad_rates():
  assert spectrogram.resample(np.zeros([1, 0], 'f4'), 24000, 16000).shape == (1, 0)
  with pytest.raises(ValueError, match='target_rate=0'):
    spectrogram.resample(np.zeros([1, 9], 'f4'), 24000, 0)


def test_runs_in_a_graph_of_open_shape():
  f = tf.function(
      lambda x: spectrogram.log_power_spectrogram(spectrogram.resample(x, 3, 2)),
      input_signature=[tf.TensorSpec([None, None])])
  assert f(np.zeros([2, 46080], 'f4')).shape == (2, 256, 256)
