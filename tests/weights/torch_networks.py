"""Names and shapes of torchvision's networks and of AdaMML's files, with random values.

Written from the networks' definitions, apart from `tfmm.weights`.
"""

import numpy as np

from tfmm.encoders import mobilenet


class Arrays(dict):
  """{name: array}, made layer by layer."""

  def __init__(self, seed=0):
    super().__init__()
    self._rng = np.random.default_rng(seed)

  def weight(self, name, *shape, scale=None):
    scale = scale or np.prod(shape[1:]) ** -.5
    self[name] = self._rng.normal(scale=scale, size=shape).astype(np.float32)

  def linear(self, name, outputs, inputs):
    self.weight(f'{name}.weight', outputs, inputs)
    self.weight(f'{name}.bias', outputs, scale=.1)

  def norm(self, name, channels):
    for part in ('weight', 'running_var'):
      self[f'{name}.{part}'] = self._rng.uniform(.5, 1.5, channels).astype(np.float32)
    for part in ('bias', 'running_mean'):
      self.weight(f'{name}.{part}', channels, scale=.1)
    self[f'{name}.num_batches_tracked'] = np.array(10, np.int64)

  def resnet18(self, prefix, channels, *, width=4, classes=5):
    self.weight(f'{prefix}conv1.weight', width, channels, 7, 7)
    self.norm(f'{prefix}bn1', width)
    before = width
    for stage in range(4):
      filters = width * 2**stage
      for i in range(2):
        block = f'{prefix}layer{stage + 1}.{i}'
        self.weight(f'{block}.conv1.weight', filters, before, 3, 3)
        self.norm(f'{block}.bn1', filters)
        self.weight(f'{block}.conv2.weight', filters, filters, 3, 3)
        self.norm(f'{block}.bn2', filters)
        if before != filters:
          self.weight(f'{block}.downsample.0.weight', filters, before, 1, 1)
          self.norm(f'{block}.downsample.1', filters)
        before = filters
    self.linear(f'{prefix}fc', classes, before)

  def mobilenet(self, prefix, channels, *, width=.1, features=16, classes=5,
                in_a_row=False):
    """Torchvision's layout with a classifier, or the policy's without."""
    sizes = [mobilenet.scaled_channels(c, width) for _, c, *_ in mobilenet.STAGES]
    before = mobilenet.scaled_channels(32, width)
    self.weight(f'{prefix}features.0.0.weight', before, channels, 3, 3)
    self.norm(f'{prefix}features.0.1', before)
    number = 0
    for (expansion, _, count, *_), filters in zip(mobilenet.STAGES, sizes):
      for _ in range(count):
        number += 1
        hidden = expansion * before
        layers = [(hidden, 1, 3), (filters, hidden, 1)]
        if expansion != 1:
          layers.insert(0, (hidden, before, 1))
        for i, (*shape, kernel) in enumerate(layers):
          block = f'{prefix}features.{number}.conv.'
          if in_a_row:
            conv, norm = f'{block}{3 * i}', f'{block}{3 * i + 1}'
          elif i + 1 < len(layers):
            conv, norm = f'{block}{i}.0', f'{block}{i}.1'
          else:
            conv, norm = f'{block}{i}', f'{block}{i + 1}'
          self.weight(f'{conv}.weight', *shape, kernel, kernel)
          self.norm(norm, shape[0])
        before = filters
    head = 'conv' if in_a_row else f'features.{number + 1}'
    self.weight(f'{prefix}{head}.0.weight', features, before, 1, 1)
    self.norm(f'{prefix}{head}.1', features)
    if not in_a_row:
      self.linear(f'{prefix}classifier.1', classes, features)

  def main_nets(self, channels, classes=5, root='main_net.'):
    """ResNets, and MobileNetV2 where there is one channel; fusion weights."""
    for i, count in enumerate(channels):
      make = self.mobilenet if count == 1 else self.resnet18
      make(f'{root}nets.{i}.', count, classes=classes)
    if len(channels) > 1:
      self.weight(f'{root}lf_weights', len(channels) - 1, scale=.4)

  def policy(self, channels, *, joint=16, units=8, lstm='lstm'):
    root, decisions = 'policy_net.', len(channels)
    for i, count in enumerate(channels):
      self.mobilenet(f'{root}joint_net.nets.{i}.', count, in_a_row=True)
    self.linear(f'{root}joint_net.joint.0', joint, 16 * len(channels))
    self.linear(f'{root}joint_net.joint.2', joint, joint)
    for name, inputs in (('ih', joint + 2 * decisions), ('hh', units)):
      self.weight(f'{root}{lstm}.weight_{name}', 4 * units, inputs, scale=.5)
      self.weight(f'{root}{lstm}.bias_{name}', 4 * units, scale=.1)
    for i in range(decisions):
      self.linear(f'{root}fcs.{i}', 2, units)


def adamml(channels, looks=None, classes=5, seed=0):
  """A file of AdaMML with networks in this order; `looks` are the policy's."""
  made = Arrays(seed)
  made.policy(looks or channels)
  made.main_nets(channels, classes)
  return made


def reordered(arrays, order, look_order=None):
  """The same model as its authors' other command line would have written it.

  Args:
    arrays: of `adamml`.
    order: for each place in the new file, its network in the old one.
    look_order: the same of the policy's networks; as `order` if None.
  """
  look_order = look_order or order
  made = dict(arrays)
  for root, places in (('main_net.nets.', order),
                       ('policy_net.joint_net.nets.', look_order),
                       ('policy_net.fcs.', order)):
    for name in arrays:
      if name.startswith(root):
        del made[name]
    for new, old in enumerate(places):
      for name, array in arrays.items():
        if name.startswith(f'{root}{old}.'):
          made[f'{root}{new}.' + name.removeprefix(f'{root}{old}.')] = array
  blocks = np.split(arrays['policy_net.joint_net.joint.0.weight'], len(order), axis=1)
  made['policy_net.joint_net.joint.0.weight'] = np.concatenate(
      [blocks[i] for i in look_order], axis=1)
  kernel = arrays['policy_net.lstm.weight_ih']
  width = kernel.shape[1] - 2 * len(order)
  pairs = np.split(kernel[:, width:], len(order), axis=1)
  made['policy_net.lstm.weight_ih'] = np.concatenate(
      [kernel[:, :width], *(pairs[i] for i in order)], axis=1)
  free = arrays['main_net.lf_weights']
  weights = np.append(free, 1 - free.sum()).astype(np.float32)
  made['main_net.lf_weights'] = weights[list(order)][:-1]
  return made
