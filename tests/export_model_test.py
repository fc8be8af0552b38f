"""The command line of `export_model`, each time in a process of its own."""

import os
import pathlib
import subprocess
import sys

from absl import flags

from tests.export import tiny_export
from tfmm import export_model
from tfmm import trained_run
from tfmm.export import foreign_ops

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The command with a run that is built instead of trained.
_WITH_A_TINY_RUN = """
import runpy, sys
sys.path.insert(0, {root!r})
from tests import tiny_models
from tests.export import tiny_export
from tfmm import trained_run

def load(model_dir, checkpoint):
  return trained_run.TrainedRun(
      model_dir=model_dir, model=tiny_models.unimodal('audio'),
      dataset=tiny_export.unimodal_spec('audio'), checkpoint='', step=0,
      info={{'labels': tiny_export.LABELS, 'data_options': {{
          'frame_rate': 10, 'short_side': 36, 'sample_rate': 8000}}}})

trained_run.load = load
runpy.run_module('tfmm.export_model', run_name='__main__')
"""


def run(*command):
  environment = dict(os.environ, PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES='-1')
  return subprocess.run(
      [sys.executable, *command], capture_output=True, text=True, check=False,
      env=environment, cwd=ROOT)


def test_exports_and_says_what_it_wrote(tmp_path):
  done = run(
      '-c', _WITH_A_TINY_RUN.format(root=str(ROOT)), '--model_dir=RUN',
      f'--output_dir={tmp_path}/SM')
  assert done.returncode == 0, done.stderr
  assert f'{tmp_path}/SM/1: ' in done.stdout
  assert (tmp_path / 'SM' / '1' / 'saved_model.pb').exists()
  assert (tmp_path / 'SM' / '1' / 'assets.extra' / 'tfmm.json').exists()


def test_a_run_on_features(tmp_path, monkeypatch, capsys):
  """In this process: what differs is not how the command starts."""
  model, spec, options = tiny_export.features_model()
  monkeypatch.setattr(trained_run, 'load', lambda *_: trained_run.TrainedRun(
      model_dir='RUN', model=model, dataset=spec, checkpoint='', step=0,
      info={'labels': tiny_export.LABELS, 'data_options': options}))
  monkeypatch.setattr(foreign_ops, 'refuse_foreign_ops', lambda path: None)
  values = flags.FlagValues()
  export_model.define_flags(values)
  export_model.main(values(
      ['export_model', '--model_dir=RUN', f'--output_dir={tmp_path}/SM']), values)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith(f'{tmp_path}/SM/1: ') and len(lines) == 5
  assert lines[1].startswith("takes features of rgb, audio, by the signature 'views'")
  assert lines[2].startswith('takes budget_gflops, 0.07001 or more')
  assert lines[3].startswith('reloaded and compared with the run, also under budgets')


def test_no_run_is_one_line(tmp_path):
  done = run('-m', 'tfmm.export_model', f'--model_dir={tmp_path}/none',
             f'--output_dir={tmp_path}/SM')
  assert done.returncode == 1
  lines = [l for l in done.stderr.splitlines() if l.startswith('export_model: ')]
  assert len(lines) == 1 and 'none' in lines[0]
  assert 'Traceback' not in done.stderr
  assert not (tmp_path / 'SM').exists()
