import numpy as np
import pytest
import tensorflow as tf

from tests.models import quick_models
from tests.training import tiny_run
from tfmm.encoders import cached
from tfmm.layers import gated_encoder
from tfmm.training import checkpoints


def save(directory, value):
  path = str(directory / f'ckpt-{value}')
  return tf.train.Checkpoint(v=tf.Variable(value)).write(path)


def load(path):
  return tf.train.load_checkpoint(path).get_tensor('v/.ATTRIBUTES/VARIABLE_VALUE')


def test_the_best_outlives_the_checkpoint_it_came_from(tmp_path):
  record = checkpoints.BestRecord(str(tmp_path))
  record.update('alternating', 10, .5, save(tmp_path, 10))
  record.update('alternating', 20, .4, save(tmp_path, 20))
  for file in tmp_path.glob('ckpt-10*'):
    file.unlink()
  again = checkpoints.BestRecord(str(tmp_path))
  assert again.validated_step == 20 and again.top1('alternating') == .5
  assert load(again.checkpoint('alternating')) == 10
  # Equal: the later one, and the copy of the earlier one is gone.
  again.update('alternating', 30, .5, save(tmp_path, 30))
  assert load(again.checkpoint('alternating')) == 30
  assert sorted(p.name.split('.')[0] for p in (tmp_path / 'best').iterdir()) == [
      'alternating-30'] * 2


def test_stages_have_their_own_best(tmp_path):
  record = checkpoints.BestRecord(str(tmp_path))
  record.update('alternating', 10, .9, save(tmp_path, 10))
  record.update('fine-tuning', 20, .1, save(tmp_path, 20))
  assert load(record.checkpoint('alternating')) == 10
  assert load(record.last_stage()) == 20
  with pytest.raises(ValueError, match="checkpoint of the stage 'warm-up'"):
    record.checkpoint('warm-up')


def test_find_checkpoint(tmp_path):
  with pytest.raises(ValueError, match='has no checkpoint yet'):
    checkpoints.find_checkpoint(str(tmp_path))
  path = save(tmp_path, 1)
  assert checkpoints.find_checkpoint(str(tmp_path)) == path
  assert checkpoints.find_checkpoint(path) == path
  with pytest.raises(ValueError, match='no validated checkpoint'):
    checkpoints.find_checkpoint(str(tmp_path), 'best')
  with pytest.raises(ValueError, match="must be 'last' or 'best'"):
    checkpoints.find_checkpoint(str(tmp_path), 'worst')
  with pytest.raises(ValueError, match='neither a run directory nor'):
    checkpoints.find_checkpoint(str(tmp_path / 'x'))


def test_statements_of_a_configuration():
  text = ('import a\n\n# Macros:\nLR = 0.1\n'
          'a.B.c = \\\n    {\'x\': 1,\n     \'y\': 2}\n'
          '# c = 3\na.B.d = "e = f"\n')
  assert checkpoints.config_statements(text) == {
      'LR': '0.1', 'a.B.c': "{'x': 1, 'y': 2}", 'a.B.d': '"e = f"'}


def test_a_run_that_has_no_checkpoint_yet_may_be_of_any_recipe(tmp_path):
  checkpoints.write_text(str(tmp_path / checkpoints.CONFIG_FILE), 'a.b = 1\n')
  checkpoints.check_same_recipe(str(tmp_path), 'a.b = 2\n')
  save(tmp_path, 1)
  with pytest.raises(ValueError, match='a.b was 1 and is now 2'):
    checkpoints.check_same_recipe(str(tmp_path), 'a.b = 2\n')
  checkpoints.check_same_recipe(str(tmp_path), 'a.b = 2\n', ignored=['b'])


def test_many_differences_are_cut_short(tmp_path):
  save(tmp_path, 1)
  old = ''.join(f'a.p{i} = 1\n' for i in range(9))
  checkpoints.write_text(str(tmp_path / checkpoints.CONFIG_FILE), old)
  with pytest.raises(ValueError, match=r'a.p2 was 1 and is now not set \(and 6 more\)'):
    checkpoints.check_same_recipe(str(tmp_path), '')


def test_a_model_without_the_weights(tmp_path):
  path = save(tmp_path, 1)
  model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
  model.build([None, 2])
  with pytest.raises(ValueError, match='is of another model'):
    checkpoints.restore_model(model, path)


def make_run(directory, steps):
  step = tf.Variable(0, dtype=tf.int64)
  checkpoint = tf.train.Checkpoint(step=step)
  manager = checkpoints.make_manager(
      checkpoint, str(directory), step, keep=9, every_steps=1, chief=True)
  for number in steps:
    step.assign(number)
    manager.save(checkpoint_number=number)
  return checkpoint


def test_the_last_checkpoint_is_found_by_its_files(tmp_path):
  assert checkpoints.latest_checkpoint(str(tmp_path / 'none')) is None
  checkpoint = make_run(tmp_path, [9, 10])
  for name in ('checkpoint', 'ckpt-10.index', 'ckpt-10.data-00000-of-00001'):
    (tmp_path / name).unlink()  # as after a damage, and by our own advice
  assert checkpoints.restore_latest(checkpoint, str(tmp_path)) == (
      str(tmp_path / 'ckpt-9'))
  assert checkpoint.step.numpy() == 9


