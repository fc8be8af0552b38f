"""Tests of tools/compare_adamml.sh with a Python that only writes down its calls."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
METHODS = ['rgb', 'audio', 'fusion', 'adamml', 'audio_first', 'random_train_test',
           'random_test']
FAKE_PYTHON = '''#!{bash}
echo "$*" >> "{log}"
'''


def compare(folder, *arguments, script='compare_adamml.sh'):
  """Runs the script; returns (result, the arguments of each call of Python)."""
  log = folder / 'log'
  python = folder / 'venv' / 'bin' / 'python'
  python.parent.mkdir(parents=True)
  python.write_text(FAKE_PYTHON.format(bash=shutil.which('bash'), log=log))
  python.chmod(0o755)
  # The mark of a finished installation.
  (folder / 'venv.state').write_text(
      (ROOT / 'setup.py').read_text() + (ROOT / 'constraints.txt').read_text())
  done = subprocess.run(
      ['bash', str(ROOT / 'tools' / script), *arguments], cwd=folder,
      env={**os.environ, 'TFMM_VENV': str(folder / 'venv')}, capture_output=True,
      text=True, check=False)
  calls = log.read_text().splitlines() if log.exists() else []
  return done, [call.split() for call in calls if not call.startswith('-c')]


def flag(call, name):
  """The values of a flag in a call."""
  return [word.split('=', 1)[1] for word in call if word.startswith(f'--{name}=')]


def test_every_row_of_the_table_is_trained_and_evaluated(tmp_path):
  done, calls = compare(tmp_path, '--work_dir=work', '--seeds=2')
  assert not done.returncode, done.stderr
  *calls, report = calls
  assert report[:3] == ['tools/report.py', '--average', '--videos=videos']
  runs = [word for word in report[3:] if not word.startswith('--')]
  assert runs == [f'{tmp_path}/work/{s}/{m}' for s in range(2) for m in METHODS]
  trained = [d for c in calls if 'tfmm.train' in c for d in flag(c, 'model_dir')]
  evaluated = [(flag(c, 'output_dir') or flag(c, 'model_dir'))[0]
               for c in calls if 'tfmm.evaluate' in c]
  assert sorted(evaluated) == sorted(runs)
  assert sorted(trained) == sorted(r for r in runs if not r.endswith('random_test'))


def test_rows_of_a_seed_share_data_seed_and_starts(tmp_path):
  _, calls = compare(tmp_path, '--work_dir=work', '--seeds=2')
  for call in (c for c in calls if 'tfmm.train' in c):
    run, = flag(call, 'model_dir')
    folder, method = run.rsplit('/', 1)
    assert flag(call, 'data_dir') == [f'{folder}/data']
    assert flag(call, 'seed') == [folder.rsplit('/', 1)[1]]
    recipe, = flag(call, 'gin_file')
    text = (ROOT / recipe).read_text()
    starts = re.search(r"starts = \('(.*)', '(.*)'\)", text)
    assert bool(starts) == (method not in ('rgb', 'audio'))
    if starts:
      assert flag(call, 'init_from') == [f'{folder}/rgb,{folder}/audio']
      assert starts.groups() == tuple(
          f'gin_configs/demo_{m}.gin' for m in ('rgb', 'audio'))


def test_bad_arguments_are_refused_before_anything_runs(tmp_path):
  done, calls = compare(tmp_path, '--seeds=0')
  assert done.returncode == 2 and '--seeds=0 is no number above 0' in done.stderr
  assert not calls
