"""What all encoders share: rows of one view in, one feature vector per row out."""

import abc

import numpy as np
import tensorflow as tf

from tfmm.layers import gflops
from tfmm.layers import temporal

# Mean and standard deviation per channel of images scaled to [0, 1].
NORMALIZATIONS = {
    # RGB, and RGB differences stored as (difference + 255) / 2.
    'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # Flow as 8-bit images; 0.226 is the mean of ImageNet's deviations (AdaMML).
    'flow': ((0.5,), (0.226,)),
    # RGB of networks of video (DATA.MEAN and DATA.STD of SlowFast's authors).
    'kinetics': ((0.45,), (0.225,)),
}


class Encoder(tf.keras.layers.Layer):
  """Encodes rows [N, *row_spec.shape] into features [N, feature_dim], float32.

  An encoder knows its input (`row_spec`, as the data delivers it: normalization is
  inside) and its output (`feature_dim`), and has all variables when constructed.
  Rows do not influence each other, except through batch statistics in training.

  Attributes:
    row_spec: tf.TensorSpec of one row, without batch axis.
    feature_dim: D, length of a feature vector.
  """

  def __init__(self, *, row_spec: tf.TensorSpec, feature_dim: int, name=None):
    super().__init__(name=name)
    self.row_spec = row_spec
    self.feature_dim = feature_dim

  def row_macs(self) -> gflops.MacCount:
    """Multiply-adds of one row, counted from the traced graph; runs nothing."""
    spec = tf.TensorSpec([1, *self.row_spec.shape], self.row_spec.dtype)
    return gflops.count_macs(lambda rows: self(rows, training=False), spec)


class FrameEncoder(Encoder, abc.ABC):
  """An image network over frames, averaged over space and over the frames left.

  A subclass computes `feature_maps` of folded frames; it may pool over frames on
  the way and says how many it left.

  Args:
    num_frames: F, frames of a row [F, H, W, C]; None for rows [H, W, C], such as
      spectrograms.
    size: pixels, one number for square images or (height, width).
    in_channels: C.
    normalization: 'imagenet' (C a multiple of 3), 'flow' or 'kinetics', of values
      0..255; 'none' takes values as they are.
    row_dtype: as the data delivers it; None means uint8 if normalized, else
      float32.
    feature_dim: D.
  """

  def __init__(
      self, *, num_frames, size, in_channels, normalization, row_dtype, feature_dim,
      name=None):
    if num_frames is not None and num_frames < 1:
      raise ValueError(
          f'num_frames={num_frames}: give at least 1, or None for rows without a '
          'frame axis')
    if normalization not in (*NORMALIZATIONS, 'none'):
      raise ValueError(
          f'normalization={normalization!r} is unknown: use '
          f'{", ".join(map(repr, NORMALIZATIONS))} or \'none\'')
    if normalization == 'imagenet' and in_channels % 3:
      raise ValueError(
          f"normalization='imagenet' needs a multiple of 3 channels, not "
          f'in_channels={in_channels}: use \'flow\' or \'none\'')
    height, width = (size, size) if isinstance(size, int) else size
    shape = [height, width, in_channels]
    if num_frames is not None:
      shape = [num_frames, *shape]
    if row_dtype is None:
      row_dtype = 'float32' if normalization == 'none' else 'uint8'
    super().__init__(
        row_spec=tf.TensorSpec(shape, tf.as_dtype(row_dtype)),
        feature_dim=feature_dim, name=name)
    self.num_frames = num_frames
    self.normalization = normalization

  @abc.abstractmethod
  def feature_maps(self, images, num_frames: int, training: bool):
    """Folded images [N * F, H, W, C] -> ([N * f, h, w, D], f)."""

  def normalize(self, rows):
    """Rows as the data delivers them -> normalized values of the compute type."""
    rows = tf.cast(rows, tf.float32)
    if self.normalization != 'none':
      mean, deviation = NORMALIZATIONS[self.normalization]
      repeats = self.row_spec.shape[-1] // len(mean)
      scale = 1.0 / (255.0 * np.tile(deviation, repeats))
      offset = -np.tile(mean, repeats) / np.tile(deviation, repeats)
      rows = rows * scale.astype('float32') + offset.astype('float32')
    return tf.cast(rows, self.compute_dtype)

  def call(self, rows, training=False):
    """[N, F, H, W, C] or [N, H, W, C] -> [N, D], float32."""
    num_frames = self.num_frames or 1
    images = self.normalize(rows)
    if self.num_frames is not None:
      images = temporal.fold_frames(images)  # [N, F, H, W, C] -> [N * F, H, W, C]
    maps, frames_left = self.feature_maps(images, num_frames, training)
    # [N * f, h, w, D] -> [N * f, D] -> [N, f, D] -> [N, D]
    features = tf.reduce_mean(tf.cast(maps, tf.float32), axis=[1, 2])
    features = temporal.unfold_frames(features, frames_left)
    return tf.reduce_mean(features, axis=1)
