"""Tests of tools/compare_hms.sh with a Python that only writes down its calls."""

import pytest

from tests.tools import compare_adamml_test
from tests.tools.compare_adamml_test import flag


def compare(folder, *arguments):
  return compare_adamml_test.compare(folder, *arguments, script='compare_hms.sh')


@pytest.fixture(scope='module')
def calls(tmp_path_factory):
  folder = tmp_path_factory.mktemp('compare')
  done, made = compare(folder, '--work_dir=work', '--seeds=2')
  assert not done.returncode, done.stderr
  return folder, made


def test_every_row_is_evaluated(calls):
  folder, made = calls
  *made, report = made
  assert report[:2] == ['tools/report.py', '--average']
  runs = [word for word in report[2:] if not word.startswith('--')]
  assert runs == [f'{folder}/work/{seed}/{method}' for seed in range(2)
                  for method in ('hms', 'uniform', 'early_fusion')]
  evaluated = [(flag(c, 'output_dir') or flag(c, 'model_dir'))[0]
               for c in made if 'tfmm.evaluate' in c]
  assert sorted(evaluated) == sorted(runs)
  under = [flag(c, 'model_dir')[0] for c in made if flag(c, 'budget_gflops')]
  assert under == [run for run in runs if run.endswith('/hms')]


def test_features_come_from_the_runs_of_their_modality(calls):
  folder, made = calls
  extracted = [c for c in made if 'beam_pipelines.extract_features' in c]
  assert len(extracted) == 6
  for call in extracted:
    output, = flag(call, 'output_dir')
    run, modality = output.split('/features/')
    assert flag(call, 'encoder') == [f'run:{run}/{modality}/{modality}']
    assert flag(call, 'data_dir') == [f'{run}/data']
  for call in (c for c in made if 'tfmm.train' in c):
    run, = flag(call, 'model_dir')
    seed_dir, name = run.rsplit('/', 1)
    assert flag(call, 'gin_file') == [f'gin_configs/demo_{name}.gin']
    reads = 'features' if name in ('hms', 'early_fusion') else 'data'
    assert flag(call, 'data_dir') == [f'{seed_dir}/{reads}']
    assert flag(call, 'seed') == [seed_dir.rsplit('/', 1)[1]]


def test_bad_arguments_are_refused_before_anything_runs(tmp_path):
  done, made = compare(tmp_path, '--seeds=few')
  assert done.returncode == 2 and '--seeds=few is no number above 0' in done.stderr
  assert not made
