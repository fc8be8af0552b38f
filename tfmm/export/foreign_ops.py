"""Finds operations that a plain TensorFlow server cannot run.

A SavedModel loads in any process that registers its operations. Custom ones
(`IO>...`, `Addons>...`) come from a shared library that a model server does not
have, and `py_function` calls back into the Python process that made the graph.

The registry of this process cannot decide: once a library with custom operations
is imported, its operations are registered here too. So the names are looked up in a
fresh interpreter that imports TensorFlow alone.
"""

import json
import os
import subprocess
import sys
from typing import NamedTuple

from tensorflow.core.protobuf import saved_model_pb2

# Registered everywhere, yet they call a Python function of the exporting process.
_CALL_BACK_INTO_PYTHON = frozenset({'PyFunc', 'PyFuncStateless', 'EagerPyFunc'})

_PROBE = """
import json, sys
import tensorflow
from tensorflow.python.framework import op_def_registry
ops = json.load(sys.stdin)
print('@@' + json.dumps([op for op in ops if op_def_registry.get(op) is None]))
"""


class Place(NamedTuple):
  """Where an operation stands: the function's name ('graph' outside) and the node."""

  function: str
  node: str


def op_places(saved_model_dir):
  """Returns `({op type: first Place}, number of nodes)` of a SavedModel.

  Calls of the graph's own functions are not operations and are left out.
  """
  with open(os.path.join(saved_model_dir, 'saved_model.pb'), 'rb') as f:
    proto = saved_model_pb2.SavedModel.FromString(f.read())
  places = {}
  num_nodes = 0
  for meta_graph in proto.meta_graphs:
    graph = meta_graph.graph_def
    own = {f.signature.name for f in graph.library.function}
    bodies = [('graph', graph.node)]
    bodies += [(f.signature.name, f.node_def) for f in graph.library.function]
    for function, nodes in bodies:
      num_nodes += len(nodes)
      for node in nodes:
        if node.op not in own:
          places.setdefault(node.op, Place(function, node.name))
  return places, num_nodes


def unregistered(ops):
  """Returns those of `ops` that a fresh TensorFlow process does not register."""
  environment = dict(os.environ, CUDA_VISIBLE_DEVICES='-1', TF_CPP_MIN_LOG_LEVEL='3')
  answer = subprocess.run(
      [sys.executable, '-c', _PROBE],
      input=json.dumps(sorted(ops)),
      capture_output=True,
      text=True,
      check=False,
      env=environment,
  )
  if answer.returncode or '@@' not in answer.stdout:
    raise OSError(
        'the check for foreign operations could not import TensorFlow in a fresh '
        f'process: {answer.stderr.strip()[-300:]}'
    )
  return set(json.loads(answer.stdout.split('@@')[1]))


def foreign_ops(saved_model_dir):
  """Returns `{op type: Place}` of the operations that a plain server cannot run."""
  places, _ = op_places(saved_model_dir)
  foreign = unregistered(places)
  foreign |= _CALL_BACK_INTO_PYTHON & set(places)
  # Custom operations are named `library>op`. Kept beside the look-up: it holds even
  # if TensorFlow is patched to load such a library at start.
  foreign |= {op for op in places if '>' in op}
  return {op: places[op] for op in sorted(foreign)}


def refuse_foreign_ops(saved_model_dir):
  """Raises ValueError that names each foreign operation and where it stands."""
  found = foreign_ops(saved_model_dir)
  if found:
    lines = '; '.join(
        f'{op} (node {place.node!r} of function {place.function!r})'
        for op, place in found.items()
    )
    raise ValueError(
        f'the exported graph needs operations that TensorFlow Serving does not have: '
        f'{lines}. Replace them by core TensorFlow operations.'
    )
