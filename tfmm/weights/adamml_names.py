"""Where the files of AdaMML's authors keep what our models have.

Names inside a file, of M modalities in the order of the authors' command line:

  main_net.nets.{i}.*                    ResNet with `fc`, or MobileNetV2 with
                                         `classifier.1` for sound
  main_net.lf_weights                    [M - 1] fusion weights, or [M - 1, C]; the
                                         last one is what they leave of 1
  policy_net.joint_net.nets.{j}.*        MobileNetV2, one per look
  policy_net.joint_net.joint.{0,2}.*     two linear layers over all looks
  policy_net.lstm.*                      LSTMCell; reads the joint feature, then the
                                         last (skip, run) logits of every modality
  policy_net.fcs.{i}.*                   (skip, run) head of main network i

Roots are found by what stands below them, so that renamed ones do as well. Networks
are matched with those of the recipe by their input channels (RGB 3, flow 10, RGB
difference 15, sound 1), and all that depends on the order is put into the recipe's.
"""

from __future__ import annotations

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from tfmm.models import adamml
from tfmm.models import fusion
from tfmm.weights import torch_names
from tfmm.weights import transfer as transfer_lib

# (input channels of recognition networks, of the policy's) -> recipe.
_RECIPES = {
    (main, looks): f'gin_configs/{name}.gin' for main, looks, name in (
        ((3,), (), 'rgb'), ((10,), (), 'flow'), ((1,), (), 'audio'),
        ((15,), (), 'rgb_difference'), ((1, 3), (), 'fusion'),
        ((3, 10), (), 'fusion_rgb_flow'), ((3, 15), (), 'fusion_rgb_difference'),
        ((1, 3, 10), (), 'fusion_rgb_flow_audio'), ((1, 3), (1, 3), 'adamml'),
        ((3, 10), (3, 10), 'adamml_rgb_flow'),
        ((3, 10), (3, 15), 'adamml_rgb_flow_difference'),
        ((1, 3, 10), (1, 3, 10), 'adamml_rgb_flow_audio'),
        ((1, 3, 10), (1, 3, 15), 'adamml_rgb_flow_audio_difference'))}
_INITIAL_TEMPERATURE, _TEMPERATURE_FACTOR = 5., .965  # the authors' code


def num_classes(arrays: Mapping[str, np.ndarray], source: str) -> int:
  """Classes of a file's recognition network."""
  transfer = transfer_lib.Transfer(arrays, source)
  main, _ = _roots(transfer)
  prefix = '' if main is None else f'{main}0.'
  return transfer.shape(f'{torch_names.classifier(transfer, prefix)}.weight')[0]


