"""Every recipe is built at tiny size and takes a step of each of its phases."""

import pathlib
import re
import shlex

from absl import flags
import gin
import make_manifest
import pytest

from tests.training import tiny_run
from tfmm import config
from tfmm.training import loop

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / 'gin_configs').glob('*.gin'))
DATA = sorted((ROOT / 'gin_configs' / 'data').glob('*.gin'))
OF_PUBLIC_DATA = [path for path in RECIPES
                  if "'gin_configs/data/kinetics_sounds.gin'" in path.read_text()]
PUBLIC = [path for path in DATA if path.stem != 'demo']

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


def load(files, params=(), data_dir='data'):
  config.load(list(map(str, files)), params, configurable=loop.train, overrides=[
      config.Override('data_dir', 'DATA_DIR', 'data_dir', data_dir),
      config.Override('model_dir', 'MODEL_DIR', 'model_dir', '')])


# The demo's recipes are trained in end_to_end_test.py.
FULL_SIZE = [path for path in RECIPES if not path.stem.startswith('demo_')]


@pytest.mark.slow
@pytest.mark.parametrize('path', FULL_SIZE, ids=lambda p: p.stem)
def test_takes_a_step_of_each_phase(path, data_dir):
  load([path], list(tiny_params(path.read_text())), data_dir)
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


def commands(path):
  """Words of the commands in a file's opening comment."""
  opening = path.read_text().split('from __gin__')[0]
  lines = opening.replace('\\\n#', ' ').splitlines()
  return [shlex.split(line[1:]) for line in lines if line.startswith('#   python ')]


@pytest.mark.parametrize('path', DATA, ids=lambda p: p.stem)
def test_data_files_open_with_the_commands_that_make_the_data(path):
  text = path.read_text()
  assert max(map(len, text.splitlines())) <= 88
  making, preparing = commands(path)
  assert preparing[:3] == ['python', '-m', 'beam_pipelines.prepare_videos']
  sources = ''.join(p.read_text() for p in (ROOT / 'beam_pipelines').glob('*.py'))
  for flag in preparing[3:]:
    assert f"'{flag[2:].split('=')[0]}'" in sources, flag
  if path.stem == 'demo':
    assert making[1] == 'tools/make_demo_videos.py'
    return
  values = flags.FlagValues()
  make_manifest.define_flags(values)
  assert values(making[1:]) == ['tools/make_manifest.py']
  assert values.dataset == path.stem and f'--manifest={values.output}' in preparing
  assert set(make_manifest.corpus_readers.READERS) == {p.stem for p in PUBLIC}
  several = "--label_separator=" + make_manifest.manifest_writer.SEPARATOR
  assert (several in preparing) == (path.stem == 'fcvid')


def test_data_files_set_what_recipes_read():
  """Nothing that a data file sets may be a typo: all set the same, and it is read."""
  names = {}
  for path in DATA:
    names[path.stem] = set(re.findall(r'^([\w./]+) *=', path.read_text(), re.M))
    assert not re.findall(r'^include', path.read_text(), re.M), 'include depth is one'
  public = names['kinetics_sounds']
  assert all(names[path.stem] == public for path in PUBLIC)
  recipes = ''.join(path.read_text() for path in RECIPES)
  macros = {name for name in set.union(*names.values()) if name.isupper()}
  assert macros and all(f'%{macro}\n' in recipes for macro in macros)


@pytest.mark.parametrize('data', PUBLIC, ids=lambda p: p.stem)
@pytest.mark.parametrize('path', OF_PUBLIC_DATA, ids=lambda p: p.stem)
def test_every_full_size_recipe_takes_every_corpus(path, data):
  load([path, data])
  bound = gin.get_bindings(loop.train)
  long = data.stem in ('activitynet', 'fcvid', 'mini_sports1m')
  assert bound['dataset'].shuffle_buffer == (16 if long else 64)
  epochs = {'rgb': 60, 'audio': 60, 'fusion': 35, 'adamml': 5 + 2 * 20 + 10}
  if path.stem in epochs:
    more = 10 * (data.stem == 'activitynet' and path.stem in ('rgb', 'audio'))
    assert len(bound['phases'].epochs) == epochs[path.stem] + more


@pytest.mark.slow
def test_a_step_on_another_corpus(data_dir):
  """What the data file sets and the recipe does not read is no error."""
  path = ROOT / 'gin_configs' / 'fusion.gin'
  load([path, ROOT / 'gin_configs' / 'data' / 'activitynet.gin'],
       list(tiny_params(path.read_text())), data_dir)
  config.call(loop.train, dry_run=True, recipe=config.recipe)
  text = config.recipe()
  assert 'UNIMODAL_EPOCHS' not in text and 'DatasetSpec.shuffle_buffer = 4' in text
