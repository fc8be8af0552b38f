"""EfficientNet over frames or spectrograms, on keras-cv's network.

Tan and Le 2019. HMS sees with B3 (224x224, 1536 features); AdaMML's table 6 has B3
on frames and B0 on sound. The plain class of keras-cv is configured here: its named
presets fetch their configuration from the network.
"""

import keras_cv
import tensorflow as tf

from tfmm.encoders import encoder
from tfmm.layers import temporal

# Variant -> (width, depth) coefficient (the authors' `efficientnet_builder`).
VARIANTS = {
    'b0': (1.0, 1.0),
    'b1': (1.0, 1.1),
    'b2': (1.1, 1.2),
    'b3': (1.2, 1.4),
    'b4': (1.4, 1.8),
    'b5': (1.6, 2.2),
    'b6': (1.8, 2.6),
    'b7': (2.0, 3.1),
}
# The first layers of the stages 3, 4 and 6: frames are max-pooled before them.
_POOLING_LAYERS = ('block3a_expand_conv', 'block4a_expand_conv', 'block6a_expand_conv')


class EfficientNet(encoder.FrameEncoder):
  """EfficientNet features of rows [N, F, H, W, C], or [N, H, W, C] without frames.

  Batch normalization is that of keras-cv: per replica, epsilon 1e-3, statistics kept
  by 0.99. Stochastic depth is off, because its random state would not be part of a
  checkpoint.

  Args:
    variant: 'b0' to 'b7'. Features have 1280 (b0) or 1536 (b3) values.
    num_frames: F; None for rows without a frame axis (spectrograms).
    size: pixels, or (height, width).
    in_channels: C.
    normalization, row_dtype: see `encoder.FrameEncoder`.
    temporal_pool: halve the frames before stages 3, 4 and 6. AdaMML does not say;
      the cost in its table 6 is close to a B3 with these three pools.
  """

  def __init__(
      self, *, variant='b0', num_frames=None, size=224, in_channels=3,
      normalization='imagenet', row_dtype=None, temporal_pool=True, name=None):
    if variant not in VARIANTS:
      raise ValueError(
          f'variant={variant!r} is not an EfficientNet: use {", ".join(VARIANTS)}')
    width, depth = VARIANTS[variant]
    height, columns = (size, size) if isinstance(size, int) else size
    network = keras_cv.models.EfficientNetV1Backbone(
        include_rescaling=False, width_coefficient=width, depth_coefficient=depth,
        stackwise_kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
        stackwise_num_repeats=[1, 2, 2, 3, 3, 4, 1],
        stackwise_input_filters=[32, 16, 24, 40, 80, 112, 192],
        stackwise_output_filters=[16, 24, 40, 80, 112, 192, 320],
        stackwise_expansion_ratios=[1, 6, 6, 6, 6, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 1, 2, 1],
        stackwise_squeeze_and_excite_ratios=[0.25] * 7,
        drop_connect_rate=0.0, input_shape=(height, columns, in_channels))
    super().__init__(
        num_frames=num_frames, size=size, in_channels=in_channels,
        normalization=normalization, row_dtype=row_dtype,
        feature_dim=network.output.shape[-1], name=name)
    cuts = []
    if temporal_pool and num_frames is not None:
      cuts = [network.get_layer(layer).input for layer in _POOLING_LAYERS]
    # The network in consecutive parts; frames are max-pooled between them.
    self.parts = [
        tf.keras.Model(start, end)
        for start, end in zip(
            [network.input, *cuts], [*cuts, network.output], strict=True)]

  def feature_maps(self, images, num_frames, training):
    for i, part in enumerate(self.parts):
      if i:
        images = temporal.temporal_max_pool(images, num_frames)
        num_frames = temporal.pooled_frames(num_frames)
      images = part(images, training=training)
    return images, num_frames
