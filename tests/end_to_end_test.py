"""The README's commands at tiny size, as a user types them, and a user's mistakes.

Commands are read from README.md and run in a scratch folder with more flags that make
them small. One chain of processes serves all tests; they only look at what it left.
"""

from concurrent import futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

from absl import flags
import pytest

from tfmm import command_line
from tfmm import evaluate
from tfmm import export_model
from tfmm import schema
from tfmm import train

ROOT = pathlib.Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow
README = (ROOT / 'README.md').read_text(encoding='utf-8')

_SEGMENTS = {'dataset.DatasetSpec': {'num_segments': 2, 'eval_segments': 4}}
_RGB = {
    'dataset.RgbFrames': {'num_frames': 2, 'size': 32},
    'resnet.ResNet': {'depth': 18, 'width': 4, 'num_frames': 2, 'size': 32}}
_SOUND = {'dataset.LogSpectrogram': {
    'sample_rate': 8000, 'seconds': .16, 'n_fft': 63, 'window': 60, 'hop': 40}}
_SMALL = {'width_multiplier': .1, 'last_channels': 16, 'size': 32}
_LISTENER = {'mobilenet.MobileNetV2': _SMALL}
_POLICY = {
    'dataset.RgbPreview': {'frames': (0,), 'size': 16},
    'sound/mobilenet.MobileNetV2': _SMALL,
    'hearing/mobilenet.MobileNetV2': _SMALL,
    'preview/mobilenet.MobileNetV2': {**_SMALL, 'num_frames': 1, 'size': 16},
    'adamml.Policy': {'joint_dim': 8, 'lstm_units': 4}}
_EPOCH = {'phases.single_phase': {'epochs': 1}}
_EPOCHS = {'phases.adamml_phases': {
    'warm_up_epochs': 1, 'alternating_epochs': 1, 'fine_tune_epochs': 1}}


def _gin(*parts):
  return [f'--gin_param={name}.{key} = {value!r}' for part in parts
          for name, values in part.items() for key, value in values.items()]


_FULL_SIZE_RGB = {'dataset.RgbFrames': _RGB['dataset.RgbFrames'],
                  'rgb/resnet.ResNet': _RGB['resnet.ResNet']}
_TINY_RGB = ['--batch_size=4', *_gin(_SEGMENTS, _RGB, _EPOCH)]

# {name: (words of a README command, further arguments)}, in stages; the commands of a
# stage do not need each other.
STAGES = (
    {'videos': (('make_demo_videos.py',), ['--num_videos=12', '--seconds=4'])},
    {'data': (('beam_pipelines.prepare_videos', '--output_dir=data'), [])},
    {'rgb': (('--model_dir=runs/rgb',), _TINY_RGB),
     'audio': (('--model_dir=runs/audio',),
               ['--batch_size=4', *_gin(_SEGMENTS, _SOUND, _LISTENER, _EPOCH)])},
    {'adamml': (('tfmm.train', '--model_dir=runs/adamml'),
                ['--batch_size=4', *_gin(_SEGMENTS, _RGB, _SOUND, _POLICY, _EPOCHS)]),
     'fusion': (('tfmm.train', '--model_dir=runs/fusion'),
                ['--batch_size=4', *_gin(_SEGMENTS, _RGB, _SOUND, _LISTENER, _EPOCH)])},
    {'export': (('tfmm.export_model', '--output_dir=saved_model'), []),
     'evaluate adamml': (('tfmm.evaluate', '--model_dir=runs/adamml', '--split=test'),
                         []),
     'evaluate fusion': (('tfmm.evaluate', '--model_dir=runs/fusion'), []),
     # Of a smaller recipe; gin_configs_test.py takes the steps of all of them.
     'dry run': (('--gin_file=gin_configs/adamml.gin', '--dry_run'),
                 ['--gin_file=gin_configs/rgb.gin', *_gin(_SEGMENTS, _FULL_SIZE_RGB)]),
     'data again': (('beam_pipelines.prepare_videos', '--output_dir=data'), []),
     'rgb again': (('--model_dir=runs/rgb',), _TINY_RGB)},
    {'predict': (('tfmm.predict', '--saved_model=saved_model'), []),
     'random gates': (('tfmm.evaluate', '--output_dir=runs/random_test'),
                      ['--timed_batches=0']),
     'report': (('tools/report.py',), []),
     'features': (('--output_dir=features/rgb',), []),
     'inspect': (('tools/inspect_shards.py', '--html=page.html'), []),
     'verify': (('tools/inspect_shards.py', '--verify'), [])},
)

