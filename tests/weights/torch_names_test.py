import numpy as np
import pytest
import tensorflow as tf

from tests.weights import torch_networks
from tfmm.encoders import efficientnet
from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.weights import torch_names
from tfmm.weights import transfer as transfer_lib


def make_resnet(channels=3):
  return resnet.ResNet(depth=18, num_frames=2, size=32, width=4, in_channels=channels,
                       normalization='imagenet' if channels % 3 == 0 else 'none')


def make_mobilenet(channels=3):
  return mobilenet.MobileNetV2(
      size=32, in_channels=channels, normalization='none', width_multiplier=.1,
      last_channels=16)


def arrays_of(kind, channels=3, **options):
  made = torch_networks.Arrays()
  getattr(made, kind)('', channels, **options)
  return torch_names.state_dict(dict(made), 'x.pth')


def fill(arrays, encoder, **options):
  transfer = transfer_lib.Transfer(arrays, 'x.pth', **options)
  torch_names.fill_encoder(transfer, '', encoder)
  transfer.finish(encoder.variables, unused=torch_names.is_classifier)


def test_resnet():
  arrays, encoder = arrays_of('resnet18'), make_resnet()
  fill(arrays, encoder)
  np.testing.assert_array_equal(
      encoder.conv1.kernel, arrays['conv1.weight'].transpose(2, 3, 1, 0))
  block = encoder.layer3[0]
  for name, variable in (
      ('layer3.0.bn2.running_var', block.bn2.moving_variance),
      ('layer3.0.bn2.running_mean', block.bn2.moving_mean),
      ('layer3.0.downsample.1.weight', block.downsample.norm.gamma),
      ('layer3.0.downsample.1.bias', block.downsample.norm.beta)):
    np.testing.assert_array_equal(variable, arrays[name])
  np.testing.assert_array_equal(
      block.downsample.conv.kernel[0, 0],
      arrays['layer3.0.downsample.0.weight'][..., 0, 0].T)
  np.testing.assert_array_equal(
      encoder.layer4[1].conv2.kernel[2, 0, 5, 7],
      arrays['layer4.1.conv2.weight'][7, 5, 2, 0])


@pytest.mark.parametrize('in_a_row', [False, True])
def test_mobilenet(in_a_row):
  arrays, encoder = arrays_of('mobilenet', in_a_row=in_a_row), make_mobilenet()
  fill(arrays, encoder)
  block = encoder.blocks[4]
  names = (['3', '4', '6', '7'] if in_a_row else ['1.0', '1.1', '2', '3'])
  depthwise, norm, project, last = (f'features.5.conv.{n}' for n in names)
  np.testing.assert_array_equal(
      block.depthwise.conv.depthwise_kernel[1, 2, :, 0],
      arrays[f'{depthwise}.weight'][:, 0, 1, 2])
  np.testing.assert_array_equal(block.depthwise.norm.gamma, arrays[f'{norm}.weight'])
  np.testing.assert_array_equal(
      block.project.conv.kernel[0, 0], arrays[f'{project}.weight'][..., 0, 0].T)
  np.testing.assert_array_equal(block.project.norm.beta, arrays[f'{last}.bias'])
  # The first block does not expand.
  first = 'features.1.conv.' + ('0' if in_a_row else '0.0')
  np.testing.assert_array_equal(
      encoder.blocks[0].depthwise.conv.depthwise_kernel[..., 0],
      arrays[f'{first}.weight'][:, 0].transpose(1, 2, 0))
  head = 'conv.0' if in_a_row else 'features.18.0'
  np.testing.assert_array_equal(
      encoder.head.conv.kernel[0, 0], arrays[f'{head}.weight'][..., 0, 0].T)


@pytest.mark.parametrize('kind, make, channels', [
    ('resnet18', make_resnet, 10), ('resnet18', make_resnet, 15),
    ('mobilenet', make_mobilenet, 1)])
def test_mean_filter_of_another_number_of_channels(kind, make, channels):
  arrays, encoder = arrays_of(kind), make(channels)
  fill(arrays, encoder, mean_filter=True)
  stem, name = ((encoder.conv1, 'conv1') if kind == 'resnet18'
                else (encoder.stem.conv, 'features.0.0'))
  expected = arrays[f'{name}.weight'].mean(1).transpose(1, 2, 0)
  for i in range(channels):
    np.testing.assert_allclose(stem.kernel[:, :, i], expected, rtol=1e-6, atol=1e-7)
  with pytest.raises(ValueError, match=r'x.pth: (conv1|features.0.0).weight'):
    fill(arrays, make(channels))


def test_every_array_and_every_variable_is_accounted_for():
  arrays = arrays_of('resnet18')
  with pytest.raises(ValueError, match='x.pth holds layer9.weight, which the recipe'):
    fill({**arrays, 'layer9.weight': np.zeros(1)}, make_resnet())
  short = {k: v for k, v in arrays.items() if k != 'layer2.1.bn1.running_var'}
  with pytest.raises(ValueError, match='x.pth has no layer2.1.bn1.running_var'):
    fill(short, make_resnet())
  encoder = make_resnet()
  transfer = transfer_lib.Transfer(arrays, 'x.pth')
  torch_names.fill_encoder(transfer, '', encoder)
  stranger = tf.Variable(1., name='stranger')
  with pytest.raises(ValueError, match='x.pth has nothing for stranger'):
    transfer.finish([*encoder.variables, stranger])


def test_other_networks_are_refused():
  with pytest.raises(ValueError, match=r'conv1.weight is for a variable of shape'):
    fill(arrays_of('resnet18', width=8), make_resnet())
  with pytest.raises(ValueError, match='has no conv1.weight'):
    fill(arrays_of('mobilenet'), make_resnet())
  with pytest.raises(ValueError, match='of the kind EfficientNet'):
    fill({}, efficientnet.EfficientNet.__new__(efficientnet.EfficientNet))
  with pytest.raises(ValueError, match='neither conv1.weight'):
    torch_names.stem_channels(transfer_lib.Transfer({'a': np.ones(2)}, 'x.pth'))


@pytest.mark.parametrize('wrap', [lambda d: d, lambda d: {'state_dict': d, 'epoch': 3}])
def test_state_dict(wrap):
  arrays = {'module.a': np.ones(2), 'module.bn.num_batches_tracked': np.array(3)}
  assert list(torch_names.state_dict(wrap(arrays), 'x.pth')) == ['a']
  assert list(torch_names.state_dict(wrap({'module.a': np.ones(2), 'b': np.ones(1)}),
                                     'x.pth')) == ['module.a', 'b']


@pytest.mark.parametrize('content', [{}, [1], {'epoch': 3}, {'state_dict': {'a': 1}}])
def test_no_state_dict(content):
  with pytest.raises(ValueError, match='x.pth holds no weights by name'):
    torch_names.state_dict(content, 'x.pth')
