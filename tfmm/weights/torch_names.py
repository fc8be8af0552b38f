"""Where torchvision's ResNet and MobileNetV2 keep what our encoders have.

MobileNetV2 comes in two layouts. Torchvision's has the last convolution as
`features.18` and pairs of layers inside a block (`conv.0.0`, `conv.0.1`). The one of
AdaMML's policy has it as `conv` and a block's layers in one row (`conv.0`, `conv.1`,
`conv.3`, ...; every third is an activation without numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
import re
from typing import Any

import numpy as np
import tensorflow as tf

from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.weights import transfer as transfer_lib


def state_dict(content: Any, path: str) -> dict[str, np.ndarray]:
  """Names and arrays of a file's model.

  Args:
    content: of `torch_file.read`; a training checkpoint with an entry `state_dict`, or
      the names and arrays themselves.
    path: of the file, for messages.

  Returns:
    Without the counters of batch normalization, and without the `module.` that
    PyTorch's parallel training puts before all names.
  """
  if isinstance(content, Mapping) and isinstance(content.get('state_dict'), Mapping):
    content = content['state_dict']
  if not isinstance(content, Mapping) or not content or not all(
      isinstance(a, np.ndarray) for a in content.values()):
    raise ValueError(
        f"{path} holds no weights by name; save model.state_dict(), or a dictionary "
        "with it as 'state_dict'.")
  parallel = all(name.startswith('module.') for name in content)
  return {name.removeprefix('module.') if parallel else name: array
          for name, array in content.items()
          if not name.endswith('num_batches_tracked')}


def is_classifier(name: str) -> bool:
  """Whether a name is of the last linear layer of a network that stands alone."""
  return re.fullmatch(r'(fc|classifier(\.1)?)\.(weight|bias)', name) is not None


def stem_channels(transfer: transfer_lib.Transfer, prefix: str = '') -> int:
  """Input channels of the network whose names begin with `prefix`."""
  for name in ('conv1.weight', 'features.0.0.weight'):
    if prefix + name in transfer.names:
      return transfer.shape(prefix + name)[1]
  raise ValueError(
      f'{transfer.source} has neither {prefix}conv1.weight (ResNet) nor '
      f'{prefix}features.0.0.weight (MobileNetV2); only these can be converted.')


def classifier(transfer: transfer_lib.Transfer, prefix: str = '') -> str:
  """Name of a network's last linear layer."""
  for name in ('fc', 'classifier.1', 'classifier'):
    if f'{prefix}{name}.weight' in transfer.names:
      return prefix + name
  raise ValueError(f'{transfer.source} has no classifier {prefix}fc or '
                   f'{prefix}classifier.1.')


def fill_encoder(transfer: transfer_lib.Transfer, prefix: str,
                 encoder: tf.keras.layers.Layer):
  """Fills an encoder from the names that begin with `prefix`.

  Raises:
    ValueError: an array is missing or has another shape, or the encoder is of a kind
      that has no names here.
  """
  if isinstance(encoder, resnet.ResNet):
    _fill_resnet(transfer, prefix, encoder)
  elif isinstance(encoder, mobilenet.MobileNetV2):
    _fill_mobilenet(transfer, prefix, encoder)
  else:
    raise ValueError(
        f'the encoder is of the kind {type(encoder).__name__}; only ResNet and '
        'MobileNetV2 can be filled from a PyTorch file.')


def _fill_resnet(transfer, prefix, encoder: resnet.ResNet):
  transfer.copy_stem(f'{prefix}conv1.weight', encoder.conv1.kernel)
  _fill_norm(transfer, f'{prefix}bn1', encoder.bn1)
  for stage in range(1, 5):
    for i, block in enumerate(getattr(encoder, f'layer{stage}')):
      place = f'{prefix}layer{stage}.{i}.'
      count = 2 if isinstance(block, resnet.BasicBlock) else 3
      for k in range(1, count + 1):
        transfer.copy(f'{place}conv{k}.weight', getattr(block, f'conv{k}').kernel,
                      transfer_lib.convolution)
        _fill_norm(transfer, f'{place}bn{k}', getattr(block, f'bn{k}'))
      if block.downsample is not None:
        _fill_pair(transfer, f'{place}downsample.0', f'{place}downsample.1',
                   block.downsample)


def _fill_mobilenet(transfer, prefix, encoder: mobilenet.MobileNetV2):
  in_a_row = f'{prefix}conv.0.weight' in transfer.names
  stem = f'{prefix}features.0'
  transfer.copy_stem(f'{stem}.0.weight', encoder.stem.conv.kernel)
  _fill_norm(transfer, f'{stem}.1', encoder.stem.norm)
  for i, block in enumerate(encoder.blocks):
    place = f'{prefix}features.{i + 1}.conv.'
    k = 0  # of the next convolution
    for part in filter(None, (block.expand, block.depthwise, block.project)):
      if in_a_row:
        names, k = (f'{place}{k}', f'{place}{k + 1}'), k + 3
      elif part is not block.project:
        names, k = (f'{place}{k}.0', f'{place}{k}.1'), k + 1
      else:
        names = f'{place}{k}', f'{place}{k + 1}'
      _fill_pair(transfer, *names, part)
  head = f'{prefix}conv' if in_a_row else f'{prefix}features.{len(encoder.blocks) + 1}'
  _fill_pair(transfer, f'{head}.0', f'{head}.1', encoder.head)


def _fill_pair(transfer, conv: str, norm: str, layer):
  """A convolution and its normalization, by name -> a `ConvNorm`."""
  if hasattr(layer.conv, 'depthwise_kernel'):
    transfer.copy(
        f'{conv}.weight', layer.conv.depthwise_kernel, transfer_lib.depthwise)
  else:
    transfer.copy(f'{conv}.weight', layer.conv.kernel, transfer_lib.convolution)
  _fill_norm(transfer, norm, layer.norm)


def _fill_norm(transfer, name: str, norm):
  transfer.copy(f'{name}.weight', norm.gamma)
  transfer.copy(f'{name}.bias', norm.beta)
  transfer.copy(f'{name}.running_mean', norm.moving_mean)
  transfer.copy(f'{name}.running_var', norm.moving_variance)
