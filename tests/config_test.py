import pytest

from tfmm import command_line, config
from tfmm.training import loop, optimizers

RECIPE = '''
from __gin__ import dynamic_registration
from tfmm.losses import recognition
from tfmm.training import loop
from tfmm.training import optimizers
from tfmm.training import phases

DATA_DIR = %gin.REQUIRED
BATCH_SIZE = 16
loop.train.data_dir = %DATA_DIR
loop.train.batch_size = %BATCH_SIZE
loop.train.phases = @phases.single_phase()
loop.train.optimizers = {'recognition': @fast/optimizers.OptimizerSpec()}
phases.single_phase.loss = @recognition.CrossEntropy()
phases.single_phase.epochs = 3
fast/optimizers.OptimizerSpec.learning_rate = 0.5
'''


@pytest.fixture
def recipe(tmp_path):
  """Writes a recipe with more lines at its end; returns the path."""
  def write(*lines):
    path = tmp_path / 'recipe.gin'
    path.write_text(RECIPE + '\n'.join(lines) + '\n')
    return str(path)
  return write


def load(path, *params, data_dir='/data', batch_size=None):
  config.load(path, params, configurable=loop.train, overrides=[
      config.Override('data_dir', 'DATA_DIR', 'data_dir', data_dir),
      config.Override('batch_size', 'BATCH_SIZE', 'batch_size', batch_size)])


def build(monkeypatch):
  """Calls `train` up to where all is built; returns what it was given."""
  given = {}

  def train(*, data_dir, batch_size, phases, optimizers, recipe=None):
    given.update(locals())
    given['text'] = recipe()

  import gin
  entry = gin.config._inverse_lookup(loop.train)
  wrapper = gin.config._make_gin_wrapper(
      train, train, 'train', entry.selector, None, None)
  wrapper(recipe=config.recipe)
  return given


def test_files_params_and_flags_in_rising_strength(recipe, monkeypatch):
  load(recipe(), 'BATCH_SIZE = 8', 'phases.single_phase.epochs = 4', batch_size=2)
  given = build(monkeypatch)
  assert given['batch_size'] == 2 and given['data_dir'] == '/data'
  assert len(given['phases'].epochs) == 4
  assert given['optimizers']['recognition'] == optimizers.OptimizerSpec(
      learning_rate=.5)
  assert 'fast/optimizers.OptimizerSpec.learning_rate = 0.5' in given['text']
  # A parameter set in place of its macro leaves no unused macro behind.
  load(recipe(), 'loop.train.batch_size = 8')
  assert build(monkeypatch)['batch_size'] == 8


def test_the_written_configuration_reads_back(recipe, monkeypatch, tmp_path):
  load(recipe())
  first = build(monkeypatch)
  (tmp_path / 'written.gin').write_text(first['text'])
  config.load(str(tmp_path / 'written.gin'), configurable=loop.train)
  again = build(monkeypatch)
  assert again['text'] == first['text']
  assert again['phases'] == first['phases']


@pytest.mark.parametrize('line, message', [
    # Kinds that gin itself finds.
    ('loop.train.bathc_size = 8',
     r"recipe.gin:17: 'loop.train' has no parameter 'bathc_size' \(did you mean "
     r"'batch_size'\?\)"),
    ('loop.trian.batch_size = 8', r"there is no 'loop.trian' \(did you mean 'train'"),
    ('lop.train.batch_size = 8', r"'lop' is not imported \(did you mean 'loop'"),
    ('loop.train.model = @phases.singel_phase', r"did you mean 'single_phase'"),
    ('loop.train.seed = (1,', 'a bracket is not closed'),
    ('loop.train.validation_split = test', 'strings stand in quotes'),
    ('from tfmm.training import lop', "No module named 'tfmm.training.lop'"),
    ("include 'gin_configs/nothing.gin'", 'gin_configs/nothing.gin'),
    # Macros.
    ('loop.train.seed = %SEDE', "macro 'SEDE' is used and never set"),
    ('loop.train.seed = %BATHC', r"'BATHC' is used .*did you mean 'BATCH_SIZE'"),
])
def test_typos_that_show_while_loading(recipe, line, message):
  with pytest.raises((ValueError, OSError), match=message) as error:
    load(recipe(line))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('line, message', [
    ('BATHC_SIZE = 8', r"macro 'BATHC_SIZE' is never used \(did you mean 'BATCH_SIZE'"),
    ('fats/optimizers.OptimizerSpec.momentum = 0.5',
     r"scope 'fats' of optimizers.OptimizerSpec.momentum is never entered \(did you "
     r"mean 'fast'"),
    ('phases.adamml_phases.warm_up_epochs = 2',
     r'phases.adamml_phases.warm_up_epochs is never read'),
])
def test_typos_that_gin_passes_in_silence(recipe, monkeypatch, line, message):
  for load_it in (lambda: load(recipe(line)), lambda: load(recipe(), line)):
    load_it()
    with pytest.raises(ValueError, match=message) as error:
      build(monkeypatch)
    assert '\n' not in command_line.one_line(error.value)


