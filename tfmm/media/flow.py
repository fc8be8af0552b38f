"""Optical flow: two grey pictures in, motion in pixels per frame out.

Flow is stored as a 3-channel JPEG (u, v, 0): u to the right, v downwards, clipped to
+-20 pixels, 128 for no motion. All algorithms are OpenCV's with its own defaults, and
give the same numbers for any number of threads and whatever was computed before.
"""

import cv2
import numpy as np

from tfmm import schema

# The one release of the contrib wheel that fits NumPy 1 and this OpenCV.
TVL1_WHEEL = 'opencv-contrib-python-headless==4.11.0.86'
# The two wheels write the same files and the last one wins: first one goes, whole.
TVL1_REPAIR = (
    'python -m pip uninstall -y opencv-python-headless && '
    f'python -m pip install --force-reinstall --no-deps {TVL1_WHEEL}')

_LEAST_SIDE = 16  # pixels; DIS refuses smaller pictures, which are continued outwards
_PYRAMID_SIDES = (32, 91)  # pixels, short and long: from here on DIS's pyramid fits
_LEVELS = 255  # steps between -saturation and +saturation
_SATURATION = schema.FLOW_SATURATION_PIXELS


def check(algorithm: str):
  """Refuses an algorithm that is unknown or that this OpenCV does not have.

  Args:
    algorithm: One of `schema.FLOW_ALGORITHMS`.

  Raises:
    ValueError: With the way out; there is no silent fall-back.
  """
  if algorithm not in schema.FLOW_ALGORITHMS:
    raise ValueError(
        f'flow is {algorithm!r}; give one of {", ".join(schema.FLOW_ALGORITHMS)}.')
  if algorithm == 'tvl1' and not hasattr(
      getattr(cv2, 'optflow', None), 'createOptFlow_DualTVL1'):
    raise ValueError(
        f"flow is 'tvl1', which OpenCV {cv2.__version__} as installed here does not "
        f'have: it is part of the contrib wheel alone. Run: {TVL1_REPAIR} '
        '(or take --flow=dis_medium)')


class Flow:
  """One algorithm, for pairs of pictures of any size.

  Attributes:
    name: Algorithm and library version, as 'dis_fast OpenCV 4.11.0'.
  """

  def __init__(self, algorithm: str):
    """Checks the algorithm.

    Args:
      algorithm: One of `schema.FLOW_ALGORITHMS`.

    Raises:
      ValueError: As `check` does.
    """
    check(algorithm)
    self.name = f'{algorithm} OpenCV {cv2.__version__}'
    self._algorithm = algorithm
    self._size, self._calc = None, None

  def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Motion from one picture to the next.

    Args:
      first: uint8 [height, width], grey.
      second: The picture one frame later, of the same size.

    Returns:
      float32 [height, width, 2]: pixels to the right and pixels downwards per frame,
      not clipped. What is at (x, y) of `first` is at (x + u, y + v) of `second`.

    Raises:
      ValueError: If the pictures are not grey uint8 of one size.
    """
    for picture in (first, second):
      if picture.dtype != np.uint8 or picture.ndim != 2 or not picture.size:
        raise ValueError(
            f'flow of {picture.dtype} {list(picture.shape)}: pictures must be grey, '
            'uint8 [height, width].')
    if first.shape != second.shape:
      raise ValueError(
          f'flow between pictures of {list(first.shape)} and {list(second.shape)} '
          'pixels: scale them to one size first.')
    height, width = first.shape
    below, right = max(0, _LEAST_SIDE - height), max(0, _LEAST_SIDE - width)
    if below or right:
      first, second = (
          cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
          for picture in (first, second))
    if first.shape != self._size:
      self._size, self._calc = first.shape, _create(self._algorithm, *first.shape)
    flow = self._calc(np.ascontiguousarray(first), np.ascontiguousarray(second))
    return np.ascontiguousarray(flow[:height, :width])

  def jpeg(self, first: np.ndarray, second: np.ndarray) -> bytes:
    """The field as records hold it; arguments as for a call.

    A picture that repeats does not move, whatever the algorithm would see in it.
    """
    if first is second:
      return encode(np.zeros((*first.shape, 2), np.float32))
    return encode(self(first, second))


def _create(algorithm, height, width):
  if algorithm == 'farneback':
    return lambda first, second: cv2.calcOpticalFlowFarneback(
        first, second, None, pyr_scale=0.5, levels=3, winsize=15, iterations=3,
        poly_n=5, poly_sigma=1.2, flags=0)
  if algorithm == 'tvl1':
    method = cv2.optflow.createOptFlow_DualTVL1()
  else:
    method = cv2.DISOpticalFlow_create({
        'dis_fast': cv2.DISOPTICAL_FLOW_PRESET_FAST,
        'dis_medium': cv2.DISOPTICAL_FLOW_PRESET_MEDIUM}[algorithm])
    short, long = sorted((height, width))
    if short < _PYRAMID_SIDES[0] or long < _PYRAMID_SIDES[1]:
      # The preset's finest scale may lie above the coarsest one. What OpenCV chooses
      # then looks at the width alone, reads outside of low wide pictures and stays
      # for all later ones.
      method.setFinestScale(0)
  return lambda first, second: method.calc(first, second, None)


def _quantized(flow, order):
  """uint8 [height, width, 3]; `order` says which channel u and v become."""
  # OpenCV rounds like NumPy, half to even, in a sixth of the time.
  shifted = flow + np.float32(_SATURATION)
  np.clip(shifted, 0, 2 * _SATURATION, out=shifted)
  levels = cv2.convertScaleAbs(shifted, alpha=_LEVELS / (2 * _SATURATION))
  picture = np.zeros((*flow.shape[:2], 3), np.uint8)
  cv2.mixChannels([levels], [picture], [0, order[0], 1, order[1]])
  return picture


def quantize(flow: np.ndarray) -> np.ndarray:
  """float32 [height, width, 2] in pixels to uint8 [height, width, 3], blue zero."""
  return _quantized(flow, (0, 1))


def dequantize(picture: np.ndarray) -> np.ndarray:
  """uint8 [height, width, >= 2] to float32 [height, width, 2], pixels per frame.

  No motion, stored as 128, comes back as 0.078 pixels: 255 steps have no middle.
  """
  return (picture[..., :2].astype(np.float32) * np.float32(2 * _SATURATION / _LEVELS)
          - np.float32(_SATURATION))


def encode(flow: np.ndarray, quality: int = 95) -> bytes:
  """float32 [height, width, 2] in pixels to a JPEG (4:4:4)."""
  ok, data = cv2.imencode(
      '.jpg', _quantized(flow, (2, 1)),  # OpenCV takes BGR
      [cv2.IMWRITE_JPEG_QUALITY, quality,
       cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])
  if not ok:
    raise ValueError(f'OpenCV cannot encode flow of shape {flow.shape} as JPEG.')
  return data.tobytes()
