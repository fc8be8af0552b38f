"""Every recipe is built at tiny size and takes a step of each of its phases."""

import pathlib
import re

import pytest

from tests.training import tiny_run
from tfmm import config
from tfmm.training import loop

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / 'gin_configs').glob('*.gin'))

# Applied where the recipe names the configurable, in every scope that it uses.
TINY = {
    'dataset.RgbFrames': {'num_frames': 2, 'stride': 1, 'size': 32, 'short_side': 32,
                          'scale_range': (32, 36)},
    'dataset.RgbPreview': {'frames': (0,), 'size': 16},
    'dataset.LogSpectrogram': {'sample_rate': 8000, 'seconds': .16, 'n_fft': 63,
                               'window': 60, 'hop': 40},
    'dataset.DatasetSpec': {'num_segments': 2, 'shuffle_buffer': 4},
    'resnet.ResNet': {'depth': 18, 'width': 4, 'num_frames': 2, 'size': 32},
    'mobilenet.MobileNetV2': {'width_multiplier': .1, 'last_channels': 16, 'size': 32},
    'adamml.Policy': {'joint_dim': 8, 'lstm_units': 4},
}
TINY_PREVIEW = {'size': 16, 'num_frames': 1}


def tiny_params(text):
  """--gin_param that shrinks all that the recipe names."""
  for name, values in TINY.items():
    if not re.search(rf'\b{re.escape(name)}\b', text):
      continue
    scopes = set(re.findall(rf'^(\w+/){re.escape(name)}\.', text, re.M))
    for scope in sorted(scopes) or ['']:
      numbers = {**values, **(TINY_PREVIEW if scope == 'preview/' else {})}
      for key, value in numbers.items():
        yield f'{scope}{name}.{key} = {value!r}'


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(
      tmp_path_factory.mktemp('data'), splits=(('train', 4),))


@pytest.mark.slow
@pytest.mark.parametrize('path', RECIPES, ids=lambda p: p.stem)
def test_takes_a_step_of_each_phase(path, data_dir):
  config.load(str(path), list(tiny_params(path.read_text())), configurable=loop.train,
              overrides=[
                  config.Override('data_dir', 'DATA_DIR', 'data_dir', data_dir),
                  config.Override('model_dir', 'MODEL_DIR', 'model_dir', '')])
  result = config.call(loop.train, dry_run=True, recipe=config.recipe)
  assert len(result['phases']) == (4 if 'adamml' in path.stem else 1)
  assert all(v['loss'] > 0 for v in result['phases'].values())


@pytest.mark.parametrize('path', RECIPES, ids=lambda p: p.stem)
def test_style(path):
  text = path.read_text()
  assert 'from __gin__ import dynamic_registration' in text
  assert text.startswith('# ') and f'--gin_file=gin_configs/{path.name}' in text
  assert text.index('# Required') < text.index('# Commonly overridden')
  for included in re.findall(r"^include '(.*)'", text, re.M):
    assert re.match(r'gin_configs/(data|run)/', included), 'no recipe is included'
  assert max(map(len, text.splitlines())) <= 88


def test_the_papers_numbers():
  text = (ROOT / 'gin_configs' / 'adamml.gin').read_text()
  for line in (
      'BATCH_SIZE = 72', 'num_segments = 5', 'eval_segments = 10', 'depth = 50',
      'RgbPreview.size = 160', 'joint_dim = 2048', 'lstm_units = 256',
      "weights = {'rgb': 1.0, 'audio': 0.05}", 'wrong_penalty = 10.0',
      'warm_up_epochs = 5', 'alternating_epochs = 20', 'fine_tune_epochs = 10',
      'initial_temperature = 5.0', 'temperature_factor = 0.965', 'n_fft = 511',
      "policy/optimizers.OptimizerSpec.name = 'adam'",
      'policy/optimizers.OptimizerSpec.learning_rate = 0.01',
      'recognition/optimizers.OptimizerSpec.learning_rate = 0.001'):
    assert line in text


def test_weighted_fusion_trains_as_long_as_adamml_does():
  """Section 4.1: all baselines have the same start and number of epochs."""
  adamml, fusion = ((ROOT / 'gin_configs' / f'{name}.gin').read_text()
                    for name in ('adamml', 'fusion'))
  stages = re.findall(r'(?:warm_up|alternating|fine_tune)_epochs = (\d+)', adamml)
  epochs, = re.findall(r'single_phase.epochs = (\d+)', fusion)
  assert len(stages) == 3 and sum(map(int, stages)) == int(epochs)
