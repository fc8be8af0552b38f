"""Every recipe is built at tiny size and takes a step of each of its phases."""

import pathlib
import re
import shlex

from absl import flags
import gin
import make_manifest
import pytest
import tensorflow as tf

from tests.data import features_test
from tests.encoders import hub_test
from tests.training import tiny_run
from tfmm import config
from tfmm.encoders import efficientnet
from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.encoders import yamnet
from tfmm.training import loop
from tfmm.training import trainer

ROOT = pathlib.Path(__file__).resolve().parent.parent
GIN = ROOT / 'gin_configs'
RECIPES = sorted(GIN.glob('*.gin'))
DATA = sorted((GIN / 'data').glob('*.gin'))
VARIANTS = sorted((GIN / 'variants').glob('*.gin'))
PARTS = sorted([*GIN.glob('run/*.gin'), *GIN.glob('inputs/*.gin')])
PUBLIC = [path for path in DATA if path.stem != 'demo']
OF_PUBLIC_DATA = [path for path in RECIPES if any(
    f"include 'gin_configs/data/{data.name}'" in path.read_text() for data in PUBLIC)]
# Not beside a recipe: what includes it chooses by a macro.
INCLUDED_VARIANT = 'audio_encoder'

# Applied where the recipe names the configurable, in every scope that it uses.
_CROP = {'size': 32, 'short_side': 32, 'scale_range': (32, 36)}
TINY = {
    'dataset.RgbFrames': {'num_frames': 2, 'stride': 1, **_CROP},
    'dataset.FlowFrames': {'num_frames': 2, 'stride': 1, **_CROP},
    'dataset.RgbDifferences': {'num_frames': 2, 'stride': 1, **_CROP},
    'dataset.RgbPreview': {'frames': (0,), 'size': 16},
    'dataset.FlowPreview': {'frames': (0,), 'size': 16},
    'dataset.RgbDifferencePreview': {
        'frames': (0,), 'stride': 1, 'crop': 32, **_CROP, 'size': 16},
    'dataset.LogSpectrogram': {'sample_rate': 8000, 'seconds': .16, 'n_fft': 63,
                               'window': 60, 'hop': 40},
    'dataset.LogMel': {'seconds': .175},
    'dataset.Waveform': {'seconds': .175},
    'dataset.DatasetSpec': {'num_segments': 2, 'shuffle_buffer': 4},
    'resnet.ResNet': {'depth': 18, 'width': 4, 'size': 32},
    'efficientnet.EfficientNet': {'variant': 'b0', 'size': 32},
    'mobilenet.MobileNetV2': {'width_multiplier': .1, 'last_channels': 16, 'size': 32},
    'slowfast.SlowFast': {
        'num_frames': 4, 'size': 32, 'width': 8, 'blocks': (1, 1, 1, 1)},
    'yamnet.YAMNet': {'size': (16, 64), 'width_multiplier': .05},
    'adamml.Policy': {'joint_dim': 8, 'lstm_units': 4},
    'cascade.FeaturePolicy': {'joint_dim': 8, 'lstm_units': 4},
    'fusion.FeatureFusion': {'joint_dim': 8},
    'dataset.FeatureSpec': {'num_segments': 2, 'eval_segments': 2},
    'cached.CachedFeatures': {'feature_dim': 3},
    'hms.LevelSpec': {'projection_dim': 3},
    'early_fusion.EarlyFusionLSTM': {'units': 4},
}
# A level takes over the state of the one below it, so it has more units.
TINY_LEVELS = {'audio/': 2, 'rgb_preview/': 2, 'rgb/': 3, 'motion/': 4}
TINY_PREVIEW = {'size': 16, 'num_frames': 1}
TINY_FRAMES = {'frame/': 1, 'clip/': 4}  # of views of colours; others have 2


@pytest.fixture
def small_networks(monkeypatch):
  """Fewer layers: what a recipe may get wrong is in none of the others.

  Nor in what TensorFlow does to make a graph fast, which takes longer than a step.
  """
  monkeypatch.setattr(
      mobilenet, 'STAGES', ((1, 16, 1, 2, False), (6, 24, 1, 2, True)))
  monkeypatch.setattr(efficientnet, 'VARIANTS', {'b0': (.1, .1)})
  monkeypatch.setitem(resnet.DEPTHS, 18, ((1, 1, 1, 1), False))
  monkeypatch.setattr(yamnet, 'LAYERS', ((2, 32), (2, 64)))
  before = tf.config.optimizer.get_experimental_options()
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options(
      {'disable_meta_optimizer': False, **before})


def whole(path):
  """A recipe's text and that of all that it includes."""
  text = path.read_text()
  return text + ''.join(
      (ROOT / name).read_text() for name in re.findall(r"^include '(.*)'", text, re.M))


