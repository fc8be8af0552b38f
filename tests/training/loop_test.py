import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny_run
from tfmm import directory_lock
from tfmm.losses import recognition
from tfmm.training import checkpoints, loop, optimizers, phases


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(tmp_path_factory.mktemp('data'))


def weights(model_dir):
  path = tf.train.latest_checkpoint(model_dir)
  reader = tf.train.load_checkpoint(path)
  return {k: reader.get_tensor(k) for k in reader.get_variable_to_shape_map()
          if 'OBJECT_GRAPH' not in k and 'save_counter' not in k}


@pytest.mark.slow
def test_killed_in_every_phase_it_ends_with_the_same_weights(
    data_dir, tmp_path, children):
  # 2 steps per epoch: warm-up ends at 2, alternating at 10, fine-tuning at 14.
  whole, killed = str(tmp_path / 'whole'), str(tmp_path / 'killed')
  assert children(tiny_run.train_and_die, data_dir, whole) == 0
  for death in ({'die_at': 1}, {'die_at': 3}, {'die_at': 5},
                {'die_in_validation': 10}, {'die_at': 11}):
    code = children(tiny_run.train_and_die, data_dir, killed, **death)
    assert code == -signal.SIGKILL
    assert not os.path.exists(os.path.join(killed, 'COMPLETED'))
  assert children(tiny_run.train_and_die, data_dir, killed) == 0
  expected, got = weights(whole), weights(killed)
  assert expected.keys() == got.keys() and len(got) > 40
  assert any('policy' in k for k in got) and any('_variables' in k for k in got)
  for key, value in expected.items():
    np.testing.assert_array_equal(got[key], value, err_msg=key)
  for file in ('best.json', 'COMPLETED'):
    assert (tmp_path / 'killed' / file).read_text() == (
        tmp_path / 'whole' / file).read_text()


def test_a_run_leaves_what_is_promised_and_is_not_repeated(data_dir, tmp_path, capsys):
  run = str(tmp_path / 'run')
  options = tiny_run.unimodal_options(data_dir=data_dir, model_dir=run)
  done = loop.train(**options, recipe=lambda: 'a.b = 1\n')
  assert {'loss', 'top1', 'validation/top1', 'learning_rate/recognition'} <= set(done)
  assert done['step'] == 4
  assert done['learning_rate/recognition'] == pytest.approx(.005)  # decayed once
  info = json.loads((tmp_path / 'run' / 'run.json').read_text())
  assert info['labels'] == ['a', 'b', 'c'] and info['modalities'] == ['rgb']
  assert info['steps'] == 4 and info['data_dir'] == data_dir
  assert (tmp_path / 'run' / 'operative_config.gin').read_text() == 'a.b = 1\n'
  assert list((tmp_path / 'run' / 'train').glob('events*'))
  assert list((tmp_path / 'run' / 'validation').glob('events*'))
  best = checkpoints.BestRecord(run)
  assert best.validated_step == 4 and best.top1('train') is not None
  assert tf.train.load_checkpoint(best.last_stage())
  out = capsys.readouterr()
  assert 'step 4 | validation top-1' in out.err and 'train 1/2 | step 2/4' in out.err
  assert out.out == ''
  before = weights(run)
  assert loop.train(**options) == done
  assert 'nothing to do' in capsys.readouterr().err
  np.testing.assert_equal(weights(run), before)


def test_another_recipes_run_is_refused(data_dir, tmp_path):
  run = str(tmp_path / 'run')
  plan = phases.single_phase(loss=recognition.CrossEntropy(), epochs=1)
  options = tiny_run.unimodal_options(data_dir=data_dir, model_dir=run, phases=plan)
  text = 'loop.train.model_dir = \'x\'\nopt.rate = 0.1\n'
  loop.train(**options, recipe=lambda: text)
  loop.train(**options, recipe=lambda: text.replace('\'x\'', '\'moved\''))
  with pytest.raises(ValueError) as error:
    loop.train(**options, recipe=lambda: text.replace('0.1', '0.2'))
  message = str(error.value)
  assert 'opt.rate was 0.1 and is now 0.2' in message and '\n' not in message
  assert 'Use another --model_dir' in message


