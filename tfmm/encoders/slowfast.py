"""SlowFast over frames: two ResNets that see at two speeds.

Feichtenhofer et al. 2019, with the kernels of the authors' code. The slow pathway sees
every alpha-th frame, the fast one all frames with beta times the filters; what the fast
one sees is joined to the slow one before each stage. HMS sees motion with it: R50 8x8,
2304 features per step, 65.7 GFLOPs at 256x256 pixels.

Frames are folded into the batch, so a convolution over space is one of images, and so
is one over frames alone: frames are its rows and all places of a frame its columns.
"""

import tensorflow as tf

from tfmm.encoders import encoder
from tfmm.encoders import resnet
from tfmm.layers import convolution
from tfmm.layers import temporal

LATERAL_RATIO = 2  # filters of a lateral connection per channel of the fast pathway
SLOW_FRAMES = ('strided', 'spread')


def _initializer():
  return tf.keras.initializers.VarianceScaling(2.0, 'fan_out', 'untruncated_normal')


class TemporalConvolution(tf.keras.layers.Conv2D):
  """Convolution over frames without bias: [N * F, H, W, C] -> [N * F/s, H, W, D].

  The kernel is [k, 1, C, D]; k // 2 frames of zeros stand before and after a row's.
  """

  def __init__(
      self, in_channels, filters, kernel_size, num_frames, stride=1, name=None):
    super().__init__(
        filters, (kernel_size, 1), strides=(stride, 1), use_bias=False, name=name,
        kernel_initializer=_initializer())
    self._num_frames = num_frames
    with tf.name_scope(self.name):
      self.build(tf.TensorShape([None, None, None, in_channels]))

  def call(self, images):
    return self._convolve(images, self.kernel)

  def scaled(self, images, scale, mirrored=False):
    """As `call`, with each filter multiplied: scale [D]."""
    del mirrored  # no convolution over space
    kernel = tf.cast(self.kernel, scale.dtype) * scale
    return self._convolve(
        tf.cast(images, self.compute_dtype), tf.cast(kernel, self.compute_dtype))

  def _convolve(self, images, kernel):
    _, height, width, channels = images.shape
    rows = temporal.num_rows(images) // self._num_frames
    # [N * F, H, W, C] -> [N, F, H * W, C] -> [N, F/s, H * W, D]
    maps = tf.reshape(images, [rows, self._num_frames, height * width, channels])
    side = self.kernel_size[0] // 2
    maps = tf.nn.conv2d(
        maps, kernel, self.strides, [[0, 0], [side, side], [0, 0], [0, 0]])
    return tf.reshape(maps, [rows * maps.shape[1], height, width, self.filters])


