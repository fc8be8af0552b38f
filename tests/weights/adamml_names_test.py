"""Random files in the authors' layout, put into tiny models."""

import functools
import pathlib

import numpy as np
import pytest

from tests import tiny_models
from tests.weights import torch_networks
from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.layers import gated_encoder
from tfmm.models import adamml
from tfmm.weights import adamml_names
from tfmm.weights import torch_names


def arrays_of(made):
  return torch_names.state_dict(dict(made), 'x.pth')


def look(channels):
  return mobilenet.MobileNetV2(
      num_frames=2, size=16, in_channels=channels, row_dtype='float32',
      normalization='none', width_multiplier=.1, last_channels=16)


def three_modalities():
  """RGB, flow and audio; the policy sees RGB differences in place of flow."""
  flow = resnet.ResNet(depth=18, num_frames=2, size=32, width=4, in_channels=10,
                       normalization='flow')
  policy = functools.partial(
      adamml.Policy, joint_dim=16, lstm_units=8, encoders={
          'rgb_preview': look(3), 'rgb_difference': look(15),
          'spectrogram': tiny_models.spectrogram_backbone()})
  return adamml.AdaMML(
      encoders={
          'rgb': tiny_models.rgb_encoder(),
          'flow': gated_encoder.GatedEncoder(flow, view='flow'),
          'audio': tiny_models.audio_encoder()},
      policy=policy, num_classes=tiny_models.NUM_CLASSES)


@pytest.fixture(scope='module')
def model():
  """Filled anew by each test."""
  return tiny_models.ada_mml()


def answers(model, arrays, **options):
  adamml_names.fill(model, arrays, 'x.pth', **options)
  said = model(tiny_models.batch(model))
  return said.logits.numpy(), said.extras['gate_logits'].numpy()


def test_values(model):
  arrays = arrays_of(torch_networks.adamml((3, 1)))
  adamml_names.fill(model, arrays, 'x.pth')
  cell, kernel = model.policy.cell, arrays['policy_net.lstm.weight_ih']
  np.testing.assert_array_equal(cell.kernel, kernel[:, :16].T)
  np.testing.assert_array_equal(cell.feedback_kernel, kernel[:, 16:].T)
  np.testing.assert_allclose(
      cell.bias, arrays['policy_net.lstm.bias_ih'] + arrays['policy_net.lstm.bias_hh'])
  np.testing.assert_array_equal(
      model.policy.heads.kernel[:, 2:], arrays['policy_net.fcs.1.weight'].T)
  np.testing.assert_array_equal(
      model.policy.joint[1].kernel, arrays['policy_net.joint_net.joint.2.weight'].T)
  np.testing.assert_array_equal(
      model.classifiers['audio'].kernel,
      arrays['main_net.nets.1.classifier.1.weight'].T)
  np.testing.assert_array_equal(
      model.classifiers['rgb'].bias, arrays['main_net.nets.0.fc.bias'])
  first = arrays['main_net.lf_weights'][0]
  np.testing.assert_allclose(
      model.fusion.weights_per_modality(), [first, 1 - first], rtol=1e-6)


def test_two_modalities_in_either_order(model):
  arrays = arrays_of(torch_networks.adamml((3, 1)))
  logits, gate_logits = answers(model, arrays)
  assert np.ptp(gate_logits, axis=(0, 1)).min() > 1e-3  # the policy looks
  other = torch_networks.reordered(arrays, (1, 0))
  assert not np.array_equal(other['policy_net.lstm.weight_ih'],
                            arrays['policy_net.lstm.weight_ih'])
  again, gate_again = answers(model, other)
  np.testing.assert_allclose(again, logits, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(gate_again, gate_logits, rtol=1e-5, atol=1e-6)


def test_rgb_audio_flow_with_differences_as_proxy():
  """The order of the authors' command for three modalities is not ours."""
  ours = arrays_of(torch_networks.adamml((3, 10, 1), looks=(3, 15, 1)))
  three = three_modalities()
  assert three.modalities == ('rgb', 'flow', 'audio')
  logits, gate_logits = answers(three, ours)
  weights = three.fusion.weights_per_modality()
  theirs = torch_networks.reordered(ours, (0, 2, 1))
  assert adamml_names.input_channels(theirs, 'x.pth') == ((3, 1, 10), (3, 1, 15))
  # The policy's networks may stand in an order of their own: decision i is of
  # recognition network i, wherever the look at it stands.
  apart = torch_networks.reordered(ours, (2, 0, 1), look_order=(1, 2, 0))
  for arrays in (theirs, apart):
    again, gate_again = answers(three, arrays)
    np.testing.assert_allclose(again, logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gate_again, gate_logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        three.fusion.weights_per_modality(), weights, rtol=1e-5)


def test_names_with_other_roots(model):
  arrays = arrays_of(torch_networks.adamml((3, 1)))
  renamed = {}
  for name, array in arrays.items():
    name = name.replace('main_net.', '').replace('policy_net.joint_net.', 'policy.')
    renamed[name.replace('policy_net.lstm.', 'policy.lstm.0.')] = array
  expected, _ = answers(model, arrays)
  again, _ = answers(model, renamed)
  np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize('modality, channels', [('rgb', 3), ('audio', 1)])
def test_one_modality(modality, channels):
  made = torch_networks.Arrays()
  (made.resnet18 if channels == 3 else made.mobilenet)('', channels)
  arrays = arrays_of(made)
  assert adamml_names.num_classes(arrays, 'x.pth') == 5
  model = tiny_models.unimodal(modality)
  adamml_names.fill(model, arrays, 'x.pth')
  name = 'fc' if channels == 3 else 'classifier.1'
  np.testing.assert_array_equal(
      model.classifiers[modality].kernel, arrays[f'{name}.weight'].T)


@pytest.mark.parametrize('fusion', ['weighted', 'average'])
def test_late_fusion_without_weights_is_the_mean(fusion):
  made = torch_networks.Arrays()
  made.main_nets((1, 3))
  del made['main_net.lf_weights']
  model = tiny_models.late_fusion(fusion=fusion)
  adamml_names.fill(model, arrays_of(made), 'x.pth')
  np.testing.assert_allclose(model.fusion.weights_per_modality(), [.5, .5])


def test_weights_for_each_class():
  made = torch_networks.Arrays()
  made.main_nets((1, 3))
  made['main_net.lf_weights'] = np.linspace(.1, .9, 5, dtype=np.float32)[None]
  model = tiny_models.late_fusion(fusion='class_weighted')
  order = [4, 0, 3, 1, 2]
  adamml_names.fill(model, arrays_of(made), 'x.pth', class_order=order)
  weights = model.fusion.weights_per_modality().numpy()  # rgb, audio
  np.testing.assert_allclose(
      weights[1], made['main_net.lf_weights'][0][order], rtol=1e-6)
  np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-6)


