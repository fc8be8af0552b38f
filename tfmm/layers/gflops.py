"""Multiply-adds counted from a traced graph: nothing is typed in, nothing is run.

One "FLOP" of the papers is one multiply-add (MAC). AdaMML counts convolutions only,
plus the gate products of the policy's LSTM; HMS counts fully connected layers too.
A `MacCount` therefore gives three sums over one list of operations.
"""

import dataclasses
import math
import re

import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework import function_def_to_graph
from tensorflow.python.framework import importer
from tensorflow.python.framework import smart_cond
from tensorflow.python.ops import handle_data_util

CONVOLUTIONS = frozenset([
    'Conv2D', 'DepthwiseConv2dNative', 'Conv3D', 'Conv2DBackpropInput',
    'Conv3DBackpropInputV2'])
_BATCHED_PRODUCTS = frozenset(['BatchMatMul', 'BatchMatMulV2', 'BatchMatMulV3'])
_CALLS = frozenset(['PartitionedCall', 'StatefulPartitionedCall'])
_BRANCHES = {
    'If': ('then_branch', 'else_branch'),
    'StatelessIf': ('then_branch', 'else_branch'),
    'Case': ('branches',),
    'StatelessCase': ('branches',),
}
_LOOPS = frozenset(['While', 'StatelessWhile'])
_LSTM_SCOPE = re.compile(r'lstm(_\d+)?')
_LSTM_PRODUCTS = ('input_product', 'recurrent_product')


@dataclasses.dataclass(frozen=True)
class OpMacs:
  """Multiply-adds of one operation of the graph (times its loop's trip count)."""

  name: str  # scopes and callers included, separated by '/'
  type: str  # TensorFlow's name of the operation, such as 'Conv2D'
  macs: int


@dataclasses.dataclass(frozen=True)
class MacCount:
  """Multiply-adds of a function, by operation, with three ways to sum them.

  Counts add: `count + count`, `sum(counts, MacCount())`, `segments * count`.

  Attributes:
    by_op: all operations that multiply, in the order of the graph.
  """

  by_op: tuple[OpMacs, ...] = ()

  def __post_init__(self):
    object.__setattr__(self, 'by_op', tuple(self.by_op))

  @property
  def conv(self) -> int:
    """Convolutions only."""
    return sum(op.macs for op in self.by_op if op.type in CONVOLUTIONS)

  @property
  def total(self) -> int:
    """Convolutions and all matrix products."""
    return sum(op.macs for op in self.by_op)

  @property
  def papers(self) -> int:
    """AdaMML's convention: convolutions, and the LSTM's products with x_t and h_t.

    The authors' `flops_computation` charges 4 * 256 * (2048 + 256) for the LSTM and
    nothing for fully connected layers. A product belongs to the LSTM if a component
    of its name is `lstm` and the last one starts with `input_product` or
    `recurrent_product`.
    """
    return self.conv + sum(op.macs for op in self.by_op if _is_lstm_product(op))

  def __add__(self, other: 'MacCount') -> 'MacCount':
    return MacCount(self.by_op + other.by_op)

  def __mul__(self, times: int) -> 'MacCount':
    return MacCount(tuple(
        dataclasses.replace(op, macs=op.macs * times) for op in self.by_op))

  __rmul__ = __mul__


def count_macs(function, *specs) -> MacCount:
  """Counts the multiply-adds of one call of `function`.

  The function is traced, not run. Called functions are followed; of a `tf.cond` or
  `tf.switch_case` the most expensive branch counts; a loop counts as often as it
  runs if its `maximum_iterations` is static.

  Args:
    function: a callable, a `tf.function`, or a concrete function.
    *specs: its arguments as (nests of) tf.TensorSpec, all dimensions known. Leave
      out for a concrete function.

  Returns:
    A MacCount.

  Raises:
    ValueError: an operation that multiplies has an unknown shape, or stands in a
      loop whose number of rounds is not static.
  """
  if hasattr(function, 'structured_input_signature'):
    concrete = function
  else:
    if not hasattr(function, 'get_concrete_function'):
      function = tf.function(function)
    concrete = function.get_concrete_function(*specs)
  return MacCount(_graph_macs(concrete.graph, prefix=''))


def _is_lstm_product(op):
  *scopes, last = op.name.split('/')
  return (op.type not in CONVOLUTIONS and last.startswith(_LSTM_PRODUCTS)
          and any(_LSTM_SCOPE.fullmatch(scope) for scope in scopes))


def _graph_macs(graph, prefix):
  """OpMacs of a graph and of all that it calls."""
  found = []
  for op in graph.get_operations():
    name = prefix + op.name
    if op.type in _CALLS:
      found += _called_macs(op.get_attr('f'), op.inputs, name)
    elif op.type in _BRANCHES:
      branches = []
      for attribute in _BRANCHES[op.type]:
        value = op.get_attr(attribute)
        branches += value if isinstance(value, list) else [value]
      # The first input of a branching operation chooses the branch.
      counts = [_called_macs(b, op.inputs[1:], name) for b in branches]
      found += max(counts, key=lambda ops: sum(o.macs for o in ops))
    elif op.type in _LOOPS:
      found += _loop_macs(graph, op, name)
    else:
      macs = _op_macs(op, name)
      if macs:
        found.append(OpMacs(name, op.type, macs))
  return found