@pytest.mark.parametrize('line, message', [
    ("BATCH_SIZE = 'three'",
     r"loop.train.batch_size is 'three' \(%BATCH_SIZE\); it must be a whole number"),
    ('loop.train.phases = 3', 'loop.train.phases is 3; it must be a Plan'),
    ('loop.train.phases = @phases.single_phase',
     'loop.train.phases is @phases.single_phase; write it with brackets'),
    ("fast/optimizers.OptimizerSpec.learning_rate = 'high'",
     "fast/optimizers.OptimizerSpec.learning_rate is 'high'; it must be a number"),
])
def test_values_of_the_wrong_kind(recipe, line, message):
  with pytest.raises(ValueError, match=message) as error:
    load(recipe(line))
  assert '\n' not in str(error.value)


def test_a_bad_gin_param_is_named(recipe):
  with pytest.raises(ValueError, match=r'^--gin_param=loop.train.sede = 1: .*no param'):
    load(recipe(), 'loop.train.sede = 1')
  with pytest.raises(ValueError, match="--gin_param=SEED: it must be 'name = value'"):
    load(recipe(), 'SEED')


def test_required_macros_name_their_flag(recipe):
  with pytest.raises(ValueError, match='DATA_DIR is required and not set; pass --data'):
    load(recipe(), data_dir=None)


def test_what_is_no_recipe(tmp_path):
  with pytest.raises(OSError, match='there is no file nothing.gin'):
    load('nothing.gin')
  (tmp_path / 'x.gin').write_text('A = 1\n')
  with pytest.raises(ValueError, match='binds nothing of tfmm.training.loop.train'):
    load(str(tmp_path / 'x.gin'))


def test_includes_are_found_from_any_directory(tmp_path, monkeypatch):
  root = tmp_path / 'elsewhere'
  (root / 'gin_configs' / 'data').mkdir(parents=True)
  (root / 'gin_configs' / 'data' / 'sounds.gin').write_text(
      'from __gin__ import dynamic_registration\n'
      'from tfmm.training import loop\nloop.train.validation_split = \'sounds\'\n')
  (root / 'gin_configs' / 'x.gin').write_text(
      RECIPE + "include 'gin_configs/data/sounds.gin'\n")
  monkeypatch.chdir(tmp_path)
  load(str(root / 'gin_configs' / 'x.gin'))
  import gin
  assert gin.query_parameter('tfmm.training.loop.train.validation_split') == 'sounds'
  # And recipes of this repository by the path from its root.
  config.load('gin_configs/demo_rgb.gin', configurable=loop.train, overrides=[
      config.Override('data_dir', 'DATA_DIR', 'data_dir', 'a'),
      config.Override('model_dir', 'MODEL_DIR', 'model_dir', 'b')])


DATA = '''
from __gin__ import dynamic_registration
from tfmm.training import phases
EPOCHS_OF_DATA = 7
phases.adamml_phases.warm_up_epochs = 2
'''


