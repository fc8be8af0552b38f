"""Waveforms to spectrograms, and resampling, in core TensorFlow ops.

All constants (windowed Fourier matrix, mel banks, filters) are built once in
float64 and stored as float32. The functions run eagerly, in tf.data and inside
exported graphs, with any batch size, also under XLA where noted.
"""

import functools
import math

import numpy as np
import scipy.signal
import tensorflow as tf


def num_frames(num_samples, *, n_fft=511, hop=120):
  """Columns of `log_power_spectrogram` for that many samples (int or tensor)."""
  return 1 + (num_samples + 2 * (n_fft // 2) - n_fft) // hop


@functools.lru_cache(maxsize=None)
def _fourier_matrix(n_fft, window):
  """float32 [window, 2 * bins]: Hann-windowed cosines, then sines."""
  bins = n_fft // 2 + 1
  phase = np.arange(window)[:, None] * np.arange(bins)[None] * (2 * np.pi / n_fft)
  hann = scipy.signal.get_window('hann', window)[:, None]
  return np.concatenate(
      [np.cos(phase) * hann, np.sin(phase) * hann], 1).astype(np.float32)


def log_power_spectrogram(waveform, *, n_fft=511, window=240, hop=120, floor=1e-6):
  """log(|STFT|^2 + floor), AdaMML's picture of sound, without normalisation.

  The same numbers as librosa's centred STFT with zero padding and a periodic Hann
  window, to float32: power does not see the shift that zero-padding the window to
  `n_fft` makes, so the transform is one matrix product on the bare window. 30,720
  samples (1.28 s at 24 kHz) give 256 x 256 with the defaults.

  Args:
    waveform: float32 [..., N].
    n_fft: points of the transform; `n_fft // 2 + 1` bins.
    window: samples of the Hann window, at most n_fft.
    hop: samples between frames.
    floor: added to the power.

  Returns:
    float32 [..., bins, frames], low frequencies first.

  Raises:
    ValueError: if the window is longer than n_fft.
  """
  if window > n_fft:
    raise ValueError(
        f'window={window} samples is longer than n_fft={n_fft}; raise n_fft')
  waveform = tf.convert_to_tensor(waveform)
  bins = n_fft // 2 + 1
  left = n_fft // 2 - (n_fft - window) // 2
  frames = num_frames(tf.shape(waveform)[-1], n_fft=n_fft, hop=hop)
  pad = [[0, 0]] * (waveform.shape.rank - 1) + [[left, window]]
  # [..., N] -> [..., frames, window]
  pieces = tf.signal.frame(tf.pad(waveform, pad), window, hop)[..., :frames, :]
  parts = tf.square(tf.matmul(pieces, _fourier_matrix(n_fft, window)))
  log_power = tf.math.log(parts[..., :bins] + parts[..., bins:] + floor)
  # [..., frames, bins] -> [..., bins, frames]
  return tf.linalg.matrix_transpose(log_power)


@functools.lru_cache(maxsize=None)
def _mel_matrix(mel_bins, fft_bins, sample_rate, low, high):
  """float32 [fft_bins, mel_bins], HTK triangles, built in float64."""

  def mel(hertz):
    return 1127. * np.log1p(np.asarray(hertz, np.float64) / 700.)

  edges = np.linspace(mel(low), mel(high), mel_bins + 2)
  points = mel(np.linspace(0., sample_rate / 2., fft_bins))[:, None]
  rise = (points - edges[:-2]) / (edges[1:-1] - edges[:-2])
  fall = (edges[2:] - points) / (edges[2:] - edges[1:-1])
  bank = np.maximum(0., np.minimum(rise, fall))
  bank[0] = 0.
  return bank.astype(np.float32)


def yamnet_num_frames(num_samples):
  """Rows of `yamnet_log_mel` for that many samples (int or tensor)."""
  return 1 + (num_samples - 400) // 160


def yamnet_log_mel(waveform):
  """YAMNet's log-mel: 16 kHz, 25 ms windows every 10 ms, 64 bands, 125-7500 Hz.

  Magnitudes, not powers (tensorflow/models research/audioset/yamnet/params.py).

  Args:
    waveform: float32 [..., N] at 16 kHz.

  Returns:
    float32 [..., 1 + (N - 400) // 160, 64].
  """
  spectrum = tf.abs(tf.signal.stft(waveform, 400, 160, 512))
  mel = tf.matmul(spectrum, _mel_matrix(64, 257, 16000, 125., 7500.))
  return tf.math.log(mel + 1e-3)


def ast_fbank(waveform):
  """The Audio Spectrogram Transformer's Kaldi filter bank, 128 bands at 16 kHz.

  Kaldi's recipe: the clip's mean removed, then per frame of 25 ms every 10 ms the
  frame's mean removed, pre-emphasis .97, symmetric Hann window, power, 20-8000 Hz.
  The dataset's normalisation and padding to 1024 frames are the caller's.

  Args:
    waveform: float32 [..., N] at 16 kHz, N at least 400.

  Returns:
    float32 [..., 1 + (N - 400) // 160, 128].
  """
  waveform = waveform - tf.reduce_mean(waveform, -1, keepdims=True)
  frames = tf.signal.frame(waveform, 400, 160)
  frames -= tf.reduce_mean(frames, -1, keepdims=True)
  frames -= .97 * tf.concat([frames[..., :1], frames[..., :-1]], -1)
  frames *= tf.signal.hann_window(400, periodic=False)
  spectrum = tf.signal.rfft(frames, [512])
  power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
  mel = tf.matmul(power, _mel_matrix(128, 257, 16000, 20., 8000.))
  return tf.math.log(tf.maximum(mel, np.finfo(np.float32).eps))


@functools.lru_cache(maxsize=None)
def _polyphase_bank(up, down):
  """(filters float32 [K, 1, up], samples of padding on the left).

  The low pass of `scipy.signal.resample_poly`: Kaiser 5.0, half length
  10 * max(up, down).
  """
  longest = max(up, down)
  half = 10 * longest
  taps = scipy.signal.firwin(2 * half + 1, 1. / longest, window=('kaiser', 5.)) * up
  first = min(math.ceil((phase * down - half) / up) for phase in range(up))
  last = max((phase * down + half) // up for phase in range(up))
  bank = np.zeros((last - first + 1, 1, up), np.float32)
  for phase in range(up):
    for k in range(first, last + 1):
      tap = phase * down - k * up + half
      if 0 <= tap < len(taps):
        bank[k - first, 0, phase] = taps[tap]
  return bank, -first


def _ratio(source_rate, target_rate):
  """(up, down), whole numbers without a common factor."""
  common = math.gcd(int(source_rate), int(target_rate))
  return int(target_rate) // common, int(source_rate) // common


def resampled_length(length, source_rate, target_rate):
  """Samples that `resample` makes of `length`, an int or int32 tensor."""
  up, down = _ratio(source_rate, target_rate)
  return (length * up + down - 1) // down


def resample(waveform, source_rate, target_rate):
  """Resamples by a polyphase filter: one strided convolution.

  Equal to `scipy.signal.resample_poly` to float32.

  Args:
    waveform: float32 [B, N].
    source_rate: Hz, int.
    target_rate: Hz, int.

  Returns:
    float32 [B, ceil(N * target_rate / source_rate)].

  Raises:
    ValueError: if a rate is not a positive whole number.
  """
  for name, rate in (('source_rate', source_rate), ('target_rate', target_rate)):
    if rate <= 0 or int(rate) != rate:
      raise ValueError(f'{name}={rate} Hz: give a positive whole number')
  up, down = _ratio(source_rate, target_rate)
  if up == down:
    return tf.convert_to_tensor(waveform)
  bank, left = _polyphase_bank(up, down)
  batch, length = tf.unstack(tf.shape(waveform))
  out = resampled_length(length, source_rate, target_rate)
  need = ((out + up - 1) // up - 1) * down + bank.shape[0]
  right = tf.maximum(0, need - left - length)
  padded = tf.pad(waveform, [[0, 0], [left, right]])[:, :need]
  # [B, need, 1] -> [B, out / up, up] -> [B, out]
  phases = tf.nn.conv1d(padded[..., tf.newaxis], bank, down, 'VALID')
  return tf.reshape(phases, [batch, -1])[:, :out]
