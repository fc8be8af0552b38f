import json
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags

from tests.training import tiny_run
from tfmm import train, trained_run

ROOT = pathlib.Path(__file__).resolve().parent.parent

RECIPE = '''
from __gin__ import dynamic_registration
from tests.training import tiny_run
from tfmm.losses import recognition
from tfmm.training import loop
from tfmm.training import optimizers
from tfmm.training import phases
DATA_DIR = %gin.REQUIRED
MODEL_DIR = %gin.REQUIRED
BATCH_SIZE = 4
loop.train.data_dir = %DATA_DIR
loop.train.model_dir = %MODEL_DIR
loop.train.batch_size = %BATCH_SIZE
loop.train.model = @tiny_run.unimodal
loop.train.dataset = @tiny_run.rgb_spec()
loop.train.phases = @phases.single_phase()
loop.train.optimizers = {'recognition': @optimizers.OptimizerSpec()}
phases.single_phase.loss = @recognition.CrossEntropy()
phases.single_phase.epochs = 1
'''


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(tmp_path_factory.mktemp('data'))


@pytest.fixture
def recipe(tmp_path):
  path = tmp_path / 'recipe.gin'
  path.write_text(RECIPE)
  return str(path)


def run(*arguments):
  """The command in this process, with flags of its own."""
  values = flags.FlagValues()
  train.define_flags(values)
  train.main(values(['train', *arguments]), values)


def failure(*arguments):
  """What the command says when it fails: one line, and exit code 1."""
  with pytest.raises(SystemExit) as error:
    run(*arguments)
  # sys.exit(text) writes the text to stderr and exits with 1.
  assert isinstance(error.value.code, str) and '\n' not in error.value.code
  return error.value.code


def test_train_then_load_the_run_from_its_directory_alone(recipe, data_dir, tmp_path):
  directory = str(tmp_path / 'run')
  run(f'--gin_file={recipe}', f'--data_dir={data_dir}', f'--model_dir={directory}',
      '--seed=7', '--gin_param=phases.single_phase.epochs = 2')
  assert json.loads((tmp_path / 'run' / 'COMPLETED').read_text())['step'] == 4
  os.remove(recipe)
  loaded = trained_run.load(directory)
  assert loaded.step == 4 and loaded.labels == ('a', 'b', 'c')
  assert loaded.modalities == ('rgb',) and loaded.data_dir == data_dir
  assert loaded.dataset == tiny_run.rgb_spec() and loaded.info['seed'] == 7
  assert trained_run.load(directory, 'best').step in (2, 4)
  assert trained_run.load(directory, data_dir='/moved').data_dir == '/moved'


def test_a_run_is_measured_in_another_way(recipe, data_dir, tmp_path):
  directory = str(tmp_path / 'run')
  run(f'--gin_file={recipe}', f'--data_dir={data_dir}', f'--model_dir={directory}')
  (tmp_path / 'wider.gin').write_text(
      'from __gin__ import dynamic_registration\nfrom tests.training import tiny_run\n'
      'tiny_run.unimodal.dropout = 0.5\n')
  loaded = trained_run.load(directory, gin_files=[str(tmp_path / 'wider.gin')])
  assert loaded.model.dropout.rate == .5
  loaded = trained_run.load(
      directory, gin_params=['tiny_run.unimodal.dropout = 0.25'])
  assert loaded.model.dropout.rate == .25
  assert trained_run.load(directory).model.dropout.rate == .2
  with pytest.raises(ValueError, match='single_phase.epochs is never read'):
    trained_run.load(directory, gin_params=['phases.single_phase.epochs = 3'])


def test_a_second_file_is_stronger(recipe, data_dir, tmp_path):
  (tmp_path / 'more.gin').write_text(
      'from __gin__ import dynamic_registration\nfrom tfmm.training import phases\n'
      'phases.single_phase.epochs = 2\nBATCH_SIZE = 2\n')
  run(f'--gin_file={recipe}', f'--gin_file={tmp_path}/more.gin',
      f'--data_dir={data_dir}', f'--model_dir={tmp_path}/run', '--batch_size=4')
  assert json.loads((tmp_path / 'run' / 'COMPLETED').read_text())['step'] == 4