# {name: (words of a README command, further arguments, what its one line says)}
MISTAKES = {
    'no manifest': (('beam_pipelines.prepare_videos', '--output_dir=data'),
                    ['--manifest=nothing.csv'], 'manifest nothing.csv does not exist'),
    'wrong header': (('beam_pipelines.prepare_videos', '--output_dir=data'),
                     ['--manifest=wrong.csv'], 'row 1: no column label'),
    'no data': (('--model_dir=runs/rgb',), ['--data_dir=nothing', *_TINY_RGB],
                'nothing is not a finished dataset (no COMPLETED); make it: python -m '
                'beam_pipelines.prepare_videos'),
    'gin typo': (('--model_dir=runs/rgb',), [*_TINY_RGB, '--gin_param=BATHC_SIZE = 4'],
                 "'BATHC_SIZE' is never used (did you mean 'BATCH_SIZE'?)"),
    'other recipe': (('--model_dir=runs/rgb',),
                     [*_TINY_RGB, '--model_dir=runs/audio'],
                     'runs/audio holds a run of another recipe'),
    'no run': (('tfmm.evaluate', '--model_dir=runs/fusion'), ['--model_dir=videos'],
               'videos has no checkpoint yet; train it first'),
    'no model': (('tfmm.predict', '--saved_model=saved_model'), ['--saved_model=runs'],
                 'runs holds no SavedModel'),
    'no evaluation': (('tools/report.py',), ['runs/audio'],
                      'runs/audio/eval_test.json is missing; make it with'),
    'bad video': (('tfmm.predict', '--saved_model=saved_model'),
                  ['junk.mp4', '--json'], 'junk.mp4: open: '),
}


# {program: (arguments, what it says)}: input that is not there, for commands of the
# README that are not run.
ABSENT = {
    'beam_pipelines.prepare_videos': (
        ['--manifest=nothing'], 'manifest nothing does not exist'),
    'beam_pipelines.adopt_shards': (
        ['--train=nothing'], '--train=nothing finds no file'),
    'beam_pipelines.extract_features': (
        ['--data_dir=nothing'], 'nothing is not a finished dataset'),
    # Features stand in a directory of each view.
    'tfmm.train': (['--data_dir=nothing'],
                   r'nothing is not a finished dataset|nothing/\w+ holds no finished'),
    'tfmm.evaluate': (
        ['--model_dir=nothing'], 'nothing is neither a run directory nor'),
    'tfmm.export_model': (
        ['--model_dir=nothing'], 'nothing is neither a run directory nor'),
    'tfmm.predict': (['--saved_model=nothing'], 'nothing holds no SavedModel'),
    'tools/convert_resnet_checkpoint.py': ([], 'resnet50.pth'),
    'tools/convert_adamml_checkpoint.py': ([], 'adamml_rgb_sound.pth.tar'),
    'tools/count_flops.py': (['--paper=nothing'], "invalid choice: 'nothing'"),
    'tools/make_manifest.py': (
        ['--annotations=nothing'], '--annotations=nothing does not exist'),
}


