"""Where and how steps run: devices, number formats, compilation, determinism."""

from __future__ import annotations

import contextlib
import dataclasses

import tensorflow as tf
from official.common import distribute_utils

STRATEGIES = ('default', 'mirrored', 'multi_worker_mirrored', 'tpu')
PRECISIONS = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
  """How the steps of a run are executed.

  Args:
    strategy: 'default' (one device), 'mirrored' (all GPUs of this machine, or one
      CPU), 'multi_worker_mirrored' (machines named in TF_CONFIG) or 'tpu'.
    tpu: address or name of the TPU; '' or 'local' for one in this machine.
    all_reduce: 'nccl' | 'hierarchical_copy' (mirrored), 'ring' | 'nccl' (several
      workers); None lets TensorFlow choose.
    virtual_cpus: splits this machine's CPU into so many devices and mirrors over
      them, to try a distributed recipe without the hardware. 0 does not.
    precision: 'float32', or 'bfloat16' for the encoders' arithmetic (variables,
      logits and gates stay float32).
    jit_compile: compile steps with XLA; for GPU and TPU, slower on CPU. Part of a
      run's identity: its numbers differ in the last digits.
    deterministic: makes every TensorFlow op deterministic, 10 to 15 % slower.
      Convolutions on CPU already are.
  """

  strategy: str = 'default'
  tpu: str = ''
  all_reduce: str | None = None
  virtual_cpus: int = 0
  precision: str = 'float32'
  jit_compile: bool = False
  deterministic: bool = False

  def __post_init__(self):
    if self.strategy not in STRATEGIES:
      raise ValueError(
          f'strategy is {self.strategy!r}; it must be one of {STRATEGIES}.')
    if self.precision not in PRECISIONS:
      raise ValueError(
          f'precision is {self.precision!r}; it must be one of {PRECISIONS}.')
    if self.virtual_cpus < 0:
      raise ValueError(
          f'virtual_cpus is {self.virtual_cpus}; it must be 0 or more.')
    if self.virtual_cpus and self.strategy != 'mirrored':
      raise ValueError(
          f'virtual_cpus={self.virtual_cpus} mirrors over CPUs; it needs '
          f"strategy='mirrored', not {self.strategy!r}.")


def make_strategy(execution: Execution) -> tf.distribute.Strategy:
  """The distribution strategy. Call it before any other TensorFlow operation."""
  if execution.virtual_cpus:
    return _virtual_cpu_strategy(execution.virtual_cpus)
  name = 'off' if execution.strategy == 'default' else execution.strategy
  gpus = len(tf.config.list_physical_devices('GPU'))
  try:
    return distribute_utils.get_distribution_strategy(
        name, num_gpus=0 if name == 'off' else gpus,
        all_reduce_alg=execution.all_reduce, tpu_address=execution.tpu)
  except (tf.errors.OpError, RuntimeError) as error:
    first_line = str(error).splitlines()[0]
    raise ValueError(
        f'strategy={execution.strategy!r} cannot start here: {first_line}') from error


def _virtual_cpu_strategy(count: int) -> tf.distribute.Strategy:
  devices = tf.config.list_physical_devices('CPU')
  parts = [tf.config.LogicalDeviceConfiguration()] * count
  try:
    tf.config.set_logical_device_configuration(devices[0], parts)
  except RuntimeError as error:
    if len(tf.config.list_logical_devices('CPU')) < count:
      raise ValueError(
          f'virtual_cpus={count} must be set before TensorFlow runs its first '
          'operation; start a new process.') from error
  return tf.distribute.MirroredStrategy([f'CPU:{i}' for i in range(count)])


@contextlib.contextmanager
def numerics(execution: Execution, seed: int):
  """Number format, determinism and the seeds of initial values, for the time inside.

  Initial values of variables are the one thing drawn from TensorFlow's and Keras'
  global generators, so they are seeded here. Determinism cannot be undone in a
  process and stays.
  """
  tf.keras.utils.set_random_seed(seed % 2 ** 32)
  if execution.deterministic:
    tf.config.experimental.enable_op_determinism()
  before = tf.keras.mixed_precision.global_policy()
  if execution.precision == 'bfloat16':
    tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    yield
  finally:
    tf.keras.mixed_precision.set_global_policy(before)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process writes the run's files."""
  return strategy.extended.should_checkpoint