def _called_macs(attribute, inputs, name):
  """OpMacs of a function, with the shapes that it is called with.

  The function may have been traced for unknown shapes, or loaded without the shapes
  of its variables: it is imported anew, and its shapes are inferred again.
  """
  definition = function_pb2.FunctionDef()
  # Traced and loaded functions alike are registered in the eager context.
  definition.CopyFrom(context.context().get_function_def(attribute.name))
  for argument in definition.arg_attr.values():
    argument.attr.pop('_output_shapes', None)
  with tf.init_scope():
    graph_def, _ = function_def_to_graph.function_def_to_graph_def(
        definition, [tensor.shape for tensor in inputs], include_library_functions=True)
  # The first nodes are the arguments, as placeholders.
  for node, tensor in zip(graph_def.node, inputs):
    handle = handle_data_util.get_resource_handle_data(tensor)
    if tensor.dtype == tf.resource and len(handle.shape_and_type) == 1:
      # Only a variable knows the shape of what is read from it.
      node.op = 'VarHandleOp'
      node.attr.clear()
      node.attr['dtype'].type = handle.shape_and_type[0].dtype
      node.attr['shape'].shape.CopyFrom(handle.shape_and_type[0].shape)
  with tf.Graph().as_default() as graph:
    importer.import_graph_def_for_function(graph_def, name='')
  return _graph_macs(graph, f'{name}/')


def _loop_macs(graph, op, name):
  """OpMacs of a loop's condition and body, times the number of rounds."""
  found = _called_macs(op.get_attr('cond'), op.inputs, name)
  found += _called_macs(op.get_attr('body'), op.inputs, name)
  if not found:
    return []
  # The first two inputs of a tf.while_loop are its counter and maximum_iterations,
  # which tf.map_fn and tf.scan set; AutoGraph does not for a tf.range.
  rounds = None
  limit = op.inputs[1] if len(op.inputs) > 1 else None
  if limit is not None and limit.dtype.is_integer and limit.shape.rank == 0:
    with graph.as_default():
      rounds = smart_cond.smart_constant_value(limit)
  if rounds is None or rounds < 0:
    raise ValueError(
        f'the loop {name!r} multiplies ({found[0].name!r}) but its number of rounds '
        'is not static: use tf.map_fn, give tf.while_loop maximum_iterations, or loop '
        'in Python')
  return [dataclasses.replace(o, macs=o.macs * int(rounds)) for o in found]


def _static_shape(tensor, name):
  if not tensor.shape.is_fully_defined():
    raise ValueError(
        f'cannot count {name!r}: the shape {tensor.shape} of {tensor.name!r} is not '
        'fully known; trace with all dimensions given, the batch too (such as 1)')
  return tensor.shape.as_list()


def _op_macs(op, name):
  """Multiply-adds of one operation; 0 for all that is no convolution or product."""

  def shape(tensor):
    return _static_shape(tensor, name)

  if op.type in ('Conv2D', 'Conv3D'):
    # [k..., C_in / groups, C_out]: each output value sums k... * C_in / groups.
    return math.prod(shape(op.outputs[0])) * math.prod(shape(op.inputs[1])[:-1])
  if op.type == 'DepthwiseConv2dNative':
    return math.prod(shape(op.outputs[0])) * math.prod(shape(op.inputs[1])[:2])
  if op.type in ('Conv2DBackpropInput', 'Conv3DBackpropInputV2'):
    # A transposed convolution: each input value goes through [k..., C_out] filters.
    return math.prod(shape(op.inputs[2])) * math.prod(shape(op.inputs[1])[:-1])
  if op.type == 'MatMul':
    inner = shape(op.inputs[0])[0 if op.get_attr('transpose_a') else 1]
    return math.prod(shape(op.outputs[0])) * inner
  if op.type in _BATCHED_PRODUCTS:
    inner = shape(op.inputs[0])[-2 if op.get_attr('adj_x') else -1]
    return math.prod(shape(op.outputs[0])) * inner
  if op.type == 'Einsum' and len(op.inputs) == 2:
    equation = op.get_attr('equation').decode()
    return _einsum_macs(equation, [shape(tensor) for tensor in op.inputs])
  return 0


def _einsum_macs(equation, shapes):
  """Product of the sizes of all labels: 'bij,bjk->bik' costs b * i * j * k."""
  sizes = {}
  for labels, dims in zip(equation.split('->')[0].split(','), shapes, strict=True):
    before, ellipsis, after = labels.replace(' ', '').partition('...')
    if ellipsis:
      broadcast = len(dims) - len(before) - len(after)
      # Broadcast axes are numbered from the right, as they are aligned.
      named = [*before, *range(-broadcast, 0), *after]
    else:
      named = before
    for label, size in zip(named, dims, strict=True):
      sizes[label] = max(sizes.get(label, 1), size)
  return math.prod(sizes.values())
