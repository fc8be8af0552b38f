"""From a file to a run that evaluate, export and training take, at tiny size."""

import json
import pathlib

from absl import flags
import convert_adamml_checkpoint
import numpy as np
import pytest
import tensorflow as tf

from tests import gin_configs_test
from tests import tiny_models
from tests.training import tiny_run
from tests.weights import torch_networks
from tests.weights import torch_writer
from tfmm import trained_run
from tfmm.training import checkpoints
from tfmm.training import evaluation
from tfmm.training import loop

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ADAMML = ROOT / 'gin_configs' / 'adamml.gin'
TINY = [*gin_configs_test.tiny_params(gin_configs_test.whole(ADAMML)),
        'adamml.Policy.joint_dim = 16', 'adamml.Policy.lstm_units = 8']
CLASSES = 3  # of tiny_run's data


def released(classes=CLASSES, order=(3, 1)):
  """What the authors' code saves."""
  arrays = torch_networks.adamml(order, classes=classes)
  return {'epoch': 18, 'arch': 'adamml', 'stage': 'alternative_training',
          'best_top1': np.array(80., np.float32),
          'state_dict': {f'module.{k}': v for k, v in arrays.items()},
          'optimizer': {'state': {}, 'param_groups': [{'lr': .001}]}}


def convert(*arguments):
  """The command in this process, with flags of its own."""
  values = flags.FlagValues()
  convert_adamml_checkpoint.define_flags(values)
  rest = values(['convert_adamml_checkpoint', *map(str, arguments)])
  convert_adamml_checkpoint.main(rest, values)


def tiny(params=TINY):
  return [f'--gin_param={p}' for p in params]


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(
      tmp_path_factory.mktemp('data'), splits=(('train', 4), ('test', 3)))


@pytest.fixture(scope='module')
def file(tmp_path_factory):
  path = tmp_path_factory.mktemp('file') / 'adamml.pth.tar'
  return torch_writer.write_legacy(path, released())


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, file, data_dir):
  run = tmp_path_factory.mktemp('runs') / 'converted'
  convert(file, f'--output_dir={run}', f'--data_dir={data_dir}', *tiny())
  return str(run)


def test_a_converted_run_has_what_a_trained_one_has(run_dir, data_dir, tmp_path, file):
  loop.train(data_dir=data_dir, model_dir=str(tmp_path), **{
      **tiny_run.unimodal_options(), 'validate_every': 0, 'batch_size': 2})
  trained = json.loads((tmp_path / 'run.json').read_text())
  converted = json.loads(pathlib.Path(run_dir, 'run.json').read_text())
  assert set(trained) <= set(converted)
  assert converted['labels'] == trained['labels']
  assert converted['data_options'] == trained['data_options']
  assert converted['converted_from'] == {
      'file': file, 'arch': 'adamml', 'epoch': 18, 'stage': 'alternative_training',
      'temperature': pytest.approx(5 * .965**17)}
  assert {'operative_config.gin', 'COMPLETED', 'ckpt-0.index', 'checkpoint'} <= {
      p.name for p in pathlib.Path(run_dir).iterdir()}


def test_it_is_evaluated(run_dir):
  run = trained_run.load(run_dir)
  assert run.modalities == ('rgb', 'audio') and run.step == 0
  np.testing.assert_allclose(
      run.model.classifiers['rgb'].kernel,
      released()['state_dict']['module.main_net.nets.0.fc.weight'].T)
  metrics, decisions = evaluation.evaluate(
      run, split='test', batch_size=3, timed_batches=0)
  assert metrics['num_videos'] == 3
  assert np.isfinite(decisions.logits).all()


