import pytest
import tensorflow as tf

from tfmm.training import strategy


@pytest.mark.parametrize('options, message', [
    ({'strategy': 'miror'}, "strategy is 'miror'; it must be one of"),
    ({'precision': 'float16'}, "precision is 'float16'"),
    ({'virtual_cpus': 2}, "needs strategy='mirrored', not 'default'"),
    ({'virtual_cpus': -1}, 'virtual_cpus is -1'),
])
def test_bad_options(options, message):
  with pytest.raises(ValueError, match=message):
    strategy.Execution(**options)


def test_one_device_and_mirrored_over_what_is_there():
  default = strategy.make_strategy(strategy.Execution())
  assert default.num_replicas_in_sync == 1 and strategy.is_chief(default)
  mirrored = strategy.make_strategy(strategy.Execution(strategy='mirrored'))
  assert isinstance(mirrored, tf.distribute.MirroredStrategy)


def test_a_tpu_that_is_not_there_is_one_line():
  with pytest.raises(ValueError, match="strategy='tpu' cannot start here") as error:
    strategy.make_strategy(strategy.Execution(strategy='tpu', tpu='local'))
  assert '\n' not in str(error.value)


def test_numerics_are_put_back_and_initial_values_are_seeded():
  execution = strategy.Execution(precision='bfloat16')
  made = []
  for _ in range(2):
    with strategy.numerics(execution, seed=4):
      layer = tf.keras.layers.Dense(2)
      layer.build([None, 3])
      assert layer.compute_dtype == 'bfloat16' and layer.kernel.dtype == tf.float32
      made.append(layer.kernel.numpy())
  assert (made[0] == made[1]).all()
  assert tf.keras.mixed_precision.global_policy().name == 'float32'
