import pytest
import tensorflow as tf

from tfmm.training import checkpoints


def save(directory, value):
  return tf.train.Checkpoint(v=tf.Variable(value)).save(str(directory / f'c{value}'))


def load(path):
  return tf.train.load_checkpoint(path).get_tensor('v/.ATTRIBUTES/VARIABLE_VALUE')


def test_the_best_outlives_the_checkpoint_it_came_from(tmp_path):
  record = checkpoints.BestRecord(str(tmp_path))
  record.update('alternating', 10, .5, save(tmp_path, 10))
  record.update('alternating', 20, .4, save(tmp_path, 20))
  for file in tmp_path.glob('c10*'):
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
