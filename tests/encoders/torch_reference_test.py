"""The encoders against the same networks stated in PyTorch, weight for weight.

torchvision cannot be a dependency, so its ResNet and MobileNetV2 are written here by
hand, with AdaMML's pools over frames (models/common.py: `MaxPool3d((3, 1, 1),
(2, 1, 1), (1, 0, 0))`), and SlowFast with convolutions of three dimensions throughout.
PyTorch itself is optional: without it these tests are skipped.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.encoders import slowfast

torch = pytest.importorskip('torch')
F = torch.nn.functional

RESNETS = {
    'resnet18': dict(depth=18, num_frames=8, size=64, width=8),
    'resnet18_flow': dict(
        depth=18, num_frames=5, size=(48, 65), in_channels=10, width=8,
        normalization='flow'),
    'resnet50': dict(depth=50, num_frames=8, size=64, width=8),
    'resnet50_unpooled': dict(
        depth=50, num_frames=2, size=64, width=8, temporal_pool=False),
}
MOBILENETS = {
    'preview': dict(
        num_frames=4, size=64, row_dtype='float32', width_multiplier=.35),
    'spectrogram': dict(
        size=(65, 64), in_channels=1, normalization='none', width_multiplier=.5),
    'full_width': dict(num_frames=4, size=32),
}
SLOWFASTS = {
    'r50': dict(num_frames=8, size=64, width=16),
    'spread': dict(
        num_frames=16, size=(40, 65), width=8, blocks=(1, 2, 1, 1), alpha=8, beta=.25,
        lateral_kernel=5, slow_frames='spread', in_channels=10, normalization='flow'),
}


def convolve(x, layer, *, stride=1, groups=1):
  """conv2d with the layer's kernel, padded by half its size as torchvision does."""
  order = (3, 2, 0, 1) if groups == 1 else (2, 3, 0, 1)  # -> [out, in / groups, h, w]
  weights = layer.kernel if groups == 1 else layer.depthwise_kernel
  weights = torch.from_numpy(weights.numpy().transpose(order).copy())
  return F.conv2d(
      x, weights, stride=stride, padding=weights.shape[-1] // 2, groups=groups)


def normalize(x, layer, training):
  numbers = [torch.from_numpy(v.numpy()) for v in (
      layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)]
  return F.batch_norm(x, *numbers, training=training, eps=1e-5)


def pool_frames(x, num_frames):
  """[N * F, C, H, W] -> [N * ceil(F / 2), C, H, W]."""
  x = x.unflatten(0, (-1, num_frames)).transpose(1, 2)  # [N, C, F, H, W]
  x = F.max_pool3d(x, (3, 1, 1), (2, 1, 1), (1, 0, 0))
  return x.transpose(1, 2).flatten(0, 1)


def basic_block(x, block, stride, training):
  y = F.relu(normalize(convolve(x, block.conv1, stride=stride), block.bn1, training))
  y = normalize(convolve(y, block.conv2), block.bn2, training)
  return F.relu(y + shortcut(x, block, stride, training))


def bottleneck(x, block, stride, training):
  y = F.relu(normalize(convolve(x, block.conv1), block.bn1, training))
  y = F.relu(normalize(convolve(y, block.conv2, stride=stride), block.bn2, training))
  y = normalize(convolve(y, block.conv3), block.bn3, training)
  return F.relu(y + shortcut(x, block, stride, training))


def shortcut(x, block, stride, training):
  if block.downsample is None:
    return x
  x = convolve(x, block.downsample.conv, stride=stride)
  return normalize(x, block.downsample.norm, training)


def resnet_features(x, net, num_frames, training, *, depth, pool):
  counts, block = {
      18: ((2, 2, 2, 2), basic_block), 50: ((3, 4, 6, 3), bottleneck)}[depth]
  x = F.relu(normalize(convolve(x, net.conv1, stride=2), net.bn1, training))
  x = F.max_pool2d(x, 3, 2, 1)
  for stage, count in enumerate(counts):
    if pool and stage:
      x, num_frames = pool_frames(x, num_frames), (num_frames + 1) // 2
    layers = getattr(net, f'layer{stage + 1}')
    assert len(layers) == count
    for i, layer in enumerate(layers):
      x = block(x, layer, 2 if stage and not i else 1, training)
  return x, num_frames


def mobilenet_features(x, net, num_frames, training):
  def norm_relu6(x, norm):
    return F.relu6(normalize(x, norm, training))

  x = norm_relu6(convolve(x, net.stem.conv, stride=2), net.stem.norm)
  blocks = iter(net.blocks)
  # Sandler et al., table 2: expansion, channels at width 1, blocks, stride.
  for expansion, channels, count, stride in (
      (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
      (6, 160, 3, 2), (6, 320, 1, 1)):
    if channels in (64, 160) and num_frames > 1:
      x, num_frames = pool_frames(x, num_frames), (num_frames + 1) // 2
    for i in range(count):
      block, y = next(blocks), x
      if expansion > 1:
        y = norm_relu6(convolve(y, block.expand.conv), block.expand.norm)
      y = convolve(
          y, block.depthwise.conv, stride=1 if i else stride, groups=y.shape[1])
      y = norm_relu6(y, block.depthwise.norm)
      y = normalize(convolve(y, block.project.conv), block.project.norm, training)
      x = x + y if i else y
  return norm_relu6(convolve(x, net.head.conv), net.head.norm), num_frames


def convolve3d(x, layer, stride):
  """conv3d with a layer's kernel of two dimensions (space or time) or three."""
  weights = layer.kernel.numpy()
  if weights.ndim == 4:  # [k, 1, C, D] spans frames, [k, k, C, D] one frame's pixels
    over_time = isinstance(layer, slowfast.TemporalConvolution)
    weights = weights[:, None] if over_time else weights[None]
  # [t, h, w, C, D] -> [D, C, t, h, w]
  weights = torch.from_numpy(weights.transpose(4, 3, 0, 1, 2).copy())
  padding = [k // 2 for k in weights.shape[2:]]
  return F.conv3d(x, weights, stride=stride, padding=padding)


def slowfast_block(x, block, stride, training):
  """A bottleneck over [N, C, F, H, W]."""
  over_space = (1, stride, stride)
  y = F.relu(normalize(convolve3d(x, block.conv1, 1), block.bn1, training))
  y = F.relu(normalize(convolve3d(y, block.conv2, over_space), block.bn2, training))
  y = normalize(convolve3d(y, block.conv3, 1), block.bn3, training)
  if block.downsample is not None:
    x = convolve3d(x, block.downsample.conv, over_space)
    x = normalize(x, block.downsample.norm, training)
  return F.relu(x + y)


def slowfast_features(x, net, num_frames, training, *, alpha, spread):
  """Means of both pathways as maps [N, D, 1, 1], of one frame."""
  x = x.unflatten(0, (-1, num_frames)).transpose(1, 2)  # [N, C, F, H, W]
  slow, ways = x[:, :, ::alpha], (net.slow, net.fast)
  if spread:
    places = torch.linspace(0, num_frames - 1, num_frames // alpha).long()
    slow = torch.index_select(x, 2, places)
  maps = []
  for y, way in zip((slow, x), ways):
    y = F.relu(normalize(convolve3d(y, way.conv1, (1, 2, 2)), way.bn1, training))
    maps.append(F.max_pool3d(y, (1, 3, 3), (1, 2, 2), (0, 1, 1)))
  for stage, lateral in enumerate(net.laterals):
    y = normalize(convolve3d(maps[1], lateral.conv, (alpha, 1, 1)), lateral.norm,
                  training)
    maps[0] = torch.cat([maps[0], F.relu(y)], 1)
    for i, way in enumerate(ways):
      for j, block in enumerate(getattr(way, f'layer{stage + 1}')):
        maps[i] = slowfast_block(maps[i], block, 2 if stage and not j else 1, training)
  return torch.cat([y.mean((2, 3, 4)) for y in maps], 1)[..., None, None], 1


def features(net, rows, network, training=False):
  """PyTorch's features of rows as the data delivers them: float32 [N, D]."""
  if net.num_frames is None:
    rows = rows[:, np.newaxis]
  x = torch.from_numpy(rows.astype(np.float32))
  num_frames = x.shape[1]
  x = x.flatten(0, 1).permute(0, 3, 1, 2)  # [N * F, C, H, W]
  mean, std = {
      'imagenet': ((.485, .456, .406), (.229, .224, .225)),
      'flow': ((.5,), (np.mean((.229, .224, .225)),)),
      'kinetics': ((.45,), (.225,)),
      'none': ((0.,), (1. / 255,))}[net.normalization]
  mean, std = (
      torch.tensor(v).repeat(x.shape[1] // len(v))[:, None, None] for v in (mean, std))
  x = (x / 255 - mean) / std
  maps, left = network(x.float(), net, num_frames, training)
  return maps.mean((2, 3)).unflatten(0, (-1, left)).mean(1).numpy()


def random_rows(net, count, rng):
  shape = (count, *net.row_spec.shape)
  if net.normalization == 'none':
    return rng.normal(size=shape).astype(np.float32)
  return rng.integers(0, 256, shape).astype(net.row_spec.dtype.as_numpy_dtype)


def with_random_norms(net, rng):
  """All batch normalizations away from their first values, scales near 1."""
  for variable in net.variables:
    if variable.shape.rank == 1:
      low, high = (.5, 1.5) if 'variance' in variable.name or (
          'gamma' in variable.name) else (-.3, .3)
      variable.assign(rng.uniform(low, high, variable.shape))
  return net


def check(net, network, training=False, limit=1e-5):
  rng = np.random.default_rng(0)
  with_random_norms(net, rng)
  rows = random_rows(net, 3, rng)
  expected = features(net, rows, network, training)
  got = net(tf.constant(rows), training=training).numpy()
  assert got.shape == expected.shape
  assert np.abs(got - expected).max() < limit * np.abs(expected).max()


@pytest.mark.parametrize('options', RESNETS.values(), ids=RESNETS)
def test_resnet(options):
  tf.keras.utils.set_random_seed(0)
  net = resnet.ResNet(**options)
  depth, pool = options['depth'], options.get('temporal_pool', True)
  check(net, lambda *args: resnet_features(*args, depth=depth, pool=pool))


@pytest.mark.parametrize('options', MOBILENETS.values(), ids=MOBILENETS)
def test_mobilenet(options):
  tf.keras.utils.set_random_seed(0)
  check(mobilenet.MobileNetV2(**options), mobilenet_features)


@pytest.mark.parametrize('kind, training', [
    ('r50', False), ('spread', False), ('spread', True)])
def test_slowfast(kind, training):
  tf.keras.utils.set_random_seed(0)
  options = SLOWFASTS[kind]
  network = functools.partial(
      slowfast_features, alpha=options.get('alpha', 4), spread='slow_frames' in options)
  check(slowfast.SlowFast(**options), network, training, 1e-4 if training else 1e-5)


@pytest.mark.parametrize('synchronized', [True, False])
def test_batch_statistics_in_training(synchronized):
  # Deeper networks amplify rounding: PyTorch's own float32 misses its float64 by 2e-4.
  net = resnet.ResNet(**RESNETS['resnet18'], synchronized_batch_norm=synchronized)
  check(net, lambda *args: resnet_features(*args, depth=18, pool=True), True, 1e-4)