def _blocks(language):
  return re.findall(rf'^```{language}\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)


def _commands():
  """The README's python commands as lists of words, in order."""
  lines = '\n'.join(_blocks('bash')).replace('\\\n', ' ').splitlines()
  return [shlex.split(line) for line in lines if line.startswith('python ')]


def _command(words):
  """The README's one command that has all these words."""
  found = [c for c in _commands() if all(
      any(w == word or w.endswith(f'/{word}') for w in c) for word in words)]
  assert len(found) == 1, f'README.md has {len(found)} commands with {words}'
  return found[0]


def _with(command, more):
  """The command with more arguments; a recipe takes the place of its own."""
  if any(word.startswith('--gin_file=') for word in more):
    command = [word for word in command if not word.startswith('--gin_file=')]
  return [*command, *more]


def _run(folder, words):
  return subprocess.run(
      [sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True,
      check=False, env={**os.environ, 'PYTHONPATH': str(ROOT)})


def _scratch(folder):
  """Makes a folder look like the repository's."""
  for name in ('tools', 'gin_configs'):
    (folder / name).symlink_to(ROOT / name)
  return folder


@pytest.fixture(scope='module', name='folder')
def folder_fixture(tmp_path_factory):
  folder = _scratch(tmp_path_factory.mktemp('readme'))
  (folder / 'junk.mp4').write_text('no film')
  (folder / 'wrong.csv').write_text('video_path,class\na.mp4,x\n')
  return folder


@pytest.fixture(scope='module', name='done')
def done_fixture(folder):
  """{name: finished process} of all STAGES; each of them succeeded."""
  done = {}
  with futures.ThreadPoolExecutor(2) as pool:
    for stage in STAGES:
      running = {name: pool.submit(_run, folder, _with(_command(words), more))
                 for name, (words, more) in stage.items()}
      for name, future in running.items():
        done[name] = future.result()
        assert not done[name].returncode, f'{name}: {done[name].stderr}'
        assert 'Traceback' not in done[name].stderr
  return done


@pytest.fixture(scope='module', name='mistaken')
def mistaken_fixture(done, folder):
  """{name: finished process} of all MISTAKES."""
  del done  # mistakes are made where everything is in place
  with futures.ThreadPoolExecutor(2) as pool:
    running = {name: pool.submit(_run, folder, _with(_command(words), more))
               for name, (words, more, _) in MISTAKES.items()}
    return {name: future.result() for name, future in running.items()}


def test_videos_become_a_dataset(done, folder):
  info = json.loads((folder / 'data' / schema.DATASET_INFO).read_text())
  assert {s: e['num_videos'] for s, e in info['splits'].items()} == {
      'train': 9, 'validation': 1, 'test': 2}
  assert len(info['labels']) == 10 and (folder / 'data' / schema.COMPLETED).exists()
  rejected = (folder / 'data' / schema.REJECTED).read_text()
  assert rejected == ','.join(schema.REJECTED_COLUMNS) + '\n'
  assert 'nothing to do' in done['data again'].stderr


@pytest.mark.parametrize('run', ['rgb', 'audio', 'fusion', 'adamml'])
def test_training_leaves_a_run(done, folder, run):
  del done
  names = {path.name for path in (folder / 'runs' / run).iterdir()}
  assert names >= {'best', 'best.json', 'operative_config.gin', 'run.json', 'train',
                   'validation', 'COMPLETED', 'checkpoint'}
  steps = json.loads((folder / 'runs' / run / 'run.json').read_text())['steps']
  assert steps == (8 if run == 'adamml' else 2)  # epochs of 9 // 4 steps
  assert f'ckpt-{steps}.index' in names


def test_progress_and_stages_are_told(done):
  lines = done['adamml'].stderr + done['adamml'].stdout
  for word in ('warm-up 1/1', 'alternating policy 1/1', 'fine-tuning 1/1',
               'validation top-1', 'videos/s', 'left', 'ran: rgb'):
    assert word in lines


def test_a_finished_run_has_nothing_to_do(done):
  again = done['rgb again'].stderr + done['rgb again'].stdout
  assert 'runs/rgb is complete at step 2; nothing to do' in again


def test_dry_run_tells_sizes_and_saves_nothing(done, folder):
  lines = done['dry run'].stdout
  for word in ('recognition: ', ' M parameters', 'GFLOPs per segment',
               'train: one step of 2 videos', 'peak memory', 'Nothing was saved'):
    assert word in lines
  runs = {path.name for path in (folder / 'runs').iterdir()}
  assert runs == {'rgb', 'audio', 'fusion', 'adamml', 'random_test'}


@pytest.mark.parametrize('run', ['fusion', 'adamml'])
def test_evaluation_has_the_keys_of_the_readme(done, folder, run):
  result = json.loads((folder / 'runs' / run / 'eval_test.json').read_text())
  assert set(result) == set(_first_column('key'))
  assert result['num_videos'] == 2 and result['split'] == 'test'
  assert set(result['selection_rate']) == {'rgb', 'audio'}
  assert all(0 <= rate <= 1 for rate in result['selection_rate'].values())
  assert 0 <= result['top1'] <= result['top5'] <= 1
  assert result['ms_per_video_gathered'] > 0 < result['ms_per_video_masked']
  if run == 'fusion':
    assert result['gflops_per_video'] == result['gflops_all_modalities'] > 0
  table = done[f'evaluate {run}'].stdout
  assert f'written: runs/{run}/eval_test.json' in table and 'GFLOPs per video' in table


def test_decisions_name_every_test_video(done, folder):
  del done
  text = (folder / 'runs' / 'adamml' / 'decisions_test.jsonl').read_text()
  lines = [json.loads(line) for line in text.splitlines()]
  manifest = (folder / 'videos' / 'manifest.csv').read_text().splitlines()
  assert {line['media_id'] for line in lines} == {
      row.split(',')[0] for row in manifest if row.endswith(',test')}
  for line in lines:
    assert line['modalities'] == ['rgb', 'audio']
    assert len(line['ran']) == len(line['present']) == len(line['segment_times']) == 4


def test_random_gates_are_measured_beside_the_run(done, folder):
  del done
  lines = (folder / 'runs' / 'random_test' / 'decisions_test.jsonl').read_text()
  learned = (folder / 'runs' / 'adamml' / 'decisions_test.jsonl').read_text()
  ran = [sum(map(sum, json.loads(line)['ran'])) for line in lines.splitlines()]
  assert lines != learned and 0 < sum(ran) < 2 * 4 * 2


def test_export_is_a_version_for_a_server(done, folder):
  version = folder / 'saved_model' / '1'
  assert (version / 'saved_model.pb').exists()
  labels = json.loads((version / 'assets.extra' / 'tfmm.json').read_text())['labels']
  info = json.loads((folder / 'data' / schema.DATASET_INFO).read_text())
  assert labels == info['labels']
  assert (version / 'assets.extra' / 'tf_serving_warmup_requests').exists()
  assert 'all of core TensorFlow' in done['export'].stdout


def test_prediction_prints_a_chart(done):
  lines = done['predict'].stdout.splitlines()
  assert lines[0] == 'videos/videos/0001.mp4' and len(lines) == 1 + 5 + 2 + 2 + 1
  for line, modality in zip(lines[8:10], ('rgb', 'audio')):
    assert re.fullmatch(rf'  {modality} +([#.] +){{4}}\d of 4', line)
  assert 'GFLOPs, against' in lines[-1]


def test_report_puts_runs_into_one_table(done):
  lines = done['report'].stdout.splitlines()
  assert lines[0].split()[:2] == ['method', 'top-1']
  assert [line.split()[0] for line in lines[2:4]] == ['fusion', 'adamml']


def test_features_are_extracted(done, folder):
  assert '192 steps of 12 videos' in done['features'].stderr
  info = json.loads((folder / 'features' / 'rgb' / schema.DATASET_INFO).read_text())
  assert info['options']['dimensions'] == 32  # of a ResNet-18 of width 4


def test_shards_can_be_looked_at(done, folder):
  assert 'checksums and CRCs are right' in done['verify'].stdout
  assert re.search(r'^train +9 videos', done['inspect'].stdout, re.MULTILINE)
  page = (folder / 'page.html').read_text()
  assert page.count('<img') >= 3 and 'http' not in page.replace('http://www.w3.org', '')


@pytest.mark.parametrize('name', MISTAKES)
def test_a_mistake_costs_one_line(mistaken, name):
  process = mistaken[name]
  lines = process.stderr.splitlines()
  assert process.returncode and len(lines) == 1, process.stderr
  assert MISTAKES[name][2] in lines[0]


def test_mistakes_lose_nothing(mistaken, folder):
  good = json.loads(mistaken['bad video'].stdout)  # the readable one is answered
  assert good['video'] == 'videos/videos/0001.mp4' and len(good['ran']) == 4
  for run in ('rgb', 'audio'):
    assert (folder / 'runs' / run / 'ckpt-2.index').exists()
  assert (folder / 'data' / schema.COMPLETED).exists()


def test_the_client_of_the_readme_gets_an_answer(
    done, folder, monkeypatch, capsys):
  del done
  import tensorflow as tf
  from tensorflow_serving.apis import prediction_service_pb2_grpc
  from tests.export import serving_stub
  code, = _blocks('python')
  loaded = tf.saved_model.load(str(folder / 'saved_model' / '1'))
  monkeypatch.chdir(folder)
  with serving_stub.serve('tfmm', loaded.signatures) as stub:
    # The channel of the README's address is never used, so nothing connects to it.
    monkeypatch.setattr(
        prediction_service_pb2_grpc, 'PredictionServiceStub', lambda channel: stub)
    exec(compile(code, 'README.md', 'exec'), {})  # pylint: disable=exec-used
  assert capsys.readouterr().out.startswith("('rgb', 'audio') [[")


# Mains whose mistakes are made here, to import TensorFlow only once.
MAINS = {'tfmm.train': train, 'tfmm.evaluate': evaluate,
         'tfmm.export_model': export_model}


def _say_here(main, command):
  """What a main says that stops at once."""
  values = flags.FlagValues()
  main.define_flags(values)
  with pytest.raises(SystemExit) as stop:
    main.main(command_line.parse(main.__name__, command, values), values)
  return str(stop.value)


def test_commands_that_are_not_run_have_the_right_flags(tmp_path, monkeypatch):
  """They get as far as their input, which is not there: all flags are known."""
  monkeypatch.chdir(_scratch(tmp_path))
  done = [_command(words) for stage in STAGES for words, _ in stage.values()]

  def check(command):
    program = command[2] if command[1] == '-m' else command[1]
    if program.startswith('apache_beam.'):  # services; engines_test.py starts them
      return
    if program not in ABSENT:  # a tool called without flags
      assert len(command) == 2 and (ROOT / program).exists(), command
      return
    more, says = ABSENT[program]
    if program in MAINS:
      assert re.search(says, _say_here(MAINS[program], [*command[2:], *more]))
      return
    process = _run(tmp_path, [*command, *more])
    assert process.returncode and says in process.stderr, process.stderr

  for command in _commands():
    if command not in done:
      check(command)


def _first_column(header):
  """Words in code quotes in the first column of the README's table with this header."""
  table = re.search(rf'^\| {header} \|.*?\n\n', README, re.MULTILINE | re.DOTALL)[0]
  rows = table.splitlines()[2:]
  return [word for row in rows if row
          for word in re.findall('`(.*?)`', row.split('|')[1])]


def test_tables_of_the_readme_are_true():
  assert _first_column('reason') == list(schema.REJECT_REASONS)
  pins = dict(re.findall(
      r'^([\w.-]+)==(\S+)', (ROOT / 'constraints.txt').read_text(), re.MULTILINE))
  table = re.search(r'^\| package \|.*?\n\n', README, re.MULTILINE | re.DOTALL)[0]
  versions = re.findall(r'^\| ([\w-]+) \| (\d\S*) \|', table, re.MULTILINE)
  assert len(versions) >= 10
  assert versions == [(name, pins[name]) for name, _ in versions]
  for path in re.findall(r'`((?:tests|tools|tfmm|gin_configs)/[\w/.]+)`', README):
    assert (ROOT / path).exists(), path


def test_the_readme_is_complete():
  assert not re.findall(r'\{\{\w+\}\}', README), 'figures are left to fill in'
