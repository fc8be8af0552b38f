"""Log-mels that a record can carry, by the names of `schema.LOG_MELS`.

Sound is cut into consecutive patches, the last one filled up with silence; none is
normalised. What the sources do not say is marked as assumed.

* yamnet: 25 ms Hann windows every 10 ms, 512 points, magnitudes, 64 HTK bands of
  125-7500 Hz, log(x + .001); rows are moments. (tensorflow/models, research/audioset)
* adamml: |STFT|^2 of 511 points, Hann 240, hop 120, centred, log(x + 1e-6); no bands.
  Rows are frequencies, low ones first. (IBM/AdaMML)
* listen_to_look: Hann 400, hop 160, 40 bands, 101 moments (the paper's supplement).
  Assumed: librosa's ways, that is centred windows with silence around the patch, 400
  points, power, Slaney's bands of equal area up to 8 kHz; and log(x + 1e-6).
* ast: Kaldi's filter bank, see `tfmm.data.spectrogram.ast_fbank`: 1022 moments and two
  of zeros, as AST's own loader fills up. Rows are bands.
* mbt: 25 ms Hamming windows every 10 ms, 128 bands (the paper, 4.2); rows are moments.
  Assumed: the log-mel of dmvr, its reader, that is magnitudes, HTK bands of
  80-7600 Hz, log(x + 1e-6); and 512 points. The authors' script is not public, and
  their mean and deviation (1.102, 2.762) belong to it: measure them anew.

yamnet and mbt are one picture of the whole sound, cut every `seconds`: the last
windows of a patch reach 15 ms into the next one. The other patches stand alone.
"""

import functools
import math

import numpy as np

from tfmm import schema

_WINDOW, _HOP = 400, 160  # samples at 16 kHz: 25 ms and 10 ms


