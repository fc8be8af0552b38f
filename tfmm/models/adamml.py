"""AdaMML: Adaptive Multi-Modal Learning (Panda et al., sections 3 and 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfmm.layers import gated_encoder, gflops, gumbel, lstm, randomness
from tfmm.models import base, fusion

_GUMBEL_SALT = 102
TEST_GATES = ('argmax', 'sample')


class Policy(tf.keras.layers.Layer):
  """The policy network: looks at cheap views and scores (skip, run) per modality.

  Features of all views are concatenated, pass two fully connected layers and an LSTM
  over the segments; one linear head per decision (section 3.2). The LSTM is causal:
  a segment's decision depends on it and on earlier segments alone.

  Args:
    encoders: {view: backbone}; the backbones see every segment, whatever is decided.
    num_decisions: M.
    joint_dim: width of both fully connected layers (2048 in the paper).
    lstm_units: 256 in the paper.
    feed_back_logits: whether the LSTM also reads the raw logits of the segment before
      (zeros at first). The authors' code does; Eq. 1 does not have them.
  """

  def __init__(self, *, encoders: Mapping[str, tf.keras.layers.Layer],
               num_decisions: int, joint_dim: int = 2048, lstm_units: int = 256,
               feed_back_logits: bool = True):
    super().__init__(name='policy', dtype='float32', autocast=False)
    if not encoders:
      raise ValueError('a policy needs at least one encoder; encoders is empty.')
    self.encoders = dict(encoders)
    self.num_decisions = num_decisions
    self.joint = []
    dim = sum(e.feature_dim for e in self.encoders.values())
    for i in range(2):
      self.joint.append(_linear(joint_dim, dim, f'joint_{i}', activation='relu'))
      dim = joint_dim
    feedback = 2 * num_decisions if feed_back_logits else 0
    self.cell = lstm.LSTMCell(lstm_units, input_dim=dim, feedback_dim=feedback)
    self.heads = _linear(2 * num_decisions, lstm_units, 'heads')

  def call(self, clips, training=False):
    """{view: [B, S, *row]} -> gate logits [B, S, M, 2] of (skip, run)."""
    views = [clips[v] for v in self.encoders]
    segments = views[0].shape[1]
    if segments is None:
      raise ValueError('the number of segments must be static; it is None.')
    batch = tf.shape(views[0])[0]
    features = []
    for view, encoder in zip(views, self.encoders.values()):
      rows = tf.reshape(view, [-1, *view.shape[2:]])  # [B * S, *row]
      features.append(tf.cast(encoder(rows, training=training), tf.float32))
    joint = tf.concat(features, -1)  # [B * S, D]
    for layer in self.joint:
      joint = layer(joint)
    joint = tf.reshape(joint, [batch, segments, joint.shape[-1]])  # [B, S, joint_dim]
    state = self.cell.zero_state(batch)
    logits = tf.zeros([batch, 2 * self.num_decisions])
    weights = self.cell.weights_of_a_step()
    heads = [tf.convert_to_tensor(v) for v in (self.heads.kernel, self.heads.bias)]
    steps = []
    for t in range(segments):
      state = self.cell(joint[:, t], state, logits, weights=weights)
      logits = tf.matmul(state[0], heads[0], name='heads') + heads[1]
      steps.append(logits)
      weights, heads = lstm.hand_on(weights), lstm.hand_on(heads)
    # S x [B, 2M] -> [B, S, M, 2]
    return tf.reshape(
        tf.stack(steps, 1), [batch, segments, self.num_decisions, 2])


def _linear(units: int, input_dim: int, name: str, activation: str | None = None):
  """A fully connected layer that starts as PyTorch's, which the authors trained."""
  limit = input_dim ** -0.5
  kernel, bias = (tf.keras.initializers.RandomUniform(-limit, limit) for _ in range(2))
  layer = tf.keras.layers.Dense(
      units, activation=activation, kernel_initializer=kernel, bias_initializer=bias,
      name=name, dtype='float32')
  layer.build([None, input_dim])
  return layer


class AdaMML(fusion.LateFusion):
  """Late fusion whose gates are sampled from a policy, segment by segment.

  Args:
    encoders: {modality: GatedEncoder} of the recognition network.
    policy: makes the policy network when called with `num_decisions`.
    num_classes: C.
    fusion: see `LateFusion`.
    dropout: rate before each classifier.
    initial_temperature: of the Gumbel-softmax; training anneals it.
    test_gate: 'argmax', or 'sample' as the authors' evaluation does (it needs a seed).
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               policy: Callable[..., Policy], num_classes: int,
               fusion: str = 'weighted', dropout: float = .5,
               initial_temperature: float = 5., test_gate: str = 'argmax'):
    super().__init__(
        encoders=encoders, num_classes=num_classes, fusion=fusion, dropout=dropout)
    if test_gate not in TEST_GATES:
      raise ValueError(f'test_gate is {test_gate!r}; it must be one of {TEST_GATES}.')
    self.policy = policy(num_decisions=len(self.modalities))
    self.test_gate = test_gate
    self.temperature = tf.Variable(
        initial_temperature, trainable=False, name='temperature',
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

  def decide(self, clips, present, *, training, seed):
    logits = self.policy(clips, training=training['policy'])
    if any(training.values()) or self.test_gate == 'sample':
      if seed is None:
        raise ValueError("test_gate='sample' needs seed=int64 [2]; it is None.")
      gates = gumbel.sample_gate(
          logits, self.temperature, randomness.fold_seed(seed, _GUMBEL_SALT))
    else:
      gates = gumbel.argmax_gate(logits)
    return gates * present, {'gate_logits': logits}

  def variable_groups(self):
    policy = list(self.policy.trainable_variables)
    theirs = {v.ref() for v in policy}
    return {
        'recognition': [v for v in self.trainable_variables if v.ref() not in theirs],
        'policy': policy}

  def input_specs(self):
    specs = {v: base.batched_spec(e.row_spec) for v, e in self.policy.encoders.items()}
    return {**super().input_specs(), **specs}

  def _overhead(self):
    views = tuple(self.policy.encoders)
    rows = [tf.TensorSpec([1, 1, *e.row_spec.shape], e.row_spec.dtype)
            for e in self.policy.encoders.values()]
    return gflops.count_macs(lambda *r: self.policy(dict(zip(views, r))), *rows)