class StemConvolution(tf.keras.layers.Conv3D):
  """t x 7 x 7 without bias, stride 2 over space: [N * F, H, W, C] -> [N * F, ...]."""

  def __init__(self, in_channels, filters, kernel_size, num_frames, name=None):
    super().__init__(
        filters, (kernel_size, 7, 7), strides=(1, 2, 2), use_bias=False, name=name,
        kernel_initializer=_initializer())
    self._num_frames = num_frames
    with tf.name_scope(self.name):
      self.build(tf.TensorShape([None, None, None, None, in_channels]))
    self.input_spec = None  # of Keras, which would want the frames unfolded

  def call(self, images):
    return self._convolve(images, self.kernel)

  def scaled(self, images, scale, mirrored=False):
    """As `call`, with each filter multiplied: scale [D]."""
    if mirrored:
      raise ValueError('mirrored=True: give images as they are')
    kernel = tf.cast(self.kernel, scale.dtype) * scale
    return self._convolve(
        tf.cast(images, self.compute_dtype), tf.cast(kernel, self.compute_dtype))

  def _convolve(self, images, kernel):
    sides = [[size // 2] * 2 for size in self.kernel_size]
    frames = temporal.unfold_frames(images, self._num_frames)  # [N, F, H, W, C]
    frames = tf.pad(frames, [[0, 0], *sides, [0, 0]])
    maps = tf.nn.conv3d(frames, kernel, [1, *self.strides, 1], 'VALID')
    return temporal.fold_frames(maps)


class TemporalBottleneck(resnet.Bottleneck):
  """`resnet.Bottleneck` whose first convolution spans `kernel_size` frames."""

  def __init__(
      self, in_channels, filters, stride, kernel_size, num_frames, synchronized=True,
      name=None):
    super().__init__(in_channels, filters, stride, synchronized, name=name)
    with tf.name_scope(self.name):
      self.conv1 = TemporalConvolution(
          in_channels, filters, kernel_size, num_frames, name='conv1')


class Lateral(tf.keras.layers.Layer):
  """Fast maps at the slow speed: [N * F, H, W, C] -> [N * F/alpha, H, W, 2 * C]."""

  def __init__(
      self, channels, kernel_size, num_frames, alpha, synchronized=True, name=None):
    super().__init__(name=name)
    filters = LATERAL_RATIO * channels
    with tf.name_scope(self.name):
      self.conv = TemporalConvolution(
          channels, filters, kernel_size, num_frames, alpha, name='conv')
      self.norm = convolution.BatchNorm(filters, synchronized, name='norm')

  def call(self, images, training=False):
    return tf.nn.relu(convolution.convolve_and_normalize(
        self.conv, self.norm, images, training))


class Pathway(tf.keras.layers.Layer):
  """One ResNet of the two; whoever has both joins their maps between the stages.

  Attributes are named as in `resnet.ResNet`: `conv1`, `bn1`, `layer1` ... `layer4`.

  Args:
    num_frames: F of this pathway.
    in_channels: of a frame.
    width: filters of the stem and of the first stage.
    blocks: in each stage.
    kernel_sizes: frames that the stem spans, then the first convolution of the blocks
      of each stage.
    joined: channels that are joined to the input of each stage.
    synchronized: see `convolution.BatchNorm`.
  """

  def __init__(
      self, *, num_frames, in_channels, width, blocks, kernel_sizes, joined,
      synchronized, name):
    super().__init__(name=name)
    stem, *kernel_sizes = kernel_sizes
    with tf.name_scope(self.name):
      if stem == 1:
        self.conv1 = convolution.Convolution(in_channels, width, 7, 2, name='conv1')
      else:
        self.conv1 = StemConvolution(
            in_channels, width, stem, num_frames, name='conv1')
      self.bn1 = convolution.BatchNorm(width, synchronized, name='bn1')
      channels = width
      for stage, (count, kernel_size) in enumerate(zip(blocks, kernel_sizes)):
        channels += joined[stage]
        layers = []
        for i in range(count):
          shape = channels, width * 2**stage, 2 if stage and not i else 1
          name = f'layer{stage + 1}_{i}'
          if kernel_size == 1:
            block = resnet.Bottleneck(*shape, synchronized, name=name)
          else:
            block = TemporalBottleneck(
                *shape, kernel_size, num_frames, synchronized, name=name)
          layers.append(block)
          channels = width * 2**stage * block.expansion
        setattr(self, f'layer{stage + 1}', layers)

  def stem(self, images, training):
    """[N * F, H, W, C] -> [N * F, H/4, W/4, width]."""
    images = convolution.convolve_and_normalize(
        self.conv1, self.bn1, images, training)
    return convolution.max_pool(tf.nn.relu(images))

  def stage(self, number, images, training):
    """Maps after all blocks of `layer<number>`."""
    for block in getattr(self, f'layer{number}'):
      images = block(images, training=training)
    return images


class SlowFast(encoder.FrameEncoder):
  """SlowFast features of rows uint8 [N, F, H, W, C]: the slow ones, then the fast ones.

  `slow.layer1[0].conv2` and `fast.layer1[0].conv2` are `s2.pathway0_res0.branch2.b` and
  `s2.pathway1_res0.branch2.b` of the authors' code, `downsample` is their `branch1`,
  and `laterals[0]` is their `s1_fuse`.

  Args:
    num_frames: F, frames of the fast pathway; a multiple of alpha. 8x8 of the paper is
      32 frames, every second of a video, and alpha 4; 4x16 is 32 frames and alpha 8.
    size: pixels, or (height, width).
    in_channels: C.
    alpha: F over the frames of the slow pathway.
    beta: filters of the fast pathway over those of the slow one.
    width: filters of the slow pathway's first stage. Features have 32 * width * (1 +
      beta) values (2304).
    blocks: in each stage of both pathways; (3, 4, 23, 3) is the R101.
    lateral_kernel: frames that a lateral connection spans, odd: 5 in the paper. The
      authors' code has 7 for 8x8 and 5 for 4x16.
    slow_frames: which frames the slow pathway sees. 'strided' (the paper): the first of
      each alpha frames; 'spread' (the authors' code): evenly from the first to the
      last, rounded down.
    normalization, row_dtype: see `encoder.FrameEncoder`.
    synchronized_batch_norm: batch statistics over all replicas.
  """

  def __init__(
      self, *, num_frames=32, size=224, in_channels=3, alpha=4, beta=0.125, width=64,
      blocks=(3, 4, 6, 3), lateral_kernel=7, slow_frames='strided',
      normalization='kinetics', row_dtype=None, synchronized_batch_norm=True,
      name=None):
    fast_width = round(beta * width)
    if fast_width < 1 or fast_width != beta * width:
      raise ValueError(
          f'beta={beta} makes {beta * width:g} filters of width={width}: give a beta '
          'that makes a whole number of them')
    if not num_frames or num_frames % alpha:
      raise ValueError(
          f'num_frames={num_frames} is not a multiple of alpha={alpha}: give one, such '
          f'as {8 * alpha}')
    if lateral_kernel % 2 == 0:
      raise ValueError(
          f'lateral_kernel={lateral_kernel}: give an odd number of frames, such as 7')
    if len(blocks) != 4:
      raise ValueError(f'blocks={blocks}: give the number of blocks of four stages')
    if slow_frames not in SLOW_FRAMES:
      raise ValueError(
          f'slow_frames={slow_frames!r} is unknown: use '
          f'{" or ".join(map(repr, SLOW_FRAMES))}')
    super().__init__(
        num_frames=num_frames, size=size, in_channels=in_channels,
        normalization=normalization, row_dtype=row_dtype,
        feature_dim=32 * (width + fast_width), name=name)
    self.alpha = alpha
    self.slow_frames = slow_frames
    # Channels of the fast pathway where lateral connections leave it.
    leaving = [fast_width, *(4 * fast_width * 2**stage for stage in range(3))]
    options = dict(
        in_channels=in_channels, blocks=blocks, synchronized=synchronized_batch_norm)
    with tf.name_scope(self.name):
      self.slow = Pathway(
          num_frames=num_frames // alpha, width=width, kernel_sizes=(1, 1, 1, 3, 3),
          joined=[LATERAL_RATIO * channels for channels in leaving], name='slow',
          **options)
      self.fast = Pathway(
          num_frames=num_frames, width=fast_width, kernel_sizes=(5, 3, 3, 3, 3),
          joined=[0] * 4, name='fast', **options)
      self.laterals = [
          Lateral(channels, lateral_kernel, num_frames, alpha, synchronized_batch_norm,
                  name=f'lateral{i + 1}')
          for i, channels in enumerate(leaving)]

  def slow_images(self, images):
    """The slow pathway's frames: [N * F, H, W, C] -> [N * F/alpha, H, W, C]."""
    frames = temporal.unfold_frames(images, self.num_frames)  # [N, F, H, W, C]
    if self.slow_frames == 'strided':
      return temporal.fold_frames(frames[:, ::self.alpha])
    steps = max(self.num_frames // self.alpha - 1, 1)
    places = [i * (self.num_frames - 1) // steps
              for i in range(self.num_frames // self.alpha)]
    return temporal.fold_frames(tf.gather(frames, places, axis=1))

  def feature_maps(self, images, num_frames, training):
    slow = self.slow.stem(self.slow_images(images), training)
    fast = self.fast.stem(images, training)
    for i, lateral in enumerate(self.laterals):
      slow = tf.concat([slow, lateral(fast, training=training)], axis=-1)
      slow = self.slow.stage(i + 1, slow, training)
      fast = self.fast.stage(i + 1, fast, training)
    means = []
    for maps, frames in ((slow, num_frames // self.alpha), (fast, num_frames)):
      # [N * f, h, w, D] -> [N * f, D] -> [N, D]
      mean = tf.reduce_mean(tf.cast(maps, tf.float32), axis=[1, 2])
      means.append(tf.reduce_mean(temporal.unfold_frames(mean, frames), axis=1))
    features = tf.concat(means, axis=-1)
    return features[:, tf.newaxis, tf.newaxis], 1