def test_order_of_the_classes(model):
  arrays, order = arrays_of(torch_networks.adamml((3, 1))), [3, 1, 4, 0, 2]
  logits, _ = answers(model, arrays)
  again, _ = answers(model, arrays, class_order=order)
  np.testing.assert_allclose(again, logits[:, order], rtol=1e-6)


def test_every_recipe_that_may_be_meant_is_there():
  root = pathlib.Path(__file__).resolve().parent.parent.parent
  made = torch_networks.adamml((3, 1, 10), looks=(3, 1, 15))
  assert adamml_names.recipe(adamml_names.input_channels(made, 'x.pth')) == (
      'gin_configs/adamml_rgb_flow_audio_difference.gin')
  for channels in (((1, 3), (3, 1)), ((10, 3), ()), ((3, 10), (15, 3)), ((15,), ())):
    assert (root / adamml_names.recipe(channels)).exists()
  assert adamml_names.recipe(((7,), ())) is None


def test_other_recipes_are_refused(model):
  whole = arrays_of(torch_networks.adamml((3, 1)))
  with pytest.raises(ValueError, match='x.pth is AdaMML with input channels .3, 1. '
                     r'\(policy: \[3, 1\]\), and the recipe has \[3\]; .*adamml.gin'):
    adamml_names.fill(tiny_models.unimodal(), whole, 'x.pth')
  made = torch_networks.Arrays()
  made.mobilenet('', 1)
  with pytest.raises(ValueError, match=r'gin_file=gin_configs/audio.gin'):
    adamml_names.fill(model, arrays_of(made), 'x.pth')
  average = tiny_models.late_fusion(fusion='average')
  made = torch_networks.Arrays()
  made.main_nets((3, 1))
  with pytest.raises(ValueError, match="fusion is 'average'; set it to 'weighted'"):
    adamml_names.fill(average, arrays_of(made), 'x.pth')


@pytest.mark.parametrize('name, says', [
    ('policy_net.lstm.weight_ih', 'no LSTM'), ('policy_net.fcs.0.weight', 'no heads'),
    ('policy_net.lstm.bias_hh', 'has no policy_net.lstm.bias_hh'),
    ('main_net.nets.1.classifier.1.weight', 'no classifier'),
    ('main_net.nets.1.features.2.conv.0.1.bias', 'has no main_net.nets.1.features.2')])
def test_what_is_missing_is_told(model, name, says):
  arrays = arrays_of(torch_networks.adamml((3, 1)))
  del arrays[name]
  with pytest.raises(ValueError, match=says):
    adamml_names.fill(model, arrays, 'x.pth')


@pytest.mark.parametrize('name, says', [
    ('policy_net.temporal.weight', 'x.pth holds policy_net.temporal.weight'),
    ('other.lf_weights', 'other.lf_weights; one of'),
    ('third.nets.0.conv1.weight', r"under \['main_net.nets.', 'policy_net"),
    ('policy_net.fcs.2.weight', 'holds policy_net.fcs.2.weight')])
def test_what_is_too_much_is_told(model, name, says):
  arrays = arrays_of(torch_networks.adamml((3, 1)))
  with pytest.raises(ValueError, match=says):
    adamml_names.fill(model, {**arrays, name: np.ones(1, np.float32)}, 'x.pth')


@pytest.mark.parametrize('content, expected', [
    ({'temperature': 3.25, 'epoch': 9}, 3.25),
    ({'epoch': 1}, 5.), ({'epoch': 21}, 5 * .965**20),
    ({'epoch': 3, 'stage': 'warmup'}, 5.),
    ({'epoch': 3, 'stage': 'alternative_training'}, 5 * .965**2),
    ({'epoch': 3, 'stage': 'finetune'}, None), ({}, None), ({'epoch': 'x'}, None)])
def test_temperature(content, expected):
  value, told = adamml_names.temperature(content)
  assert value == (expected and pytest.approx(expected)) and told
