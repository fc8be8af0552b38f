"""Frames, flow and sound as small pictures that stand inside a page."""

import base64
import math

import cv2
import numpy as np

_THUMBNAIL = 280  # pixels of width: twice what a page shows
_THUMBNAIL_QUALITY = 82
_COLUMNS = 900  # of a wave and a spectrum
_ROWS = 128
_WINDOW_SECONDS = 0.04
_DECIBELS = 70.0  # what a spectrum shows below its loudest part
_MEL_HZ = 700.0


def data_uri(kind: str, data: bytes) -> str:
  """`data:image/png;base64,...`."""
  return f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'


def jpeg(rgb: np.ndarray) -> str:
  """A frame, uint8 [height, width, 3], small, as the address of a JPEG."""
  height, width = rgb.shape[:2]
  if width > _THUMBNAIL:
    rgb = cv2.resize(rgb, (_THUMBNAIL, max(1, round(height * _THUMBNAIL / width))),
                     interpolation=cv2.INTER_AREA)
  return data_uri('jpeg', cv2.imencode(
      '.jpg', np.ascontiguousarray(rgb[..., ::-1]),
      [cv2.IMWRITE_JPEG_QUALITY, _THUMBNAIL_QUALITY])[1].tobytes())


def _png(picture):
  """uint8 [height, width, 3 or 4], BGR(A), as the address of a PNG."""
  return data_uri('png', cv2.imencode('.png', picture)[1].tobytes())


def flow_colours(flow: np.ndarray, full: float) -> np.ndarray:
  """Motion as colours: direction is the hue, length the saturation, rest is white.

  Args:
    flow: float32 [height, width, 2], pixels.
    full: Length in pixels that has full colour.

  Returns:
    uint8 [height, width, 3], RGB.
  """
  length, angle = cv2.cartToPolar(flow[..., 0].copy(), flow[..., 1].copy())
  hsv = np.stack([angle * np.float32(180 / math.pi),
                  np.minimum(length / np.float32(full), 1), np.ones_like(length)], -1)
  return np.rint(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).astype(np.uint8)


def flow_wheel(side: int = 96) -> str:
  """All colours of flow: each stands where it points to."""
  y, x = np.mgrid[:side, :side].astype(np.float32) * (2 / (side - 1)) - 1
  colours = flow_colours(np.stack([x, y], -1), 1.0)
  edge = np.clip((1 - np.hypot(x, y)) * side / 2, 0, 1)
  return _png(np.dstack([colours[..., ::-1], np.rint(255 * edge).astype(np.uint8)]))


def wave_path(waveform: np.ndarray, full: float, height: float = 100.0) -> str:
  """The outline of a wave as a path of SVG: least and largest of each column.

  Args:
    waveform: float32 [samples].
    full: What reaches the top, and its negative the bottom.
    height: Of the picture. Its width is the number of columns, `wave_columns`.
  """
  columns = wave_columns(waveform)
  edges = np.linspace(0, len(waveform), columns + 1).astype(int)
  wave = np.clip(np.nan_to_num(waveform) / full, -1, 1)
  low = np.minimum.reduceat(wave, edges[:-1])
  high = np.maximum.reduceat(wave, edges[:-1])
  def y(values):
    return (0.5 - 0.5 * values) * height
  # A line of half a pixel stands for silence.
  upper = [f'{k},{v - 0.25:.2f}' for k, v in enumerate(y(high))]
  lower = [f'{k},{v + 0.25:.2f}' for k, v in enumerate(y(low))]
  return (f'M{" ".join(upper)} {columns},{y(high[-1]) - 0.25:.2f} '
          f'{columns},{y(low[-1]) + 0.25:.2f} {" ".join(reversed(lower))}Z')


def wave_columns(waveform: np.ndarray) -> int:
  return min(_COLUMNS, len(waveform))


def spectrum(waveform: np.ndarray, sample_rate: float) -> str:
  """Loudness over time (to the right) and pitch (mel scale, upwards), as a PNG."""
  size = max(16, round(_WINDOW_SECONDS * sample_rate))
  wave = np.nan_to_num(waveform)
  wave = np.pad(wave, (size // 2, size + size // 2))
  starts = np.arange(0, len(waveform), size // 2)
  # [columns, size] -> [columns, bins]
  pieces = np.lib.stride_tricks.sliding_window_view(wave, size)[starts]
  power = np.square(np.abs(np.fft.rfft(pieces * np.hanning(size), axis=1)))
  top = math.log1p(sample_rate / 2 / _MEL_HZ)
  hertz = _MEL_HZ * np.expm1(np.linspace(top, 0, _ROWS))
  bins = np.minimum(hertz * size / sample_rate, power.shape[1] - 1)
  # [columns, bins] -> [rows, columns], the highest pitch first
  power = cv2.remap(
      power.astype(np.float32),
      np.repeat(bins[:, np.newaxis].astype(np.float32), len(starts), 1),
      np.repeat(np.arange(len(starts), dtype=np.float32)[np.newaxis], _ROWS, 0),
      cv2.INTER_LINEAR) if max(power.shape) < 32767 else power[:, bins.astype(int)].T
  if power.shape[1] > _COLUMNS:
    power = cv2.resize(power, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA)
  decibels = 10 * np.log10(np.maximum(power, 1e-12))
  shade = np.clip(1 + (decibels - max(decibels.max(), -50.0)) / _DECIBELS, 0, 1)
  return _png(cv2.applyColorMap(np.rint(255 * shade).astype(np.uint8),
                                cv2.COLORMAP_MAGMA))
