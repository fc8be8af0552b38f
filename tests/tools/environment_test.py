"""Tests of tools/environment.sh with a Python that only writes down its calls."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEEDED = ('bash', 'cat', 'chmod', 'cmp', 'cp', 'dirname', 'flock', 'mkdir', 'rm',
          'tail')
# Installs, and replaces the plain OpenCV by the contrib wheel.
INSTALLATION = ['venv', 'pip', 'pip', 'pip']
# Plays both the machine's Python and the one in .venv.
FAKE_PYTHON = '''#!{bash}
echo "$*" >> "{log}"
case "$*" in
  *"-m venv"*) mkdir -p "{venv}/bin" && cp "$0" "{venv}/bin/python" ;;
  *"-m pip"*) [ ! -e "{broken}" ] ;;
esac
'''


@pytest.fixture(name='tree')
def _tree(tmp_path):
  """A copy of what the script reads, and a PATH without any Python."""
  (tmp_path / 'tools').mkdir()
  (tmp_path / 'bin').mkdir()
  for name in ('tools/environment.sh', 'setup.py', 'constraints.txt'):
    shutil.copy(ROOT / name, tmp_path / name)
  for name in NEEDED:
    place = shutil.which(name)
    if place:
      (tmp_path / 'bin' / name).symlink_to(place)
  return tmp_path


def _add_python(tree):
  python = tree / 'bin' / 'python3.11'
  python.write_text(FAKE_PYTHON.format(
      bash=shutil.which('bash'), log=tree / 'log', venv=tree / '.venv',
      broken=tree / 'broken'))
  python.chmod(0o755)


def _run(tree):
  """Sources the script and returns (result, what pip and venv were asked for)."""
  log = tree / 'log'
  log.unlink(missing_ok=True)
  done = subprocess.run(
      [shutil.which('bash'), '-uc', f'source {tree}/tools/environment.sh; echo ready'],
      env={'PATH': str(tree / 'bin')}, capture_output=True, text=True, check=False)
  calls = log.read_text().splitlines() if log.exists() else []
  return done, [c.split()[1] for c in calls if c.startswith('-m')]


def test_no_python_is_one_line_and_exit_1(tree):
  done, _ = _run(tree)
  assert done.returncode == 1 and 'ready' not in done.stdout
  line, = done.stderr.splitlines()
  assert 'Python 3.11' in line


def test_installs_once_and_again_when_a_pin_changes(tree):
  _add_python(tree)
  assert _run(tree)[1] == INSTALLATION
  done, calls = _run(tree)
  assert calls == [] and done.stdout == 'ready\n'
  with open(tree / 'constraints.txt', 'a') as f:
    f.write('another==1.0\n')
  assert _run(tree)[1] == INSTALLATION
  assert _run(tree)[1] == []


def test_failed_installation_is_told_and_redone(tree):
  _add_python(tree)
  (tree / 'broken').touch()
  done, calls = _run(tree)
  assert done.returncode == 1 and calls == ['venv', 'pip']
  assert 'run the same again' in done.stderr
  (tree / 'broken').unlink()
  done, calls = _run(tree)
  assert done.returncode == 0 and calls == INSTALLATION


def test_interrupted_installation_is_redone(tree):
  _add_python(tree)
  _run(tree)
  (tree / '.venv.state').write_text('')  # as it is until the last step
  assert _run(tree)[1] == INSTALLATION


def test_foreign_environment_is_left_alone(tree):
  _add_python(tree)
  (tree / '.venv').mkdir()
  (tree / '.venv' / 'mine').touch()
  done, calls = _run(tree)
  assert done.returncode == 1 and calls == [] and (tree / '.venv' / 'mine').exists()
  line, = done.stderr.splitlines()
  assert 'TFMM_VENV' in line


def test_uv_is_asked_where_there_is_no_python(tree):
  uv = tree / 'bin' / 'uv'
  uv.write_text(f'#!{shutil.which("bash")}\necho "$*" > "{tree}/uv_call"\nexit 1\n')
  uv.chmod(0o755)
  assert _run(tree)[0].returncode == 1
  assert '--python 3.11' in (tree / 'uv_call').read_text()