def tiny_params(text):
  """--gin_param that shrinks all that the recipe names."""
  for name, values in TINY.items():
    if not re.search(rf'@(\w+/)?{re.escape(name)}\b', text):
      continue
    scopes = set(re.findall(rf'@(\w+/){re.escape(name)}\b', text))
    for scope in sorted(scopes) or ['']:
      numbers = dict(values)
      if name == 'mobilenet.MobileNetV2' and scope.endswith('preview/'):
        numbers |= TINY_PREVIEW
      if name == 'dataset.RgbFrames' and scope in TINY_FRAMES:
        numbers['num_frames'] = TINY_FRAMES[scope]
      if name == 'hms.LevelSpec':
        numbers = {**values, 'units': TINY_LEVELS[scope]}
      if name == 'dataset.FeatureSpec':
        views = re.search(r'FeatureSpec\.dims = {(.*)}', text)[1]
        numbers['dims'] = dict.fromkeys(re.findall(r"'(\w+)'", views), 3)
      if name in ('resnet.ResNet', 'efficientnet.EfficientNet') and scope != 'audio/':
        numbers['num_frames'] = 1 if '@frame/dataset.RgbFrames()' in text else 2
      for key, value in numbers.items():
        yield f'{scope}{name}.{key} = {value!r}'


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(
      tmp_path_factory.mktemp('data'), splits=(('train', 4),), flow=True)


def load(files, params=(), data_dir='data'):
  config.load(list(map(str, files)), params, configurable=loop.train, overrides=[
      config.Override('data_dir', 'DATA_DIR', 'data_dir', data_dir),
      config.Override('model_dir', 'MODEL_DIR', 'model_dir', '')])


@pytest.fixture(scope='module')
def feature_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('features')
  for name in ('audio', 'rgb', 'motion', 'rgb_preview'):
    features_test.write(folder / name, name, [4, 4, 4], dim=3)
  return str(folder)


# The demo's recipes are trained in end_to_end_test.py, but for these.
OTHER_DEMOS = ('demo_audio_first', 'demo_motion', 'demo_hms', 'demo_hms_raw',
               'demo_early_fusion')
BUILT = [path for path in RECIPES
         if not path.stem.startswith('demo_') or path.stem in OTHER_DEMOS]
# Each model, input and network is in one of these, which also take steps.
STEPPED = {
    'adamml', 'adamml_rgb_flow_audio_difference', 'adamml_audio_first', 'random_policy',
    'fusion_features', 'rgb_difference', 'hms', 'hms_raw', 'early_fusion', 'liteeval'}
IN_STAGES = re.compile('adamml|audio_first')


@pytest.mark.slow
@pytest.mark.parametrize('path', BUILT, ids=lambda p: p.stem)
@pytest.mark.usefixtures('small_networks')
def test_takes_a_step_of_each_phase(path, data_dir, feature_dir, monkeypatch):
  """Everything is built and all settings are read; some recipes also train."""
  if path.stem not in STEPPED:
    monkeypatch.setattr(trainer.Trainer, 'train', lambda self, steps: {'loss': 1.})
  text = whole(path)
  reads = feature_dir if 'dataset.FeatureSpec()' in text else data_dir
  load([path], list(tiny_params(text)), reads)
  result = config.call(loop.train, dry_run=True, recipe=config.recipe)
  assert len(result['phases']) == (4 if IN_STAGES.search(path.stem) else 1)
  assert all(v['loss'] > 0 for v in result['phases'].values())


def params_with_hub(recipe, folder):
  """--gin_param that choose a tiny SavedModel as the encoder of sound."""
  tf.saved_model.save(hub_test.Listener(), str(folder))
  values = {'handle': str(folder), 'seconds': .175, 'feature_dim': hub_test.DIM}
  kept = [p for p in tiny_params(whole(recipe)) if not p.startswith('yamnet.')]
  return [*kept, 'AUDIO = @hub/gated_encoder.GatedEncoder()',
          *(f'hub.HubAudioEncoder.{k} = {v!r}' for k, v in values.items())]


@pytest.mark.slow
@pytest.mark.usefixtures('small_networks')
def test_one_macro_says_which_encoder_hears(data_dir, tmp_path, monkeypatch):
  monkeypatch.setattr(trainer.Trainer, 'train', lambda self, steps: {'loss': 1.})
  recipe = GIN / 'hms_audio.gin'
  load([recipe], params_with_hub(recipe, tmp_path), data_dir)
  result = config.call(loop.train, dry_run=True, recipe=config.recipe)
  assert result['phases']['train']['loss'] > 0
  in_force = config.recipe()
  assert f"HubAudioEncoder.handle = '{tmp_path}'" in in_force.replace('\\\n    ', '')
  assert "GatedEncoder.view = 'waveform'" in in_force
  assert 'YAMNet' not in in_force