def input_channels(arrays: Mapping[str, np.ndarray], source: str
                   ) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Of the recognition networks and of the policy's, in the file's order."""
  return _input_channels(transfer_lib.Transfer(arrays, source))


def _input_channels(transfer) -> tuple[tuple[int, ...], tuple[int, ...]]:
  main, policy = _roots(transfer)
  if main is None:
    return (torch_names.stem_channels(transfer),), ()
  return _channels(transfer, main), _channels(transfer, policy) if policy else ()


def fill(model: fusion.LateFusion, arrays: Mapping[str, np.ndarray], source: str, *,
         class_order: list[int] | None = None):
  """Fills a whole model: one modality, late fusion or AdaMML.

  Args:
    model: with the file's number of classes.
    arrays: of `torch_names.state_dict`.
    source: the file, for messages.
    class_order: for each class of the model, its number in the file; None if equal.

  Raises:
    ValueError: naming the first array or variable that has no counterpart.
  """
  transfer = transfer_lib.Transfer(arrays, source)
  _check_kind(model, transfer)
  main, policy = _roots(transfer)
  if main is None:
    nets = {m: '' for m in model.modalities}
    order = [0]
  else:
    # order[m]: number in the file of our modality m.
    order = _match(transfer, main, [_channels_of(e.backbone)
                                    for e in model.encoders.values()])
    nets = {m: f'{main}{i}.' for m, i in zip(model.modalities, order)}
  for modality, prefix in nets.items():
    torch_names.fill_encoder(transfer, prefix, model.encoders[modality].backbone)
    _fill_classifier(transfer, prefix, model.classifiers[modality], class_order)
  if len(order) > 1:
    _fill_fusion(transfer, model, order, class_order)
  if policy:
    _fill_policy(transfer, policy, model.policy, order)
  temperature = getattr(model, 'temperature', None)
  transfer.finish(v for v in model.variables if v is not temperature)


def _roots(transfer) -> tuple[str | None, str | None]:
  """What stands before the numbers of recognition and policy networks, or None.

  ('main_net.nets.', 'policy_net.joint_net.nets.') in the released files.
  """
  found = {match[1] for name in transfer.names
           if (match := re.match(r'((?:.*\.)?nets\.)\d+\.', name))}
  policy = {r for r in found
            if f'{r.removesuffix("nets.")}joint.0.weight' in transfer.names}
  main = found - policy
  if len(main) > 1 or len(policy) > 1 or policy and not main:
    raise ValueError(
        f'{transfer.source} has networks under {sorted(found)}; expected one list of '
        'recognition networks and at most one beside a policy\'s layers `joint`.')
  return next(iter(main), None), next(iter(policy), None)


def _check_kind(model, transfer):
  """The file and the recipe have the same parts."""
  theirs = _input_channels(transfer)
  kind = ('AdaMML' if theirs[1] else
          'late fusion' if len(theirs[0]) > 1 else 'one modality')
  ours = tuple(_channels_of(e.backbone) for e in model.encoders.values())
  looks = ()
  if isinstance(model, adamml.AdaMML):
    looks = tuple(map(_channels_of, model.policy.encoders.values()))
  if tuple(map(sorted, theirs)) != tuple(map(sorted, (ours, looks))):
    raise ValueError(
        f'{transfer.source} is {kind} with input channels {_listed(theirs)}, and the '
        f'recipe has {_listed((ours, looks))}; give the recipe of these modalities '
        '(3 is RGB, 10 flow, 15 RGB difference, 1 sound), '
        f'--gin_file={recipe(theirs) or "..."}')


def recipe(channels: tuple[tuple[int, ...], tuple[int, ...]]) -> str | None:
  """The recipe of the networks that `input_channels` tells of, or None.

  Of depth 50, as all released files are.
  """
  main, looks = (tuple(sorted(part)) for part in channels)
  return _RECIPES.get((main, looks))


def _listed(channels) -> str:
  main, looks = channels
  return f'{list(main)} (policy: {list(looks)})' if looks else f'{list(main)}'


def _channels(transfer, root: str) -> tuple[int, ...]:
  """Input channels of the networks under a root."""
  numbers = {int(match[1]) for name in transfer.names
             if (match := re.match(rf'{re.escape(root)}(\d+)\.', name))}
  return tuple(torch_names.stem_channels(transfer, f'{root}{i}.')
               for i in range(len(numbers)))


def _channels_of(encoder) -> int:
  return encoder.row_spec.shape[-1]


def _match(transfer, root: str, wanted: list[int]) -> list[int]:
  """For each of our networks, the number in the file of the one with its channels."""
  theirs = _channels(transfer, root)
  if len(set(wanted)) < len(wanted):
    raise ValueError(
        f'{transfer.source}: networks {wanted} of the recipe have the same number of '
        'input channels, so it cannot be told which is which.')
  return [theirs.index(channels) for channels in wanted]


def _fill_classifier(transfer, prefix: str, layer, class_order):
  name = torch_names.classifier(transfer, prefix)
  rows = slice(None) if class_order is None else class_order
  transfer.put(transfer.take(f'{name}.weight')[rows].T, layer.kernel, f'{name}.weight')
  transfer.put(transfer.take(f'{name}.bias')[rows], layer.bias, f'{name}.bias')


def _fill_fusion(transfer, model, order: list[int], class_order):
  """The weight of each modality; a file without weights takes the mean."""
  name = _the_one(transfer, 'lf_weights')
  kind, free = model.fusion.fusion, model.fusion.free_weights
  if kind == 'max' or name is not None and free is None:
    raise ValueError(
        f'{transfer.source} {"has" if name else "takes the mean without"} weights of '
        f"fusion, and the recipe's fusion is {kind!r}; set it to 'weighted'.")
  if free is None:
    return
  if name is None:
    weights = np.full([len(order), *free.shape[1:]], 1 / len(order))
  else:
    given = transfer.take(name).astype(np.float64)
    weights = np.concatenate([given, 1 - given.sum(axis=0, keepdims=True)])
    if weights.ndim == 2 and class_order is not None:
      weights = weights[:, class_order]
  if len(weights) != len(order):
    raise ValueError(
        f'{transfer.source}: {name} has {len(given)} weights for {len(order)} '
        'modalities; it must have one fewer.')
  transfer.put(weights[order][:-1], free, name or 'the mean of the modalities')


def _fill_policy(transfer, root: str, policy: adamml.Policy, order: list[int]):
  """The policy network; `order` is that of the decisions."""
  looks = list(policy.encoders.values())
  look_order = _match(transfer, root, [_channels_of(e) for e in looks])
  for encoder, j in zip(looks, look_order):
    torch_names.fill_encoder(transfer, f'{root}{j}.', encoder)
  joint = root.removesuffix('nets.') + 'joint.'
  # Columns of the joint layer: the features of one look after the other.
  dims = [e.feature_dim for _, e in sorted(zip(look_order, looks), key=lambda p: p[0])]
  starts = np.cumsum([0, *dims])
  columns = np.concatenate([np.arange(starts[j], starts[j + 1]) for j in look_order])
  kernel = transfer.take(f'{joint}0.weight')
  if kernel.shape[1] != len(columns):
    raise ValueError(
        f'{transfer.source}: {joint}0.weight reads {kernel.shape[1]} features, and the '
        f'recipe\'s policy has {len(columns)}.')
  transfer.put(kernel[:, columns].T, policy.joint[0].kernel, f'{joint}0.weight')
  transfer.copy(f'{joint}0.bias', policy.joint[0].bias)
  transfer.copy(f'{joint}2.weight', policy.joint[1].kernel, transfer_lib.linear)
  transfer.copy(f'{joint}2.bias', policy.joint[1].bias)
  if policy.cell is not None:
    _fill_lstm(transfer, policy.cell, _pairs(order))
  _fill_heads(transfer, policy.heads, order)


def _pairs(order: list[int]) -> list[int]:
  """Places of (skip, run) of each modality in a row of all logits."""
  return [place for i in order for place in (2 * i, 2 * i + 1)]


def _fill_lstm(transfer, cell, pairs: list[int]):
  """Gates are input, forget, cell, output on both sides; two biases become one."""
  name = _needed(
      transfer, 'weight_ih', 'LSTM', 'set adamml.Policy.lstm_units = None')
  layer = name.removesuffix('weight_ih')
  weight = transfer.take(name)  # [4 units, inputs + logits]
  width = weight.shape[1]
  if cell.feedback_kernel is not None:
    width -= len(pairs)
    transfer.put(
        weight[:, width:][:, pairs].T, cell.feedback_kernel, f'{name} (logits)')
  transfer.put(weight[:, :width].T, cell.kernel, name)
  transfer.copy(f'{layer}weight_hh', cell.recurrent_kernel, transfer_lib.linear)
  bias = transfer.take(f'{layer}bias_ih') + transfer.take(f'{layer}bias_hh')
  transfer.put(bias, cell.bias, f'{layer}bias_ih')


def _fill_heads(transfer, heads, order: list[int]):
  name = _needed(transfer, 'fcs.0.weight', 'heads of the policy',
                 'a random policy cannot be converted')
  root = name.removesuffix('0.weight')
  weights, biases = (
      np.concatenate([transfer.take(f'{root}{i}.{kind}') for i in order])
      for kind in ('weight', 'bias'))
  transfer.put(weights.T, heads.kernel, name)
  transfer.put(biases, heads.bias, f'{root}0.bias')


def temperature(content: Any) -> tuple[float | None, str]:
  """Of the Gumbel-softmax when a file was written, and how that is known.

  It is no part of the model. Later code stores it; of earlier files the stage and the
  epoch tell: it is 5 * 0.965 ** (epoch - 1) in the epochs of alternating training.

  Args:
    content: of the file.

  Returns:
    (None, why) if it cannot be told.
  """
  if not isinstance(content, Mapping):
    return None, 'the file does not tell'
  stored, stage, epoch = (content.get(k) for k in ('temperature', 'stage', 'epoch'))
  if isinstance(stored, (int, float)) and stored > 0:
    return float(stored), 'stored in the file'
  if stage == 'warmup':
    return _INITIAL_TEMPERATURE, 'that of the warm-up'
  if stage == 'finetune' or not isinstance(epoch, int) or epoch < 1:
    return None, 'the file does not tell'
  return (_INITIAL_TEMPERATURE * _TEMPERATURE_FACTOR ** (epoch - 1),
          f'of epoch {epoch} of alternating training')


def _needed(transfer, ending: str, what: str, advice: str) -> str:
  """The only name with this ending."""
  name = _the_one(transfer, ending)
  if name is None:
    raise ValueError(f'{transfer.source} has no {what} ({ending}); {advice}.')
  return name


def _the_one(transfer, ending: str) -> str | None:
  """The only name with this ending, or None."""
  found = [n for n in transfer.names if n == ending or n.endswith(f'.{ending}')]
  if len(found) > 1:
    raise ValueError(
        f'{transfer.source} has {found[0]} and {found[1]}; one of {ending!r} is '
        'expected.')
  return found[0] if found else None
