"""A run on features: trained, rebuilt and measured under budgets."""

import json

from absl import flags
import pytest

from tests import gin_configs_test
from tests.data import features_test
from tfmm import train
from tfmm import trained_run
from tfmm.data import feature_spec
from tfmm.training import evaluation

RECIPE = gin_configs_test.GIN / 'demo_hms.gin'


@pytest.fixture(scope='module')
def model_dir(tmp_path_factory):
  """A run of the command, on features of three steps."""
  folder = tmp_path_factory.mktemp('run')
  for name in ('audio', 'rgb', 'motion'):
    features_test.write(folder / 'features' / name, name, [3] * 7, dim=3)
  values = flags.FlagValues()
  train.define_flags(values)
  params = [*gin_configs_test.tiny_params(RECIPE.read_text()),
            'phases.gated_phases.epochs = 2', "loop.train.validation_split = ''"]
  train.main(values([
      'train', f'--gin_file={RECIPE}', f'--data_dir={folder}/features',
      f'--model_dir={folder}/run', '--batch_size=3',
      *(f'--gin_param={p}' for p in params)]), values)
  return folder / 'run'


def test_is_complete_and_says_of_what_it_was_made(model_dir):
  assert json.loads((model_dir / 'COMPLETED').read_text())['step'] == 4
  info = json.loads((model_dir / 'run.json').read_text())
  assert info['modalities'] == ['rgb', 'audio', 'motion']
  assert info['labels'] == ['a', 'b', 'c']
  assert info['data_options']['motion']['dimensions'] == 3


def test_is_measured_also_under_budgets(model_dir):
  run = trained_run.load(str(model_dir))
  assert isinstance(run.dataset, feature_spec.FeatureSpec)
  least = 1.01 * run.model.least_budget()
  metrics, decisions = evaluation.evaluate(
      run, split='train', batch_size=4, timed_batches=0, budgets=[least, float('inf')])
  assert metrics['num_videos'] == 7 and decisions.logits.shape == (7, 3)
  tight, free = metrics['budgets']
  assert tight['gflops_per_video'] <= least
  assert tight['selection_rate']['rgb'] == tight['selection_rate']['motion'] == 0
  assert free['gflops_per_video'] == metrics['gflops_per_video']


def test_fewer_steps_are_uniform(model_dir):
  """UNIFORM: the same run on fewer steps."""
  run = trained_run.load(
      str(model_dir), gin_params=['dataset.FeatureSpec.eval_segments = 1'])
  _, decisions = evaluation.evaluate(run, split='train', batch_size=7, timed_batches=0)
  assert decisions.ran.shape == (7, 1, 3)
