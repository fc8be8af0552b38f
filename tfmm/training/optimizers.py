"""Optimisers of variable groups, with PyTorch's meaning of their numbers."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Sequence

import tensorflow as tf

# TensorFlow Addons' optimisers are of Keras' older kind; see `GroupOptimizer`.
KERAS = ('sgd', 'adam')
ADDONS = ('adamw', 'lamb', 'sgdw')
NAMES = (*KERAS, *ADDONS)
_DECOUPLED = ('adamw', 'sgdw', 'lamb')
# Rates are kept as float32: a smaller relative change is none.
_SAME_RATE = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
  """Names an optimiser and its numbers; `build` makes it for a group of variables.

  Args:
    name: 'sgd', 'adam' (Keras), 'sgdw', 'adamw', 'lamb' (TensorFlow Addons).
    learning_rate: before the plan's decay.
    momentum: of 'sgd' and 'sgdw'.
    nesterov: of 'sgd' and 'sgdw'.
    weight_decay: of 'sgd' and 'adam' coupled: weight_decay * variable is added to
      the gradient. Of 'sgdw' and 'adamw' decoupled: the variable shrinks by
      learning_rate * weight_decay. 'lamb' adds it to its update before scaling.
    exclude_from_decay: regular expressions; variables whose name matches one are
      not decayed. PyTorch recipes decay everything, so the default is none.
    beta_1, beta_2, epsilon: of the Adam kind.
    clip_norm: gradients of a group are scaled down together to this L2 norm, before
      the decay is added. None does not clip.
  """

  name: str = 'sgd'
  learning_rate: float = .001
  momentum: float = .9
  nesterov: bool = False
  weight_decay: float = 1e-4
  exclude_from_decay: Sequence[str] = ()
  beta_1: float = .9
  beta_2: float = .999
  epsilon: float = 1e-8
  clip_norm: float | None = None

  def __post_init__(self):
    if self.name not in NAMES:
      raise ValueError(f'optimizer name is {self.name!r}; it must be one of {NAMES}.')
    if self.learning_rate <= 0:
      raise ValueError(f'learning_rate is {self.learning_rate}; it must be above 0.')
    if not 0 <= self.momentum < 1:
      raise ValueError(f'momentum is {self.momentum}; it must be in [0, 1).')
    if self.weight_decay < 0:
      raise ValueError(f'weight_decay is {self.weight_decay}; it must be 0 or more.')
    if self.clip_norm is not None and self.clip_norm <= 0:
      raise ValueError(
          f'clip_norm is {self.clip_norm}; it must be above 0, or None not to clip.')

  def build(self, variables: Sequence[tf.Variable]) -> GroupOptimizer:
    """The optimiser of these variables. Call it in the strategy's scope."""
    return GroupOptimizer(self, variables)


class GroupOptimizer:
  """An optimiser with all its state made at once, for one group of variables.

  Its state exists before any graph is traced and before a checkpoint is restored;
  `optimizer` is the object to checkpoint.

  Attributes:
    spec: what it was built from.
    optimizer: the Keras optimiser.
    variables: the group.
  """

  def __init__(self, spec: OptimizerSpec, variables: Sequence[tf.Variable]):
    if not variables:
      raise ValueError('an optimizer was given a group without trainable variables.')
    self.spec = spec
    self.variables = list(variables)
    self.optimizer = _make(spec)
    self._legacy = spec.name in ADDONS
    if self._legacy:
      # pylint: disable-next=protected-access
      self.optimizer._create_all_weights(self.variables)
    else:
      self.optimizer.build(self.variables)
    self._decayed = [
        bool(spec.weight_decay) and spec.name not in _DECOUPLED
        and not any(re.search(p, v.name) for p in spec.exclude_from_decay)
        for v in self.variables]

  def set_rate(self, scale: float):
    """Sets the learning rate to `scale` times the spec's. Host side.

    Keras' momentum holds steps, PyTorch's holds gradients: so that a decayed rate
    acts at once on what has gathered, the momentum of 'sgd' is scaled with the rate.
    """
    rate = self.spec.learning_rate * scale
    if not self._legacy:
      if self.spec.name == 'sgd' and self.rate:
        change = rate / self.rate
        if abs(change - 1) > _SAME_RATE:
          for momentum in self.optimizer.momentums:
            momentum.assign(momentum * change)
      self.optimizer.learning_rate.assign(rate)
      return
    self.optimizer.learning_rate = rate
    if self.spec.name in ('adamw', 'sgdw'):
      # Addons subtracts weight_decay * variable whatever the learning rate is.
      self.optimizer.weight_decay = rate * self.spec.weight_decay

  @property
  def rate(self) -> float:
    return float(tf.keras.backend.get_value(self.optimizer.learning_rate))

  def apply(self, gradients: Sequence[tf.Tensor]):
    """One step. Replica context; gradients of this replica's share of the loss.

    Args:
      gradients: one per variable of the group, in order. They are summed over
        replicas, then clipped, then decayed: so decay is counted once.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
      gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
    if self.spec.clip_norm is not None:
      gradients, _ = tf.clip_by_global_norm(gradients, self.spec.clip_norm)
    gradients = [
        g + self.spec.weight_decay * tf.cast(v, g.dtype) if decayed else g
        for g, v, decayed in zip(gradients, self.variables, self._decayed)]
    pairs = list(zip(gradients, self.variables))
    if self._legacy:
      self.optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)
    else:
      self.optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)

  def reset(self):
    """Forgets moments and step count, as a new optimiser would. Host side."""
    if self._legacy:
      state = self.optimizer.weights
    else:
      rate = self.optimizer._learning_rate  # pylint: disable=protected-access
      state = [v for v in self.optimizer.variables if v is not rate]
    for variable in state:
      variable.assign(tf.zeros_like(variable))


def _make(spec: OptimizerSpec) -> tf.keras.optimizers.Optimizer:
  adam = {'beta_1': spec.beta_1, 'beta_2': spec.beta_2, 'epsilon': spec.epsilon}
  sgd = {'momentum': spec.momentum, 'nesterov': spec.nesterov}
  if spec.name == 'sgd':
    return tf.keras.optimizers.SGD(spec.learning_rate, jit_compile=False, **sgd)
  if spec.name == 'adam':
    return tf.keras.optimizers.Adam(spec.learning_rate, jit_compile=False, **adam)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # its notice of end of life
    import tensorflow_addons as tfa
  rate, decay = spec.learning_rate, spec.weight_decay
  exclude = {'exclude_from_weight_decay': list(spec.exclude_from_decay) or None}
  if spec.name == 'sgdw':
    return tfa.optimizers.SGDW(decay * rate, learning_rate=rate, **sgd, **exclude)
  if spec.name == 'adamw':
    return tfa.optimizers.AdamW(decay * rate, learning_rate=rate, **adam, **exclude)
  return tfa.optimizers.LAMB(rate, weight_decay=decay, **adam, **exclude)
