"""Which operations are refused, and how they are named."""

import pytest
import tensorflow as tf

from tfmm.export import foreign_ops


def save(function, path, spec):
  module = tf.Module()
  module.serve = tf.function(function, input_signature=[spec])
  tf.saved_model.save(module, str(path), signatures={'serving_default': module.serve})
  return str(path)


def test_core_graph_with_branches_and_loops_passes(tmp_path):
  def serve(x):
    y = tf.map_fn(lambda v: v * 2.0, x)
    return {'y': tf.cond(tf.size(x) > 3, lambda: y, lambda: tf.square(y))}

  path = save(serve, tmp_path, tf.TensorSpec([None], tf.float32, name='x'))
  places, num_nodes = foreign_ops.op_places(path)
  assert 'Square' in places and num_nodes > len(places)
  foreign_ops.refuse_foreign_ops(path)


def test_python_callback_inside_a_branch_is_named_with_function_and_node(tmp_path):
  def serve(x):
    called = lambda: tf.py_function(lambda v: v + 1, [x], tf.float32)
    return {'y': tf.cond(tf.size(x) > 3, called, lambda: x)}

  path = save(serve, tmp_path, tf.TensorSpec([None], tf.float32, name='x'))
  with pytest.raises(
      ValueError, match=r"EagerPyFunc \(node '.*' of function 'cond_true") as e:
    foreign_ops.refuse_foreign_ops(path)
  assert '\n' not in str(e.value)


def test_library_operations_are_not_registered_in_a_fresh_process():
  ops = {'Conv2D', 'DecodeJpeg', 'IO>AudioResample', 'Addons>CorrelationCost'}
  assert foreign_ops.unregistered(ops) == {'IO>AudioResample', 'Addons>CorrelationCost'}
