"""Converted files against the same networks in PyTorch, at the released widths.

Pictures are small, so that this takes seconds; weights, batch statistics and inputs are
random. Skipped without PyTorch.
"""

import pathlib
import re

from absl import flags
import convert_adamml_checkpoint
import convert_resnet_checkpoint
import numpy as np
import pytest
import tensorflow as tf

from tfmm import trained_run
from tfmm.encoders import encoder as encoder_lib

torch = pytest.importorskip('torch')
nn = torch.nn
import torch_adamml  # pylint: disable=wrong-import-position

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VIDEOS, SEGMENTS, SIZE, FRAMES = 2, 3, 32, torch_adamml.FRAMES
CHANNELS = torch_adamml.CHANNELS
OURS = {'rgb': 'rgb', 'flow': 'flow', 'sound': 'audio'}
LOOKS = {'rgb': 'rgb_preview', 'flow': 'flow_preview',
         'rgbdiff': 'rgb_difference_preview'}


def small(recipe):
  """--gin_param that make all pictures of a recipe's networks small."""
  text = (ROOT / 'gin_configs' / f'{recipe}.gin').read_text()
  networks = set(re.findall(
      r'@(\w+/(?:resnet\.ResNet|mobilenet\.MobileNetV2))', text))
  assert networks
  return [f'--gin_param={name}.size = {SIZE}' for name in sorted(networks)]


@torch.no_grad()
def randomize(net, seed=0):
  """Other values than the initial ones everywhere; signals that keep their size."""
  torch.manual_seed(seed)
  for module in net.modules():
    if isinstance(module, nn.BatchNorm2d):
      module.running_mean.normal_(0, .2)
      module.running_var.uniform_(.5, 2)
      module.weight.uniform_(.7, 1.3)
      module.bias.normal_(0, .2)
    elif isinstance(module, nn.Conv2d):
      nn.init.kaiming_normal_(module.weight, mode='fan_in')
    elif isinstance(module, nn.Linear):
      nn.init.normal_(module.weight, 0, 1.5 * module.in_features ** -.5)
      nn.init.normal_(module.bias, 0, .3)
  return net.eval()


def tensor(pictures, normalization):
  """uint8 or float [..., H, W, C], 0..255 -> float [..., C, H, W], normalized."""
  if normalization != 'none':
    mean, deviation = map(np.array, encoder_lib.NORMALIZATIONS[normalization])
    repeats = pictures.shape[-1] // len(mean)
    pictures = (pictures / 255 - np.tile(mean, repeats)) / np.tile(deviation, repeats)
  return torch.from_numpy(np.moveaxis(pictures, -1, -3).astype(np.float32))


def inputs(modalities, looks):
  """A batch for tfmm, and views and looks in the file's order for PyTorch."""
  rng = np.random.default_rng(0)
  lead = (VIDEOS, SEGMENTS)
  batch = {'present': np.ones((*lead, len(modalities)), np.float32)}
  views, seen = [], []
  for name in modalities:
    if name == 'sound':
      view = rng.normal(size=(*lead, SIZE, SIZE, 1)).astype(np.float32)
      batch['spectrogram'] = view
      views.append(tensor(view[:, :, None], 'none'))
      continue
    shape = (*lead, FRAMES, SIZE, SIZE, CHANNELS[name])
    batch[name] = rng.integers(0, 256, shape, np.uint8)
    views.append(tensor(batch[name], 'flow' if name == 'flow' else 'imagenet'))
  for name in looks:
    if name == 'sound':
      seen.append(views[modalities.index('sound')])
      continue
    shape = (*lead, FRAMES // 2, SIZE, SIZE, CHANNELS[name])
    look = rng.uniform(0, 255, shape).astype(np.float32)
    batch[LOOKS[name]] = look
    seen.append(tensor(look, 'flow' if name == 'flow' else 'imagenet'))
  return {k: tf.constant(v) for k, v in batch.items()}, views, seen


def run_tool(tool, *arguments):
  values = flags.FlagValues()
  tool.define_flags(values)
  tool.main(values([tool.__name__, *map(str, arguments)]), values)


def assert_close(ours, theirs):
  """To 1e-4 of the largest one."""
  theirs = theirs.numpy()
  np.testing.assert_allclose(
      ours.numpy(), theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize('recipe, modalities, looks, new', [
    ('adamml', ('rgb', 'sound'), ('rgb', 'sound'), True),
    ('adamml_rgb_flow', ('rgb', 'flow'), ('rgb', 'flow'), True),
    ('adamml_rgb_flow_difference', ('rgb', 'flow'), ('rgb', 'rgbdiff'), False),
    ('adamml_rgb_flow_audio', ('flow', 'rgb', 'sound'), ('flow', 'rgb', 'sound'), True),
    ('adamml_rgb_flow_audio_difference', ('rgb', 'sound', 'flow'),
     ('rgb', 'sound', 'rgbdiff'), False)])
def test_adamml(tmp_path, capsys, recipe, modalities, looks, new):
  net = randomize(torch_adamml.AdaMML(modalities, looks))
  batch, views, seen = inputs(modalities, looks)
  with torch.no_grad():
    net.main_net.lf_weights.copy_(torch.tensor([.6, .3][:len(modalities) - 1]))
    # A policy that is undecided, so that some gates are open and some are not.
    scores = net.policy_net(seen)
    margins = (scores[..., 1] - scores[..., 0]).flatten(0, 1)
    for fc, margin in zip(net.policy_net.fcs, margins.median(0).values):
      fc.bias[0] += margin + .02
    logits, scores, _ = net(views, seen)
  path = str(tmp_path / 'adamml.pth.tar')
  torch.save({'epoch': 20, 'state_dict': nn.DataParallel(net).state_dict(),
              'best_top1': torch.tensor(80.)}, path,
             _use_new_zipfile_serialization=new)
  run_tool(convert_adamml_checkpoint, path, f'--output_dir={tmp_path}/run',
           *small(recipe))
  run = trained_run.load(f'{tmp_path}/run')
  order = [modalities.index(m) for m in OURS if m in modalities]
  assert run.modalities == tuple(OURS[modalities[i]] for i in order)
  said = run.model(batch)
  assert_close(said.extras['gate_logits'], scores[:, :, order])
  assert_close(said.logits, logits)
  assert 0 < said.ran.numpy().mean() < 1
  assert (scores[..., 1] - scores[..., 0]).abs().min() > 1e-4  # no gate by rounding


def test_image_network_as_a_start(tmp_path):
  net = randomize(torch_adamml.ResNet50(classes=1000, frames=1))
  torch.save(net.state_dict(), tmp_path / 'resnet50.pth')
  (tmp_path / 'labels.txt').write_text('a\nb\n')
  run_tool(convert_resnet_checkpoint, tmp_path / 'resnet50.pth',
           f'--output_dir={tmp_path}/run', f'--labels={tmp_path}/labels.txt',
           '--gin_file=gin_configs/rgb.gin', *small('rgb'))
  encoder = trained_run.load(f'{tmp_path}/run').model.encoders['rgb'].backbone
  pictures = np.random.default_rng(0).integers(
      0, 256, (2, FRAMES, SIZE, SIZE, 3), np.uint8)
  net.frames, net.fc = FRAMES, nn.Identity()
  with torch.no_grad():
    assert_close(encoder(tf.constant(pictures)), net(tensor(pictures, 'imagenet')))