def test_all_stages(data_dir, tmp_path):
  """A recipe trains what it starts from, starts from it, and goes on."""
  (tmp_path / 'start.gin').write_text(RECIPE)
  (tmp_path / 'main.gin').write_text(
      RECIPE + f"loop.train.starts = ('{tmp_path}/start.gin',)\n"
      'loop.train.init_from = %INIT_FROM\nINIT_FROM = ()\n')
  options = (f'--gin_file={tmp_path}/main.gin', f'--data_dir={data_dir}',
             f'--model_dir={tmp_path}/run', '--stage=all', '--batch_size=8',
             '--starts_gin_param=loop.train.seed = 5')
  run(*options)
  start, main = (json.loads((path / 'COMPLETED').read_text()) for path in (
      tmp_path / 'run' / 'starts' / 'start', tmp_path / 'run'))
  assert start['step'] == main['step'] == 1
  text = (tmp_path / 'run' / 'starts' / 'start' / 'operative_config.gin').read_text()
  assert 'loop.train.seed = 5' in text
  first, second = (
      [v.numpy() for v in trained_run.load(str(path)).model.trainable_variables]
      for path in (tmp_path / 'run' / 'starts' / 'start', tmp_path / 'run'))
  far = max(abs(a - b).max() for a, b in zip(first, second))
  assert 0 < far < .01  # a step away from where the start ended


def test_stage_all_is_not_for_every_recipe(recipe, data_dir, tmp_path):
  options = (f'--gin_file={recipe}', f'--data_dir={data_dir}',
             f'--model_dir={tmp_path}/run', '--stage=all')
  assert 'starts from no other runs' in failure(*options)
  assert 'give one of the two' in failure(*options, '--init_from=x')


def test_no_data(recipe, tmp_path):
  said = failure(f'--gin_file={recipe}', f'--data_dir={tmp_path}', '--model_dir=run')
  assert said.startswith('train: ') and 'beam_pipelines.prepare_videos' in said


def test_no_flags(recipe):
  said = failure(f'--gin_file={recipe}')
  assert 'DATA_DIR is required and not set; pass --data_dir' in said
  assert 'there is no file x.gin' in failure('--gin_file=x.gin')


def test_typos(recipe, data_dir, tmp_path):
  options = (f'--gin_file={recipe}', f'--data_dir={data_dir}',
             f'--model_dir={tmp_path / "run"}')
  said = failure(*options, '--gin_param=BATHC_SIZE = 2')
  assert "'BATHC_SIZE' is never used (did you mean 'BATCH_SIZE'?)" in said
  said = failure(*options, '--gin_param=loop.train.bathc_size = 2')
  assert "no parameter 'bathc_size' (did you mean 'batch_size'?)" in said
  assert not (tmp_path / 'run').exists()


def test_another_recipes_directory(recipe, data_dir, tmp_path):
  directory = tmp_path / 'run'
  options = (f'--gin_file={recipe}', f'--data_dir={data_dir}',
             f'--model_dir={directory}')
  run(*options)
  before = {p: p.read_bytes() for p in directory.iterdir() if p.is_file()}
  said = failure(*options, '--gin_param=optimizers.OptimizerSpec.momentum = 0.5')
  assert 'optimizers.OptimizerSpec.momentum was 0.9 and is now 0.5' in said
  assert 'Use another --model_dir' in said
  assert {p: p.read_bytes() for p in directory.iterdir() if p.is_file()} == before


def test_from_another_directory_as_a_process(recipe, data_dir, tmp_path):
  command = [sys.executable, '-m', 'tfmm.train', f'--gin_file={recipe}',
             f'--data_dir={data_dir}', '--dry_run']
  environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
  environment.pop('TF_CPP_MIN_LOG_LEVEL', None)
  done = subprocess.run(
      command, cwd=tmp_path, env=environment, capture_output=True, text=True,
      check=True)
  assert 'train: one step of 2 videos' in done.stdout and done.stderr == ''
  failed = subprocess.run(
      [*command, '--gin_param=A = 1'], cwd=tmp_path, env=environment,
      capture_output=True, text=True, check=False)
  assert failed.returncode == 1 and failed.stdout.count('Traceback') == 0
  assert failed.stderr.count('\n') == 1 and "macro 'A' is never used" in failed.stderr