def patches(waveform: np.ndarray, sample_rate: int, name: str) -> np.ndarray:
  """All patches of a sound.

  Args:
    waveform: float32 [N] in [-1, 1], mono.
    sample_rate: Hertz; another rate than the patches' is resampled.
    name: A key of `schema.LOG_MELS`.

  Returns:
    float32 [P, *shape], P = ceil(N / sample_rate / seconds), both by the schema.

  Raises:
    ValueError: If the name is unknown, the rate no positive whole number, or the
      waveform not one-dimensional.
  """
  if name not in schema.LOG_MELS:
    raise ValueError(
        f'log-mel {name!r} is unknown; give one of {", ".join(schema.LOG_MELS)}.')
  if sample_rate <= 0 or int(sample_rate) != sample_rate:
    raise ValueError(f'sample_rate is {sample_rate} Hz; give a positive whole number.')
  if np.ndim(waveform) != 1:
    raise ValueError(
        f'a waveform of shape {list(np.shape(waveform))}: give one channel, [samples].')
  kind = schema.LOG_MELS[name]
  rate, length = kind['sample_rate'], round(kind['seconds'] * kind['sample_rate'])
  # Whole numbers: 9 * .96 s / .96 s is above 9 in floats.
  count = -(-len(waveform) * rate // (length * int(sample_rate)))
  if not count:
    return np.zeros((0, *kind['shape']), np.float32)
  sound = np.asarray(waveform, np.float64)
  if rate != sample_rate:
    import scipy.signal  # 60 MB and half a second: only in workers that need it
    common = math.gcd(rate, int(sample_rate))
    sound = scipy.signal.resample_poly(
        sound, rate // common, int(sample_rate) // common)
  tail = _WINDOW - _HOP
  sound = np.pad(sound, (0, count * length + tail - len(sound)))
  # [P, length + tail]
  pieces = np.lib.stride_tricks.sliding_window_view(sound, length + tail)[::length]
  return _PATCHES[name](pieces, length).astype(np.float32)


def _windows(pieces, length, hop):
  """[P, samples] -> [P, frames, length], without a copy."""
  return np.lib.stride_tricks.sliding_window_view(pieces, length, -1)[:, ::hop]


def _yamnet(pieces, length):
  del length
  frames = _windows(pieces, _WINDOW, _HOP) * _window('hann', _WINDOW)
  magnitude = np.abs(np.fft.rfft(frames, 512))
  return np.log(magnitude @ _htk_bank(64, 257, 16000, 125., 7500.) + 1e-3)


def _adamml(pieces, length):
  n_fft, window, hop, frames = 511, 240, 120, 256
  # Zero-padding the window to n_fft shifts it, which power does not see.
  left = n_fft // 2 - (n_fft - window) // 2
  centred = np.pad(pieces[:, :length], ((0, 0), (left, window)))
  framed = _windows(centred, window, hop)[:, :frames] * _window('hann', window)
  # [P, frames, bins] -> [P, bins, frames]
  return np.log(_power(framed, n_fft) + 1e-6).transpose(0, 2, 1)


def _listen_to_look(pieces, length):
  centred = np.pad(pieces[:, :length], ((0, 0), (_WINDOW // 2, _WINDOW // 2)))
  frames = _windows(centred, _WINDOW, _HOP) * _window('hann', _WINDOW)
  return np.log(_power(frames, _WINDOW) @ _slaney_bank(40, 201, 16000) + 1e-6)


def _ast(pieces, length):
  sound = pieces[:, :length]
  frames = _windows(sound - sound.mean(-1, keepdims=True), _WINDOW, _HOP)
  frames = frames - frames.mean(-1, keepdims=True)
  frames -= .97 * np.concatenate([frames[..., :1], frames[..., :-1]], -1)
  frames *= np.hanning(_WINDOW)
  mel = _power(frames, 512) @ _htk_bank(128, 257, 16000, 20., 8000.)
  log_mel = np.log(np.maximum(mel, np.finfo(np.float32).eps))
  missing = schema.LOG_MELS['ast']['shape'][1] - log_mel.shape[1]
  # [P, frames, bands] -> [P, bands, frames]
  return np.pad(log_mel, ((0, 0), (0, missing), (0, 0))).transpose(0, 2, 1)


def _mbt(pieces, length):
  del length
  frames = _windows(pieces, _WINDOW, _HOP) * _window('hamming', _WINDOW)
  magnitude = np.abs(np.fft.rfft(frames, 512))
  return np.log(magnitude @ _htk_bank(128, 257, 16000, 80., 7600.) + 1e-6)


# From (pieces float64 [P, length + tail], length) to float64 [P, *shape].
_PATCHES = {'yamnet': _yamnet, 'adamml': _adamml, 'listen_to_look': _listen_to_look,
            'ast': _ast, 'mbt': _mbt}


def _power(frames, n_fft):
  spectrum = np.fft.rfft(frames, n_fft)
  return spectrum.real**2 + spectrum.imag**2


@functools.lru_cache(maxsize=None)
def _window(name, length):
  """A periodic window, float64 [length]."""
  base = {'hann': .5, 'hamming': .54}[name]
  return base - (1 - base) * np.cos(2 * np.pi * np.arange(length) / length)


@functools.lru_cache(maxsize=None)
def _htk_bank(bands, fft_bins, sample_rate, low, high):
  """float64 [fft_bins, bands]: triangles over the HTK mel scale, without the mean."""

  def mel(hertz):
    return 1127. * np.log1p(np.asarray(hertz) / 700.)

  edges = np.linspace(mel(low), mel(high), bands + 2)
  bank = _triangles(mel(np.linspace(0., sample_rate / 2., fft_bins)), edges)
  bank[0] = 0.
  return bank


@functools.lru_cache(maxsize=None)
def _slaney_bank(bands, fft_bins, sample_rate):
  """float64 [fft_bins, bands]: triangles over hertz of equal area, from 0 Hz up.

  Slaney's scale is linear up to 1 kHz, 15 mels, and 27 more mels per factor of 6.4.
  """
  top = 15. + 27. * np.log(sample_rate / 2000.) / np.log(6.4)
  mels = np.linspace(0., top, bands + 2)
  edges = np.where(mels < 15., mels * 1000. / 15.,
                   1000. * 6.4**((mels - 15.) / 27.))
  bank = _triangles(np.linspace(0., sample_rate / 2., fft_bins), edges)
  return bank * (2. / (edges[2:] - edges[:-2]))


def _triangles(points, edges):
  """[points, bands]: band b rises from edge b to b + 1 and falls to edge b + 2."""
  rise = (points[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
  fall = (edges[2:] - points[:, None]) / (edges[2:] - edges[1:-1])
  return np.maximum(0., np.minimum(rise, fall))
