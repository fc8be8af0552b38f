"""AdaMML stated in PyTorch: a reference for tests and for tools/bench_adamml.py.

Written from the paper and with the names that its authors' files have: ResNet-50 with
temporal max-pooling, MobileNetV2 for sound, and the policy with its LSTM. It needs
PyTorch: pip install -c constraints.txt -e .[reference]
"""

import torch
from torch import nn

CLASSES, FRAMES = 31, 8
CHANNELS = {'rgb': 3, 'flow': 10, 'sound': 1, 'rgbdiff': 15}


def pool_frames(x, frames):
  """[N * F, C, H, W] -> [N * F / 2, C, H, W]: maximum of three, every second frame."""
  x = x.reshape(-1, frames, *x.shape[1:]).transpose(1, 2)
  x = nn.functional.max_pool3d(x, (3, 1, 1), (2, 1, 1), (1, 0, 0)).transpose(1, 2)
  return x.flatten(0, 1)


def conv(inputs, outputs, kernel, stride=1, groups=1):
  return nn.Conv2d(
      inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Bottleneck(nn.Module):

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
    self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
    self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
    self.downsample = None
    if stride > 1 or inputs != 4 * width:
      self.downsample = nn.Sequential(
          conv(inputs, 4 * width, 1, stride), nn.BatchNorm2d(4 * width))

  def forward(self, x):
    y = self.bn1(self.conv1(x)).relu()
    y = self.bn2(self.conv2(y)).relu()
    y = self.bn3(self.conv3(y))
    return (y + (self.downsample(x) if self.downsample else x)).relu()


class ResNet50(nn.Module):

  def __init__(self, channels=3, classes=CLASSES, frames=FRAMES):
    super().__init__()
    self.frames = frames
    self.conv1, self.bn1 = conv(channels, 64, 7, 2), nn.BatchNorm2d(64)
    inputs = 64
    for stage, count in enumerate((3, 4, 6, 3)):
      blocks = []
      for i in range(count):
        blocks.append(Bottleneck(inputs, 64 * 2**stage, 2 if stage and not i else 1))
        inputs = 256 * 2**stage
      self.add_module(f'layer{stage + 1}', nn.Sequential(*blocks))
    self.fc = nn.Linear(inputs, classes)

  def forward(self, x):
    """[N, F, C, H, W] -> [N, classes]."""
    rows, frames = len(x), self.frames
    x = self.bn1(self.conv1(x.flatten(0, 1))).relu()
    x = self.layer1(nn.functional.max_pool2d(x, 3, 2, 1))
    for stage in (self.layer2, self.layer3, self.layer4):
      if frames > 1:
        x, frames = pool_frames(x, frames), frames // 2
      x = stage(x)
    return self.fc(x.mean((2, 3))).reshape(rows, frames, -1).mean(1)


def unit(inputs, outputs, kernel, stride=1, groups=1):
  return nn.Sequential(conv(inputs, outputs, kernel, stride, groups),
                       nn.BatchNorm2d(outputs), nn.ReLU6())


class Block(nn.Module):

  def __init__(self, inputs, outputs, stride, expansion, in_a_row):
    super().__init__()
    hidden = inputs * expansion
    units = [unit(hidden, hidden, 3, stride, hidden)]
    if expansion > 1:
      units.insert(0, unit(inputs, hidden, 1))
    if in_a_row:
      units = [layer for group in units for layer in group]
    self.conv = nn.Sequential(*units, conv(hidden, outputs, 1), nn.BatchNorm2d(outputs))
    self.adds = stride == 1 and inputs == outputs

  def forward(self, x):
    return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
  """Torchvision's with a classifier, or the policy's (`in_a_row`) with frames."""

  def __init__(self, channels, classes=CLASSES, *, frames=1, in_a_row=False):
    super().__init__()
    self.frames, self.in_a_row = frames, in_a_row
    layers, inputs, self.pools = [unit(channels, 32, 3, 2)], 32, []
    for expansion, outputs, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
        (6, 160, 3, 2), (6, 320, 1, 1)):
      if outputs in (64, 160):
        self.pools.append(len(layers))
      for i in range(count):
        layers.append(Block(inputs, outputs, 1 if i else stride, expansion, in_a_row))
        inputs = outputs
    head = unit(320, 1280, 1)
    if in_a_row:
      self.features, self.conv = nn.Sequential(*layers), head
    else:
      self.features = nn.Sequential(*layers, head)
      self.classifier = nn.Sequential(nn.Dropout(.5), nn.Linear(1280, classes))

  def forward(self, x):
    """[N, F, C, H, W] -> [N, classes], or features [N, 1280]."""
    x, frames = x.flatten(0, 1), self.frames
    for i, layer in enumerate(self.features):
      if i in self.pools and frames > 1:
        x, frames = pool_frames(x, frames), frames // 2
      x = layer(x)
    if self.in_a_row:
      return self.conv(x).mean((2, 3))
    return self.classifier(x.mean((2, 3)))