def test_training_starts_from_it(run_dir):
  model = tiny_models.late_fusion()  # of five classes
  with pytest.raises(ValueError, match='same encoder, policy and number of classes'):
    checkpoints.initialize_from(model, [run_dir])
  run = trained_run.load(run_dir)
  before = [v.numpy() for v in run.model.encoders['audio'].variables]
  for variable in run.model.variables:
    variable.assign(tf.zeros_like(variable))
  checkpoints.initialize_from(run.model, [run_dir])
  for variable, value in zip(run.model.encoders['audio'].variables, before):
    np.testing.assert_array_equal(variable, value)


def test_labels_of_a_file_and_the_order_of_the_data(tmp_path, file, data_dir, capsys):
  labels = json.loads(pathlib.Path(data_dir, 'dataset_info.json').read_text())['labels']
  names = tmp_path / 'names.txt'
  names.write_text('\n'.join([labels[2], labels[0], labels[1]]) + '\n')
  convert(file, f'--output_dir={tmp_path}/run', f'--data_dir={data_dir}',
          f'--labels={names}', *tiny())
  assert 'in the order of' in capsys.readouterr().out
  run = trained_run.load(f'{tmp_path}/run')
  assert list(run.labels) == labels
  kernel = released()['state_dict']['module.main_net.nets.0.fc.weight']
  np.testing.assert_array_equal(
      run.model.classifiers['rgb'].kernel, kernel[[1, 2, 0]].T)


def test_without_names_it_says_how_to_give_them(tmp_path, file, capsys):
  convert(file, f'--output_dir={tmp_path}', *tiny())
  said = capsys.readouterr().out
  assert 'convert again with --labels=FILE' in said
  assert 'AdaMML of rgb, audio' in said
  assert 'temperature: 2.73, of epoch 18' in said
  info = json.loads((tmp_path / 'run.json').read_text())
  assert info['labels'] == ['class_0', 'class_1', 'class_2']
  # What an export wants to know of the records.
  assert (info['data_options']['frame_rate'], info['data_options']['short_side'],
          info['data_options']['sample_rate']) == (30, 256, 24000)


def test_one_modality_with_its_recipe(tmp_path):
  made = torch_networks.Arrays()
  made.mobilenet('', 1, classes=4)
  path = torch_writer.write_archive(tmp_path / 'sound.pth', {'state_dict': dict(made)})
  recipe = ROOT / 'gin_configs' / 'audio.gin'
  convert(path, f'--output_dir={tmp_path}/run', *tiny(
      gin_configs_test.tiny_params(gin_configs_test.whole(recipe))))
  assert trained_run.load(f'{tmp_path}/run').model.modalities == ('audio',)


def mistake(*arguments):
  with pytest.raises(SystemExit) as told:
    convert(*arguments)
  assert '\n' not in str(told.value)
  assert str(told.value).startswith('convert_adamml_checkpoint: ')
  return str(told.value)


def test_mistakes_are_one_line(tmp_path, file, data_dir, run_dir):
  out = f'--output_dir={tmp_path}/run'
  names = tmp_path / 'names.txt'
  names.write_text('a\nb\n')
  assert 'has 3 classes and' in mistake(file, out, f'--labels={names}', *tiny())
  names.write_text('a\nb\na\n')
  assert "the class 'a' twice" in mistake(file, out, f'--labels={names}', *tiny())
  names.write_text('x\ny\nz\n')
  assert "the same classes: '" in mistake(
      file, out, f'--labels={names}', f'--data_dir={data_dir}', *tiny())
  assert 'holds a run already' in mistake(file, f'--output_dir={run_dir}', *tiny())
  assert '0 files given' in mistake(out)
  assert 'nowhere.pth' in mistake('nowhere.pth', out)
  recipe = ROOT / 'gin_configs' / 'rgb.gin'
  assert 'the recipe has [3]; give' in mistake(
      file, out, f'--gin_file={recipe}',
      *tiny(gin_configs_test.tiny_params(gin_configs_test.whole(recipe))))
  assert 'make sizes, depth and channels' in mistake(
      file, out, *tiny(), '--gin_param=rgb/resnet.ResNet.width = 8')
  assert not pathlib.Path(f'{tmp_path}/run').exists()
