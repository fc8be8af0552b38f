"""The command line of `evaluate`, in this process."""

import json

from absl import flags
import pytest

from tests.training import tiny_run
from tfmm import evaluate
from tfmm import trained_run


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(tmp_path_factory.mktemp('data'), [('test', 3)])


@pytest.fixture
def untrained(monkeypatch):
  """A run that is built instead of trained."""
  def load(model_dir, checkpoint, *, data_dir, **stronger):
    del stronger
    return trained_run.TrainedRun(
        model_dir=model_dir, model=tiny_run.unimodal(3), dataset=tiny_run.rgb_spec(),
        info={'labels': ['a', 'b', 'c'], 'data_dir': data_dir},
        checkpoint=f'{model_dir}/{checkpoint}', step=7)
  monkeypatch.setattr(trained_run, 'load', load)


def run(*arguments):
  """The command in this process, with flags of its own."""
  values = flags.FlagValues()
  evaluate.define_flags(values)
  evaluate.main(values(['evaluate', *arguments]), values)


def mistake(*arguments):
  """The one line that the command says when it fails."""
  with pytest.raises(SystemExit) as error:
    run(*arguments)
  # sys.exit(text) writes the text to stderr and exits with 1.
  assert isinstance(error.value.code, str) and '\n' not in error.value.code
  return error.value.code


@pytest.mark.usefixtures('untrained')
def test_a_table_and_two_files(data_dir, tmp_path, capsys):
  run(f'--model_dir={tmp_path}', f'--data_dir={data_dir}', '--checkpoint=best',
      '--batch_size=2', '--timed_batches=0')
  told = capsys.readouterr().out
  result = json.loads((tmp_path / 'eval_test.json').read_text())
  assert result['num_videos'] == 3 and result['split'] == 'test'
  assert result['step'] == 7 and result['checkpoint'] == f'{tmp_path}/best'
  assert 'ms_per_video_masked' not in result
  lines = (tmp_path / 'decisions_test.jsonl').read_text().splitlines()
  assert {json.loads(line)['media_id'] for line in lines} == {'test0', 'test1', 'test2'}
  assert 'rgb selected' in told
  assert f'written: {tmp_path}/eval_test.json' in told


@pytest.mark.usefixtures('untrained')
def test_a_split_without_videos_is_one_line(data_dir, tmp_path):
  line = mistake(
      f'--model_dir={tmp_path}', f'--data_dir={data_dir}', '--split=validation')
  assert 'validation' in line and not list(tmp_path.iterdir())


def test_no_run_is_one_line(tmp_path):
  line = mistake(f'--model_dir={tmp_path}')
  assert 'has no checkpoint yet' in line


def test_another_configuration_does_not_take_the_place_of_the_results(tmp_path):
  line = mistake(f'--model_dir={tmp_path}/run', '--gin_param=a.b = 1')
  assert line.endswith(f'give --output_dir, such as {tmp_path}/run_other.')


@pytest.mark.parametrize('arguments, words', [
    (['--budget_gflops=80,many'], "'many' is no number; give limits such as 80,120"),
    (['--plot=curve.png'], '--plot=curve.png draws what --budget_gflops asks for'),
    (['--budget_gflops=80', '--plot=curve.doc'], 'curve.doc does not end with one of'),
    (['--budget_gflops=80'], 'LateFusion takes no budget'),
], ids=lambda v: v[0][:40] if isinstance(v, list) else '')
@pytest.mark.usefixtures('untrained')
def test_budgets_that_cannot_be(data_dir, tmp_path, arguments, words):
  line = mistake(f'--model_dir={tmp_path}', f'--data_dir={data_dir}', *arguments)
  assert words in line and not list(tmp_path.iterdir())


def test_other_arguments_are_refused():
  line = mistake('--model_dir=RUN', 'RUN')
  assert line == "evaluate: unexpected argument 'RUN'; flags start with --."