def test_unimodal_runs_start_a_fusion(data_dir, tmp_path):
  plan = phases.single_phase(loss=recognition.CrossEntropy(), epochs=1)
  runs = {}
  for modality, view in (('rgb', tiny_run.FRAMES), ('audio', tiny_run.SOUND)):
    runs[modality] = str(tmp_path / modality)
    loop.train(**tiny_run.unimodal_options(
        model=lambda num_classes, m=modality: tiny_run.unimodal(num_classes, m),
        dataset=tiny_run.spec(view), data_dir=data_dir, model_dir=runs[modality],
        phases=plan, validate_every=0))
  model = tiny_run.late_fusion(3)
  sources = checkpoints.initialize_from(model, list(runs.values()))
  assert sorted(sources) == ['audio', 'rgb']
  for modality, run in runs.items():
    trained = weights(run)
    backbone = model.encoders[modality].backbone
    prefix = f'model/encoders/{modality}/backbone/'
    suffix = '/.ATTRIBUTES/VARIABLE_VALUE'
    np.testing.assert_array_equal(
        backbone.conv.kernel, trained[f'{prefix}conv/kernel{suffix}'])
    np.testing.assert_array_equal(
        backbone.norm.moving_mean, trained[f'{prefix}norm/moving_mean{suffix}'])
    np.testing.assert_array_equal(
        model.classifiers[modality].bias,
        trained[f'model/classifiers/{modality}/bias{suffix}'])
  with pytest.raises(ValueError, match="init_from has no encoder of 'audio'; it has"):
    checkpoints.initialize_from(model, [runs['rgb']])
  with pytest.raises(ValueError, match="have an encoder of 'rgb'"):
    checkpoints.initialize_from(model, [runs['rgb'], runs['rgb']])
  with pytest.raises(ValueError, match='does not fit audio of this model'):
    checkpoints.initialize_from(tiny_run.unimodal(7, 'audio'), [runs['audio']])
  with pytest.raises(ValueError, match='neither a run directory nor a checkpoint'):
    checkpoints.initialize_from(model, [str(tmp_path / 'nothing')])


@pytest.mark.parametrize('changes, message', [
    ({'dataset': tiny_run.spec(tiny_run.SOUND)}, r"modalities \('rgb',\) and the data"),
    ({'model': tiny_run.late_fusion}, 'name the same, in this order'),
    ({'optimizers': {}}, "moves 'recognition', which has no optimizer"),
    ({'optimizers': {'recognition': optimizers.OptimizerSpec(),
                     'policy': optimizers.OptimizerSpec()}}, "name 'policy', which no"),
    ({'batch_size': 10}, 'fewer than batch_size=10'),
    ({'model_dir': None}, 'pass --model_dir=RUN'),
    ({'data_dir': '/nowhere'}, 'prepare_videos --manifest'),
])
def test_one_line_says_what_is_wrong(data_dir, tmp_path, changes, message):
  options = {'data_dir': data_dir, 'model_dir': str(tmp_path / 'run'),
             **tiny_run.unimodal_options(), **changes}
  with pytest.raises((ValueError, OSError), match=message) as error:
    loop.train(**options)
  assert '\n' not in str(error.value)


def test_best_needs_a_validation_split(tmp_path):
  data = tiny_run.make_data(tmp_path / 'data', splits=(('train', 4),))
  with pytest.raises(ValueError, match="no videos in the split 'validation'"):
    loop.train(data_dir=data, model_dir=str(tmp_path / 'run'),
               **tiny_run.adamml_options())


def test_a_second_run_in_the_same_directory_is_refused(data_dir, tmp_path):
  run = str(tmp_path / 'run')
  with directory_lock.hold(run, 'model_dir'):
    with pytest.raises(OSError, match='model_dir=.*is in use by another process'):
      loop.train(**tiny_run.unimodal_options(data_dir=data_dir, model_dir=run))
  assert not os.listdir(run)


@pytest.mark.parametrize('name', ['checkpoint_every', 'log_every', 'keep_checkpoints'])
def test_intervals_begin_at_one(data_dir, tmp_path, name):
  options = {**tiny_run.unimodal_options(), name: 0}
  with pytest.raises(ValueError, match=f'{name} is 0; it must be 1 or more'):
    loop.train(**options, data_dir=data_dir, model_dir=str(tmp_path / 'run'))