@pytest.mark.slow
@pytest.mark.usefixtures('small_networks')
def test_hms_hears_with_the_same_macro(data_dir, tmp_path, monkeypatch):
  """Everything is built, and what YAMNet would read is no error."""
  monkeypatch.setattr(trainer.Trainer, 'train', lambda self, steps: {'loss': 1.})
  recipe = GIN / 'hms_raw.gin'
  load([recipe], params_with_hub(recipe, tmp_path), data_dir)
  config.call(loop.train, dry_run=True, recipe=config.recipe)
  assert 'HubAudioEncoder.handle' in config.recipe()


@pytest.mark.usefixtures('small_networks')
def test_a_handle_is_read_where_it_is_chosen_alone(data_dir, monkeypatch):
  monkeypatch.setattr(trainer.Trainer, 'train', lambda self, steps: {'loss': 1.})
  recipe = GIN / 'hms_audio.gin'
  params = [*tiny_params(whole(recipe)), "hub.HubAudioEncoder.handle = '/no/yamnet'"]
  load([recipe], params, data_dir)
  with pytest.raises(ValueError, match='HubAudioEncoder.handle is never read'):
    config.call(loop.train, dry_run=True, recipe=config.recipe)
  load([recipe], [*params, 'AUDIO = @hub/gated_encoder.GatedEncoder()'], data_dir)
  with pytest.raises(OSError, match='hub model /no/yamnet: .*tfmm.encoders.yamnet'):
    config.call(loop.train, dry_run=True, recipe=config.recipe)


@pytest.mark.parametrize(
    'path', [path for path in VARIANTS if path.stem != INCLUDED_VARIANT],
    ids=lambda p: p.stem)
@pytest.mark.usefixtures('small_networks')
def test_variants_have_an_effect_on_adamml(path, data_dir, monkeypatch):
  """Everything is built and reads them; tests of models and phases take steps."""
  monkeypatch.setattr(trainer.Trainer, 'train', lambda self, steps: {'loss': 1.})
  recipe = GIN / 'adamml.gin'
  settings = re.findall(r'^([\w/.]+) = (.*?)(?:  #.*)?$', path.read_text(), re.M)
  kept = [param for param in tiny_params(whole(recipe))
          if param.split(' = ')[0] not in dict(settings)]
  load([recipe], kept, data_dir)
  before = {name: gin.query_parameter(name) for name, _ in settings
            if name in whole(recipe)}
  load([recipe, path], kept, data_dir)
  for name, _ in settings:
    assert repr(gin.query_parameter(name)) != repr(before.get(name)), name
  config.call(loop.train, dry_run=True, recipe=config.recipe)
  for name, _ in settings:
    assert f'{name} = ' in config.recipe(), f'{name} is not read'


@pytest.mark.parametrize('path', OF_PUBLIC_DATA, ids=lambda p: p.stem)
def test_the_officials_fit_every_adamml(path):
  if 'adamml' in path.stem:
    load([path, GIN / 'variants' / 'official.gin'])


@pytest.mark.parametrize('path', RECIPES, ids=lambda p: p.stem)
def test_style(path):
  text = path.read_text()
  assert 'from __gin__ import dynamic_registration' in text
  assert text.startswith('# ') and f'--gin_file=gin_configs/{path.name}' in text
  everything = whole(path)
  assert everything.index('# Required') < everything.index('# Commonly overridden')
  for included in re.findall(r"^include '(.*)'", text, re.M):
    assert re.match(
        rf'gin_configs/(data|run|inputs)/|gin_configs/variants/{INCLUDED_VARIANT}.gin$',
        included), 'a recipe is included'
  assert max(map(len, text.splitlines())) <= 88


@pytest.mark.parametrize('path', [*PARTS, *VARIANTS], ids=lambda p: p.stem)
def test_style_of_parts(path):
  text = path.read_text()
  assert text.startswith('# ') and 'from __gin__ import dynamic_registration' in text
  assert not re.findall(r'^include', text, re.M), 'include depth is one'
  assert max(map(len, text.splitlines())) <= 88
  if path in PARTS or path.stem == INCLUDED_VARIANT:
    assert any(f"include 'gin_configs/{path.parent.name}/{path.name}'" in
               recipe.read_text() for recipe in RECIPES), 'no recipe includes it'


def starts(path):
  found = re.search(r'^loop\.train\.starts = \(([^)]*)\)', path.read_text(), re.M)
  return re.findall(r"'(.*?)'", found[1]) if found else []


