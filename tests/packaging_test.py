"""setup.py, constraints.txt and the imports of the tree say the same."""

import ast
import importlib.metadata
import pathlib
import re
import subprocess
import sys

from packaging import requirements
from packaging import utils
from packaging import version
import pytest
import tfmm
from tfmm.media import flow

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is imported under another name than it is installed by.
DISTRIBUTIONS = {
    'absl': 'absl-py', 'apache_beam': 'apache-beam', 'cv2': 'opencv-python-headless',
    'gin': 'gin-config', 'google.protobuf': 'protobuf',
    'google_crc32c': 'google-crc32c', 'grpc': 'grpcio', 'keras_cv': 'keras-cv',
    'official': 'tf-models-official', 'orbit': 'tf-models-official',
    'pkg_resources': 'setuptools', 'sklearn': 'scikit-learn',
    'tensorflow_addons': 'tensorflow-addons', 'tensorflow_hub': 'tensorflow-hub',
    'tensorflow_io': 'tensorflow-io', 'tensorflow_models': 'tf-models-official',
    'tensorflow_serving': 'tensorflow-serving-api',
}
OPENCV = {'opencv-python', 'opencv-python-headless', 'opencv-contrib-python',
          'opencv-contrib-python-headless'}


def _pins():
  """{name: version} of constraints.txt; every line must be an exact pin."""
  pins = {}
  for line in (ROOT / 'constraints.txt').read_text(encoding='utf-8').splitlines():
    line = line.partition('#')[0].strip()
    if line:
      match = re.fullmatch(r'([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)', line)
      assert match, f'not an exact pin: {line}'
      name = utils.canonicalize_name(match[1])
      assert name not in pins, f'pinned twice: {name}'
      pins[name] = version.Version(match[2])
  return pins


def _setup_arguments():
  """Returns the literal arguments of the call of setuptools.setup."""
  tree = ast.parse((ROOT / 'setup.py').read_text(encoding='utf-8'))
  call, = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
           and isinstance(node.func, ast.Attribute) and node.func.attr == 'setup']
  literals = {}
  for keyword in call.keywords:
    try:
      literals[keyword.arg] = ast.literal_eval(keyword.value)
    except ValueError:
      pass
  return literals


def _requirements(*extras):
  arguments = _setup_arguments()
  lines = list(arguments['install_requires'])
  for extra in extras:
    lines += arguments['extras_require'][extra]
  return [requirements.Requirement(line) for line in lines]


def test_every_requirement_is_pinned_inside_its_range():
  pins = _pins()
  for requirement in _requirements('gpu', 'gcp', 'test', 'reference'):
    name = utils.canonicalize_name(requirement.name)
    assert name in pins, f'{name} has no line in constraints.txt'
    assert requirement.specifier.contains(pins[name]), requirement


def test_exactly_one_opencv_wheel():
  pins = _pins()
  assert OPENCV & set(pins) == {'opencv-python-headless',
                                'opencv-contrib-python-headless'}
  assert len({pins[name] for name in OPENCV & set(pins)}) == 1
  assert flow.TVL1_WHEEL == ('opencv-contrib-python-headless=='
                             f'{pins["opencv-contrib-python-headless"]}')
  named = {r.name for r in _requirements('gpu', 'gcp', 'test')}
  assert OPENCV & named == {'opencv-python-headless'}


def test_what_is_imported_is_required():
  def missing(folders, required):
    found = set()
    for folder in folders:
      for path in (ROOT / folder).rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
          names = ([a.name for a in node.names] if isinstance(node, ast.Import) else
                   [node.module] if isinstance(node, ast.ImportFrom) else [])
          for name in names:
            known = [n for n in DISTRIBUTIONS if name == n or name.startswith(n + '.')]
            found.add((DISTRIBUTIONS[known[0]] if known else name.split('.')[0],
                       str(path.relative_to(ROOT))))
    own = {'tfmm', 'beam_pipelines', 'tests', *(
        p.stem for p in (ROOT / 'tools').glob('*.py'))}
    allowed = own | set(sys.stdlib_module_names) | {r.name for r in required}
    return sorted((n, path) for n, path in found if n not in allowed)

  assert not missing(['tfmm', 'beam_pipelines'], _requirements())
  assert not missing(['tools'], _requirements('reference'))
  assert not [m for m in missing(['tests'], _requirements('test', 'reference'))
              if m[0] != 'packaging']  # comes with pytest


def test_installed_versions_are_the_pinned_ones():
  wrong = []
  for name, pin in _pins().items():
    try:
      installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
    # Without the build: the reference is torch 2.13.0+cpu.
    if version.Version(version.Version(installed).public) != pin:
      wrong.append(f'{name} {installed}, pinned {pin}')
  if wrong and not pathlib.Path(f'{sys.prefix}.state').exists():
    pytest.skip(f'not the environment of tools/environment.sh: {wrong[0]}')
  assert not wrong


def test_version_is_read_without_importing():
  done = subprocess.run(
      [sys.executable, 'setup.py', '--quiet', '--version'], cwd=ROOT,
      capture_output=True, text=True, check=False)
  assert done.stdout.strip().splitlines()[-1] == tfmm.__version__


def test_no_package_index_is_named():
  for name in ('setup.py', 'constraints.txt', 'tools/environment.sh', '.ci/run'):
    text = (ROOT / name).read_text(encoding='utf-8')
    assert not re.search(r'https?://|index-url|find-links', text), name