class JointNet(nn.Module):

  def __init__(self, *nets):
    super().__init__()
    self.nets = nn.ModuleList(nets)
    self.joint = nn.Sequential(
        nn.Linear(1280 * len(nets), 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU())


class PolicyNet(nn.Module):

  def __init__(self, *nets):
    super().__init__()
    self.joint_net = JointNet(*nets)
    self.lstm = nn.LSTMCell(2048 + 2 * len(nets), 256)
    self.fcs = nn.ModuleList(nn.Linear(256, 2) for _ in nets)

  def forward(self, looks):
    """Looks [N, S, F, C, H, W] each -> logits [N, S, M, 2]."""
    logits, state, steps = torch.zeros(len(looks[0]), 2 * len(looks)), None, []
    for t in range(looks[0].shape[1]):
      features = [n(x[:, t]) for n, x in zip(self.joint_net.nets, looks)]
      joint = self.joint_net.joint(torch.cat(features, 1))
      state = self.lstm(torch.cat([joint, logits], 1), state)
      logits = torch.cat([fc(state[0]) for fc in self.fcs], 1)
      steps.append(logits.reshape(len(logits), -1, 2))
    return torch.stack(steps, 1)


class MainNet(nn.Module):

  def __init__(self, *nets):
    super().__init__()
    self.nets = nn.ModuleList(nets)
    self.lf_weights = nn.Parameter(torch.full([len(nets) - 1], 1 / len(nets)))

  def forward(self, views, gates):
    """Views [N, S, F, C, H, W], gates [N, S, M] -> logits [N, classes]."""
    weights = torch.cat([self.lf_weights, 1 - self.lf_weights.sum(0, keepdim=True)])
    total = 0
    for t in range(gates.shape[1]):
      for m, (net, view) in enumerate(zip(self.nets, views)):
        total = total + weights[m] * gates[:, t, m, None] * net(view[:, t])
    return total / gates.shape[1]


class AdaMML(nn.Module):
  """Both networks; modalities and looks in the order of the authors' command line."""

  def __init__(self, modalities, looks):
    super().__init__()
    self.policy_net = PolicyNet(*(
        MobileNetV2(CHANNELS[m], frames=1 if m == 'sound' else FRAMES // 2,
                    in_a_row=True) for m in looks))
    self.main_net = MainNet(*(
        (MobileNetV2 if m == 'sound' else ResNet50)(CHANNELS[m]) for m in modalities))

  def forward(self, views, looks, temperature=None):
    """-> logits [N, classes], the policy's logits [N, S, M, 2], gates [N, S, M].

    Gates are drawn, with a straight-through gradient, if a temperature is given; else
    they are argmax.
    """
    scores = self.policy_net(looks)
    if temperature is None:
      gates = scores.argmax(-1).float()
    else:
      gates = nn.functional.gumbel_softmax(scores, temperature, hard=True)[..., 1]
    return self.main_net(views, gates), scores, gates