@pytest.fixture
def corpora(tmp_path):
  """Writes data files; returns the path of one by its name."""
  folder = tmp_path / 'gin_configs' / 'data'
  folder.mkdir(parents=True)
  (folder / 'sounds.gin').write_text(DATA)
  (folder / 'films.gin').write_text(DATA.replace('7', '9'))
  return lambda name, *lines: _with_lines(folder / f'{name}.gin', lines)


def _with_lines(path, lines):
  path.write_text('\n'.join([path.read_text(), *lines, '']))
  return str(path)


def test_what_a_data_file_sets_need_not_be_read(recipe, corpora, monkeypatch):
  """It describes a corpus for every recipe; what replaces it is the recipe's own."""
  including = recipe(f"include '{corpora('sounds')}'")
  load(including)
  given = build(monkeypatch)
  assert 'EPOCHS_OF_DATA' not in given['text'] and 'adamml' not in given['text']
  load(including, 'EPOCHS_OF_DATA = 3')
  with pytest.raises(ValueError, match="macro 'EPOCHS_OF_DATA' is never used"):
    build(monkeypatch)
  load(including, 'phases.adamml_phases.warm_up_epochs = 3')
  with pytest.raises(ValueError, match='adamml_phases.warm_up_epochs is never read'):
    build(monkeypatch)


def test_a_data_file_beside_the_recipe_is_stronger(recipe, corpora, monkeypatch):
  included = f"include '{corpora('sounds')}'"
  used = recipe(included, 'phases.single_phase.epochs = %EPOCHS_OF_DATA')
  load(used)
  assert len(build(monkeypatch)['phases'].epochs) == 7
  load([used, corpora('films')])
  given = build(monkeypatch)
  assert len(given['phases'].epochs) == 9 and 'EPOCHS_OF_DATA = 9' in given['text']
  load([used, corpora('films')], 'EPOCHS_OF_DATA = 2')
  assert len(build(monkeypatch)['phases'].epochs) == 2
  load([recipe(included), corpora('films')])  # reads none of it
  assert len(build(monkeypatch)['phases'].epochs) == 3
  load(recipe(), 'phases.adamml_phases.warm_up_epochs = 2')
  with pytest.raises(ValueError, match='warm_up_epochs is never read'):
    build(monkeypatch)  # nothing is left of what was loaded before


def test_typos_in_a_data_file_beside_the_recipe(recipe, corpora, monkeypatch):
  path = recipe(f"include '{corpora('sounds')}'",
                'phases.single_phase.epochs = %EPOCHS_OF_DATA')
  load([path, corpora('films', 'EPOHCS_OF_DATA = 8')])
  with pytest.raises(ValueError, match="'EPOHCS_OF_DATA' is never used .*EPOCHS_OF_"):
    build(monkeypatch)
  with pytest.raises(ValueError, match=r"films.gin:\d+: .*no parameter 'epohcs'"):
    load([path, corpora('films', 'phases.single_phase.epohcs = 1')])
  with pytest.raises(OSError, match='there is no file gin_configs/data/none.gin'):
    load([path, 'gin_configs/data/none.gin'])


def test_a_variant_must_have_some_effect(recipe, tmp_path, monkeypatch):
  folder = tmp_path / 'variants'
  folder.mkdir()
  some, none = folder / 'some.gin', folder / 'none.gin'
  imports = ('from __gin__ import dynamic_registration\n'
             'from tfmm.training import phases\n')
  none.write_text(f'{imports}phases.adamml_phases.warm_up_epochs = 2\n')
  some.write_text(f'{none.read_text()}phases.single_phase.epochs = 4\n')
  load([recipe(), str(some)])
  assert len(build(monkeypatch)['phases'].epochs) == 4
  load([recipe(), str(none)])
  with pytest.raises(ValueError, match='none.gin has no effect: this recipe reads'):
    build(monkeypatch)


def test_other_files_beside_the_recipe_must_be_read(recipe, tmp_path, monkeypatch):
  (tmp_path / 'more.gin').write_text(DATA.replace('EPOCHS_OF_DATA = 7', ''))
  load([recipe(), str(tmp_path / 'more.gin')])
  with pytest.raises(ValueError, match='adamml_phases.warm_up_epochs is never read'):
    build(monkeypatch)