@pytest.mark.parametrize('path', OF_PUBLIC_DATA, ids=lambda p: p.stem)
def test_starts_are_the_recipes_encoders(path):
  """What a recipe starts from has its encoders, with the same settings."""
  text = path.read_text()
  modalities = re.search(r"DatasetSpec\.modalities = \((.*)\)", text)[1]
  modalities = re.findall(r"'(\w+)'", modalities)
  if len(modalities) == 1:
    assert not starts(path)
    return
  assert len(starts(path)) == len(modalities)
  for modality, start in zip(modalities, starts(path)):
    start = (ROOT / start).read_text()
    assert f"modalities = ('{modality}',)" in start
    for encoder in (text, start):
      assert (f'@{modality}/gated_encoder.GatedEncoder()' in encoder
              or f"'{modality}': %{modality.upper()}" in encoder)
    networks = 'resnet|mobilenet|efficientnet|slowfast'
    mine, theirs = (
        set(re.findall(rf'^{modality}/(?:{networks}).*', t, re.M))
        for t in (text, start))
    assert mine == theirs


def test_the_papers_numbers():
  text = whole(GIN / 'adamml.gin')
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
  adamml, fusion = (whole(GIN / f'{name}.gin') for name in ('adamml', 'fusion'))
  stages = re.findall(r'(?:warm_up|alternating|fine_tune)_epochs = (\d+)', adamml)
  epochs, = re.findall(r'single_phase.epochs = (\d+)', fusion)
  assert len(stages) == 3 and sum(map(int, stages)) == int(epochs)


def bindings(name):
  """{'scope/module.Configurable.parameter': value as text} of a recipe."""
  load([GIN / f'{name}.gin'])
  return {'/'.join(filter(None, (scope, '.'.join(target.split('.')[-2:]))))
          + f'.{parameter}': value
          for (scope, target, parameter), value in config.all_bindings()}


@pytest.mark.parametrize('size', ['adamml', 'demo'])
def test_audio_first_differs_from_adamml_in_its_model_alone(size):
  sound = bindings(f'{size}_audio_first')
  theirs = bindings({'adamml': 'adamml', 'demo': 'demo_adamml'}[size])
  # The cascade has AdaMML's settings, and the rest is the same: but for the looks.
  for old, new in (('adamml.AdaMML', 'cascade.Cascade'),
                   ('adamml.Policy', 'cascade.FeaturePolicy')):
    theirs = {k.replace(old, new): v.replace(old, new) for k, v in theirs.items()}
  assert sound.pop('cascade.Cascade.first') == "'audio'"
  differing = {k for k in {*sound, *theirs} if sound.get(k) != theirs.get(k)}
  looks = {k for k in differing if re.match('(preview|hearing)/|dataset.RgbPreview', k)}
  assert differing - looks == {
      'dataset.DatasetSpec.views', 'cascade.FeaturePolicy.encoders',
      'efficiency.SelectionPenalty.weights'}
  assert not looks & set(sound)
  # Nothing that sound costs can teach a policy that cannot close it.
  weights = "{'rgb': 1.0, 'audio': 0.0}"
  assert sound['efficiency.SelectionPenalty.weights'] == weights


def test_hms_is_the_same_on_features_and_on_clips():
  raw, features = bindings('hms_raw'), bindings('hms')
  assert raw.pop('phases.gated_phases.moves') == "('recognition', 'encoders')"
  assert raw.pop('phases.gated_phases.frozen') == "('encoders',)"
  shared = re.compile('hms.HMS|hms.LevelSpec|UsageTarget|gated_phases|OptimizerSpec')
  of_hms, of_raw = (
      {k: v for k, v in found.items() if shared.search(k)} for found in (features, raw))
  encoders = 'hms.HMS.encoders'
  assert of_raw.pop(encoders) != of_hms.pop(encoders)
  assert of_raw == of_hms and len(of_raw) > 25


def test_views_of_one_kind_have_their_own_numbers():
  load([GIN / 'hms_raw.gin'])
  views = {v.name: v for v in gin.get_bindings(loop.train)['dataset'].views}
  assert tuple(views) == ('rgb', 'log_mel', 'waveform', 'clip')
  frame, clip = views['rgb'], views['clip']
  assert (frame.modality, frame.num_frames, frame.size) == ('rgb', 1, 224)
  assert (clip.modality, clip.num_frames, clip.stride, clip.size) == (
      'motion', 32, 2, 256)
  assert views['log_mel'].num_samples == views['waveform'].num_samples == 15600


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
  recipes = ''.join(whole(path) for path in RECIPES)
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
@pytest.mark.usefixtures('small_networks')
def test_a_step_on_another_corpus(data_dir):
  """What the data file sets and the recipe does not read is no error."""
  path = ROOT / 'gin_configs' / 'fusion.gin'
  load([path, ROOT / 'gin_configs' / 'data' / 'activitynet.gin'],
       list(tiny_params(whole(path))), data_dir)
  config.call(loop.train, dry_run=True, recipe=config.recipe)
  text = config.recipe()
  assert 'UNIMODAL_EPOCHS' not in text and 'DatasetSpec.shuffle_buffer = 4' in text
