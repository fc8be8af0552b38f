import json
import pathlib

from absl import flags
import convert_resnet_checkpoint
import numpy as np
import pytest

from tests import gin_configs_test
from tests.training import tiny_run
from tests.weights import torch_networks
from tests.weights import torch_writer
from tfmm import config
from tfmm import trained_run
from tfmm.training import checkpoints
from tfmm.training import loop

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def recipe(name):
  path = ROOT / 'gin_configs' / f'{name}.gin'
  params = gin_configs_test.tiny_params(gin_configs_test.whole(path))
  return [f'--gin_file={path}', *(f'--gin_param={p}' for p in params)]


def convert(*arguments):
  values = flags.FlagValues()
  convert_resnet_checkpoint.define_flags(values)
  rest = values(['convert_resnet_checkpoint', *map(str, arguments)])
  convert_resnet_checkpoint.main(rest, values)


def image_net(tmp_path, kind, **options):
  made = torch_networks.Arrays()
  getattr(made, kind)('', 3, classes=1000, **options)
  return made, torch_writer.write_legacy(tmp_path / 'net.pth', dict(made))


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(
      tmp_path_factory.mktemp('data'), splits=(('train', 4),))


def test_training_starts_from_image_nets_weights(tmp_path, data_dir, capsys):
  made, path = image_net(tmp_path, 'resnet18')
  run = tmp_path / 'run'
  convert(path, f'--output_dir={run}', f'--data_dir={data_dir}', *recipe('rgb'))
  assert f'--init_from={run}' in capsys.readouterr().out
  started = trained_run.load(str(run)).model
  assert started.num_classes == 3
  first = started.classifiers['rgb'].kernel.numpy()
  encoder = started.encoders['rgb'].backbone
  for variable in encoder.variables:
    variable.assign(variable * 0)
  checkpoints.initialize_from(started, [str(run)])
  np.testing.assert_array_equal(
      encoder.layer4[1].bn2.moving_variance, made['layer4.1.bn2.running_var'])
  # The command itself, for a step.
  params = [p.split('=', 1)[1] for p in recipe('rgb')[1:]]
  config.load(
      str(ROOT / 'gin_configs' / 'rgb.gin'),
      [*params, 'phases.single_phase.epochs = 1'], configurable=loop.train,
      overrides=[config.Override('data_dir', 'DATA_DIR', 'data_dir', data_dir),
                 config.Override('model_dir', 'MODEL_DIR', 'model_dir',
                                 str(tmp_path / 'trained')),
                 config.Override('batch_size', 'BATCH_SIZE', 'batch_size', 4),
                 config.Override('init_from', 'INIT_FROM', 'init_from', (str(run),))])
  assert config.call(loop.train, recipe=config.recipe)['step'] == 1
  trained = trained_run.load(str(tmp_path / 'trained')).model
  moved = trained.encoders['rgb'].backbone.conv1.kernel
  expected = made['conv1.weight'].transpose(2, 3, 1, 0)
  assert 0 < np.abs(moved - expected).max() < .1
  assert np.abs(trained.classifiers['rgb'].kernel - first).max() < .1


def test_sound_from_a_picture_network(tmp_path, capsys):
  made, path = image_net(tmp_path, 'mobilenet')
  names = tmp_path / 'names.txt'
  names.write_text('a\nb\n')
  convert(path, f'--output_dir={tmp_path}/run', f'--labels={names}', *recipe('audio'))
  assert '1 times the mean filter' in capsys.readouterr().out
  run = trained_run.load(f'{tmp_path}/run')
  assert run.labels == ('a', 'b')
  np.testing.assert_allclose(
      run.model.encoders['audio'].backbone.stem.conv.kernel[:, :, 0],
      made['features.0.0.weight'].mean(1).transpose(1, 2, 0), rtol=1e-6, atol=1e-7)
  assert json.loads(
      (tmp_path / 'run' / 'run.json').read_text())['converted_from'] == {'file': path}


def test_the_classifiers_values_are_those_of_the_seed(tmp_path):
  _, path = image_net(tmp_path, 'mobilenet', in_a_row=True)
  names = tmp_path / 'names.txt'
  names.write_text('a\nb\n')
  kernels = []
  for i, seed in enumerate((0, 0, 1)):
    run = f'{tmp_path}/run{i}'
    convert(path, f'--output_dir={run}', f'--labels={names}', f'--seed={seed}',
            *recipe('audio'))
    kernels.append(trained_run.load(run).model.classifiers['audio'].kernel.numpy())
  np.testing.assert_array_equal(kernels[0], kernels[1])
  assert not np.array_equal(kernels[0], kernels[2])


@pytest.mark.parametrize('more, says', [
    ((), 'give --data_dir=DATA or'),
    (('--labels=nowhere.txt',), 'nowhere.txt'),
    (('--gin_param=rgb/resnet.ResNet.width = 8',), 'give --data_dir')])
def test_mistakes_are_one_line(tmp_path, more, says):
  _, path = image_net(tmp_path, 'resnet18')
  with pytest.raises(SystemExit, match=says) as told:
    convert(path, f'--output_dir={tmp_path}/run', *recipe('rgb'), *more)
  assert '\n' not in str(told.value)


def test_a_recipe_of_several_modalities_is_refused(tmp_path, data_dir):
  _, path = image_net(tmp_path, 'resnet18')
  with pytest.raises(SystemExit, match='has the modalities rgb, audio; give one'):
    convert(path, f'--output_dir={tmp_path}/run', f'--data_dir={data_dir}',
            *recipe('fusion'))
