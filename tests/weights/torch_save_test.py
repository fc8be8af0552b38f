"""Files that PyTorch itself writes. Skipped without it."""

import collections

import numpy as np
import pytest

from tfmm.weights import torch_file

torch = pytest.importorskip('torch')
both = pytest.mark.parametrize('new', [True, False], ids=['archive', 'legacy'])


def save(tmp_path, content, new):
  path = str(tmp_path / 'x.pth.tar')
  torch.save(content, path, _use_new_zipfile_serialization=new)
  return path


@both
def test_a_training_checkpoint(tmp_path, new):
  torch.manual_seed(0)
  net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
  optimizer = torch.optim.SGD(net.parameters(), .1, momentum=.9)
  adam = torch.optim.Adam(net.parameters(), .1)
  scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10, 15])
  net(torch.randn(2, 3, 5, 5)).sum().backward()
  for part in (optimizer, adam, scheduler):
    part.step()
  path = save(tmp_path, {
      'epoch': 21, 'arch': 'adamml', 'state_dict': net.state_dict(),
      'best_top1': torch.tensor(81.5), 'top5': np.float64(95.25),
      'count': np.int64(7), 'optimizer': optimizer.state_dict(),
      'p_optimizer': adam.state_dict(), 'scheduler': scheduler.state_dict(),
      'temperature': 2.5}, new)
  read = torch_file.read(path)
  assert read['epoch'] == 21 and read['temperature'] == 2.5
  assert float(read['best_top1']) == 81.5
  assert (read['top5'], read['count']) == (95.25, 7)
  assert list(read['state_dict']) == list(net.state_dict())
  for name, value in net.state_dict().items():
    np.testing.assert_array_equal(read['state_dict'][name], value.numpy())
  np.testing.assert_array_equal(
      read['optimizer']['state'][0]['momentum_buffer'],
      optimizer.state_dict()['state'][0]['momentum_buffer'].numpy())


@both
def test_all_types_and_views(tmp_path, new):
  base = torch.arange(24.).reshape(2, 3, 4)
  content = collections.OrderedDict(
      transposed=base.permute(2, 0, 1), part=base[1, 1:, ::2], empty=torch.zeros(0, 3),
      expanded=torch.ones(3, 1).expand(3, 5), parameter=torch.nn.Parameter(base))
  for kind in ('float16', 'float32', 'float64', 'int8', 'uint8', 'int16', 'int32',
               'int64', 'bool'):
    content[kind] = (base % 2).to(getattr(torch, kind))
  read = torch_file.read(save(tmp_path, content, new))
  for name, value in content.items():
    expected = value.detach().numpy()
    assert read[name].dtype == expected.dtype
    np.testing.assert_array_equal(read[name], expected, err_msg=name)


@both
def test_bfloat16(tmp_path, new):
  values = torch.randn(50).to(torch.bfloat16)
  read = torch_file.read(save(tmp_path, {'x': values}, new))
  np.testing.assert_array_equal(read['x'], values.float().numpy())


@both
def test_whole_modules_are_refused(tmp_path, new):
  with pytest.raises(ValueError, match='wants to run torch.nn.modules'):
    torch_file.read(save(tmp_path, {'model': torch.nn.Linear(2, 2)}, new))
