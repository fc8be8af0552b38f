"""The order of the rooms: who may import whom, read from the imports themselves."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path.relative_to(ROOT) for folder in ('tfmm', 'beam_pipelines', 'tools')
    for path in (ROOT / folder).rglob('*.py'))
TESTS = sorted(p.relative_to(ROOT) for p in (ROOT / 'tests').rglob('*.py'))

# The one command of beam_pipelines that computes with TensorFlow, and its parts.
EXTRACTION = tuple(f'beam_pipelines.{name}' for name in (
    'extract_features', 'feature_config', 'feature_encoder', 'feature_extraction',
    'feature_files', 'feature_records', 'feature_rows', 'feature_saved_model',
    'feature_shards', 'feature_views'))
# What a room may import of this repository, besides itself, as prefixes of modules.
# Rooms stand in their order: each names only rooms above it. Whoever may read the
# model contract (models.base) may use the layers that the contract is made of.
ROOMS = {
    'tfmm.schema': (),
    'tfmm.media': ('tfmm.schema',),
    'tfmm.directory_lock': (),
    'tfmm.data': ('tfmm.schema',),
    'tfmm.layers': (),
    'tfmm.encoders': ('tfmm.layers',),
    'tfmm.models': ('tfmm.encoders', 'tfmm.layers'),
    'tfmm.weights': ('tfmm.layers', 'tfmm.encoders', 'tfmm.models'),
    'tfmm.losses': ('tfmm.models.base', 'tfmm.layers'),
    'tfmm.metrics': ('tfmm.models.base', 'tfmm.layers'),
    'tfmm.training': ('tfmm.schema', 'tfmm.directory_lock', 'tfmm.data',
                      'tfmm.models.base', 'tfmm.layers', 'tfmm.losses',
                      'tfmm.metrics'),
    'tfmm.export': ('tfmm.schema', 'tfmm.media', 'tfmm.directory_lock', 'tfmm.data',
                    'tfmm.models.base', 'tfmm.layers'),
    'tfmm.command_line': (),
    'tfmm.value_types': (),
    'tfmm.config_messages': (),
    'tfmm.config': ('tfmm.schema', 'tfmm.value_types', 'tfmm.config_messages',
                    'tfmm.data', 'tfmm.training'),
    'tfmm.trained_run': ('tfmm.config', 'tfmm.training'),
    'beam_pipelines': ('tfmm.schema', 'tfmm.media', 'tfmm.directory_lock'),
    # It has no Beam whose options are parsed, so its flags are read like the mains'.
    'beam_pipelines.adopt_shards': (
        'beam_pipelines', 'tfmm.schema', 'tfmm.directory_lock', 'tfmm.command_line'),
    **dict.fromkeys(EXTRACTION, (
        'beam_pipelines', 'tfmm.schema', 'tfmm.directory_lock', 'tfmm.data',
        'tfmm.encoders', 'tfmm.models.base', 'tfmm.training', 'tfmm.config',
        'tfmm.trained_run')),
    'tools': ('tfmm', 'beam_pipelines'),
}
MAINS = ('tfmm.train', 'tfmm.evaluate', 'tfmm.export_model', 'tfmm.predict')
NEEDS_TENSORFLOW = EXTRACTION
TENSORFLOW = {
    'tensorflow', 'tensorflow_addons', 'tensorflow_hub', 'tensorflow_io', 'keras',
    'keras_cv', 'tf_keras', 'official', 'orbit', 'tensorflow_models'}
WITHOUT_TENSORFLOW = ('tfmm.schema', 'tfmm.media', 'tfmm.directory_lock',
                      'beam_pipelines')
TOP_LEVEL = {'setup.py', 'README.md', 'LICENSE', 'constraints.txt', 'tfmm',
             'beam_pipelines', 'gin_configs', 'tools', 'tests'}


def _module(path):
  """'tfmm/data/views.py' -> 'tfmm.data.views'."""
  parts = path.with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _is_in(module, prefix):
  return module == prefix or module.startswith(prefix + '.')


def _exists(module):
  path = ROOT.joinpath(*module.split('.'))
  return path.is_dir() or path.with_suffix('.py').exists()


def _imports(path):
  """Returns the modules that a file imports anywhere, also inside functions."""
  found = []
  for node in ast.walk(ast.parse((ROOT / path).read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      found += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}:{node.lineno}: relative import'
      for alias in node.names:
        full = f'{node.module}.{alias.name}'
        found.append(full if _exists(full) else node.module)
  return found


def _room(module):
  return max((room for room in ROOMS if _is_in(module, room)), key=len, default=None)


def test_each_room_names_only_rooms_above_it():
  rooms = list(ROOMS)
  for i, room in enumerate(rooms):
    for allowed in ROOMS[room]:
      if room != 'tools':
        assert _room(allowed) in rooms[:i], f'{room} names {allowed}'


def test_every_module_stands_in_a_room():
  strangers = [str(p) for p in SOURCES if _room(_module(p)) is None
               and _module(p) not in ('tfmm', *MAINS)]
  assert not strangers


@pytest.mark.parametrize('room', ROOMS)
def test_room_imports_only_what_it_may(room):
  wrong = []
  for path in SOURCES:
    if _room(_module(path)) == room:
      wrong += [f'{path} imports {name}' for name in _imports(path)
                if name.split('.')[0] in ('tfmm', 'beam_pipelines', 'tools')
                and name != 'tfmm'  # its version
                and not any(_is_in(name, p) for p in (room, *ROOMS[room]))]
  assert not wrong


def test_nothing_imports_tools_pipelines_or_mains():
  wrong = []
  for path in SOURCES:
    for name in _imports(path):
      if (any(_is_in(name, main) for main in MAINS) or _is_in(name, 'tools')
          or (_is_in(name, 'beam_pipelines')
              and path.parts[0] not in ('beam_pipelines', 'tools'))):
        wrong.append(f'{path} imports {name}')
  assert not wrong


def test_gin_and_flags_stay_in_their_files():
  wrong = []
  for path in SOURCES:
    for name in _imports(path):
      if _is_in(name, 'gin') and path != pathlib.Path('tfmm/config.py'):
        wrong.append(f'{path} imports {name}; tfmm/config.py alone does')
      flags = _is_in(name, 'absl.flags') or _is_in(name, 'absl.app')
      if flags and path.parts[0] == 'tfmm' and _module(path) not in MAINS:
        wrong.append(f'{path} imports {name}; flags belong to the mains')
  assert not wrong


def test_media_needs_no_framework():
  others = {name.split('.')[0] for path in SOURCES
            if _is_in(_module(path), 'tfmm.media') for name in _imports(path)}
  others -= set(sys.stdlib_module_names) | {'tfmm'}
  assert others <= {'numpy', 'scipy', 'av', 'cv2'}


def _light_modules():
  modules = [_module(path) for path in SOURCES]
  return [m for m in modules if m not in NEEDS_TENSORFLOW and (
      m == 'tfmm' or any(_is_in(m, p) for p in WITHOUT_TENSORFLOW))]


def test_light_modules_name_no_tensorflow():
  wrong = [f'{path} imports {name}' for path in SOURCES
           if _module(path) in _light_modules() for name in _imports(path)
           if name.split('.')[0] in TENSORFLOW]
  assert not wrong


def test_importing_light_modules_loads_no_tensorflow():
  code = ('import importlib, sys\n'
          f'for name in {_light_modules()}:\n'
          '  importlib.import_module(name)\n'
          '  if "tensorflow" in sys.modules: sys.exit(name)\n')
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True,
                        text=True, check=False)
  assert done.returncode == 0, done.stderr


def test_file_names_say_something():
  empty = {'utils', 'util', 'common', 'helpers', 'helper', 'misc'}
  assert not [str(p) for p in SOURCES + TESTS if empty & set(p.with_suffix('').parts)]


def test_no_assert_outside_tests():
  wrong = [f'{path}:{node.lineno}' for path in SOURCES
           for node in ast.walk(ast.parse((ROOT / path).read_text(encoding='utf-8')))
           if isinstance(node, ast.Assert)]
  assert not wrong


def test_packages_have_an_init_file():
  folders = {p.parent for p in SOURCES if p.parts[0] != 'tools'}
  assert not [str(f) for f in folders if not (ROOT / f / '__init__.py').exists()]


def test_tests_have_none():
  assert not [str(p) for p in TESTS if p.name == '__init__.py']


def test_top_level_is_fixed():
  listed = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True,
                          text=True, check=False).stdout.splitlines()
  names = {name.split('/')[0] for name in listed}
  if not names:
    pytest.skip('not a git checkout')
  assert {n for n in names if not n.startswith('.')} <= TOP_LEVEL