@pytest.mark.parametrize('name', ['ckpt-10.index', 'ckpt-10.data-00000-of-00001'])
def test_a_damaged_checkpoint_is_named_with_the_way_on(tmp_path, name):
  checkpoint = make_run(tmp_path, [9, 10])
  (tmp_path / name).write_bytes(b'cut')
  with pytest.raises(OSError, match=r'ckpt-10 is damaged \(.*delete .*ckpt-10\.\*'):
    checkpoints.restore_latest(checkpoint, str(tmp_path))
  with pytest.raises(ValueError, match=f'{checkpoints.BEST_FILE} is damaged'):
    (tmp_path / checkpoints.BEST_FILE).write_text('{')
    checkpoints.BestRecord(str(tmp_path))


def test_another_shape_is_another_model_and_no_damage(tmp_path):
  saved = tf.train.Checkpoint(model=tf.train.Checkpoint(v=tf.Variable(tf.zeros([3]))))
  path = saved.write(str(tmp_path / 'ckpt-1'))
  with pytest.raises(ValueError, match='is of another model'):
    checkpoints.restore_model(tf.train.Checkpoint(v=tf.Variable(tf.zeros([4]))), path)


def saved(model, directory):
  """A run directory with a checkpoint of the model, all of whose values are moved."""
  for variable in model.variables:
    variable.assign_add(tf.fill(variable.shape, .125))
  step = tf.Variable(3, dtype=tf.int64)
  checkpoints.make_manager(
      tf.train.Checkpoint(model=model, step=step), str(directory), step, keep=1,
      every_steps=1, chief=True).save(checkpoint_number=3)
  return str(directory)


def test_a_trained_adamml_gives_its_policy_too(tmp_path):
  trained, model = tiny_run.ada_mml(3), tiny_run.ada_mml(3)
  given = checkpoints.initialize_from(model, [saved(trained, tmp_path)])
  assert given == {m: f'{tmp_path}/ckpt-3' for m in ('rgb', 'audio')}
  for before, after in zip(trained.trainable_variables, model.trainable_variables):
    np.testing.assert_array_equal(before, after)
  assert model.temperature.numpy() == 5.  # of the phase that begins, not of the run


def test_without_a_policy_fusion_starts_anew(tmp_path):
  trained, model = tiny_run.late_fusion(3), tiny_run.ada_mml(3)
  before = model.policy.get_weights()
  checkpoints.initialize_from(model, [saved(trained, tmp_path)])
  np.testing.assert_array_equal(model.fusion.free_weights, [.5])
  for was, stayed in zip(before, model.policy.get_weights()):
    np.testing.assert_array_equal(was, stayed)
  np.testing.assert_array_equal(
      model.classifiers['rgb'].kernel, trained.classifiers['rgb'].kernel)


def on_features():
  """The hierarchy of `quick_models.hms`, without encoders of its own."""
  encoders = {m: gated_encoder.GatedEncoder(
      cached.CachedFeatures(feature_dim=4, gflops_per_row=1.), view=m)
              for m in ('rgb', 'audio')}
  return quick_models.hms(encoders=encoders)


def test_a_hierarchy_trained_on_features_gets_their_encoders(tmp_path):
  trained, encoders = on_features(), quick_models.late_fusion()
  runs = [saved(trained, tmp_path / 'hms'), saved(encoders, tmp_path / 'encoders')]
  model = quick_models.hms()
  with pytest.raises(ValueError, match="no encoder of 'rgb'"):
    checkpoints.initialize_from(model, runs[:1])
  assert set(checkpoints.initialize_from(model, runs[::-1])) == {'rgb', 'audio'}
  for before, after in zip(trained.levels[1].get_weights(),
                           model.levels[1].get_weights(), strict=True):
    np.testing.assert_array_equal(before, after)
  np.testing.assert_array_equal(trained.classifier.kernel, model.classifier.kernel)
  np.testing.assert_array_equal(
      encoders.encoders['rgb'].backbone.conv.kernel,
      model.encoders['rgb'].backbone.conv.kernel)
  with pytest.raises(ValueError, match="both .* have 'levels'"):
    checkpoints.initialize_from(
        model, [runs[0], saved(quick_models.hms(), tmp_path / 'other')])
  again = on_features()
  assert checkpoints.initialize_from(again, runs[:1]) == {}
  np.testing.assert_array_equal(trained.classifier.kernel, again.classifier.kernel)


def test_a_temperature_is_in_the_checkpoint(tmp_path):
  trained, model = tiny_run.ada_mml(3), tiny_run.ada_mml(3)
  trained.temperature.assign(2.)
  saved(trained, tmp_path)
  checkpoints.restore_model(model, f'{tmp_path}/ckpt-3')
  assert model.temperature.numpy() == 2.125
