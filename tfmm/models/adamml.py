"""AdaMML: Adaptive Multi-Modal Learning (Panda et al., sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfmm.layers import fusion as fusion_layer
from tfmm.layers import gated_encoder, gflops, gumbel, lstm, randomness
from tfmm.models import base, fusion, random_policy

_GUMBEL_SALT = 102
DECISIONS = ('per_modality', 'joint')
TRAIN_GATES = ('policy', 'random')
TEST_GATES = ('argmax', 'sample', 'random')


class SegmentPolicy(tf.keras.layers.Layer):
  """What policies share: from features of segments to scores of (skip, run).

  Two fully connected layers and an LSTM over the segments; one linear head per decision
  (section 3.2). The LSTM is causal: a segment's decision depends on it and on earlier
  segments alone. Without an LSTM, it depends on that segment alone.
  """

  def __init__(self):
    super().__init__(name='policy', dtype='float32', autocast=False)

  def _add_layers(self, *, input_dim: int, num_decisions: int, joint_dim: int,
                  lstm_units: int | None, feed_back_logits: bool):
    """To be called once, after what makes the features is in place."""
    if lstm_units is not None and lstm_units < 1:
      raise ValueError(
          f'lstm_units is {lstm_units}; it must be 1 or more, or None for a policy '
          'without an LSTM.')
    self.num_decisions = num_decisions
    self.joint = fusion_layer.joint_layers(joint_dim, input_dim=input_dim)
    self.cell, heads_dim = None, joint_dim
    if lstm_units is not None:
      feedback = 2 * num_decisions if feed_back_logits else 0
      self.cell = lstm.LSTMCell(lstm_units, input_dim=joint_dim, feedback_dim=feedback)
      heads_dim = lstm_units
    self.heads = fusion_layer.linear(
        2 * num_decisions, input_dim=heads_dim, name='heads')

  def _score(self, joint, batch, segments):
    """Features [B * S, D] -> gate logits [B, S, num_decisions, 2] of (skip, run)."""
    for layer in self.joint:
      joint = layer(joint)
    if self.cell is None:
      logits = self.heads(joint)  # [B * S, 2 * num_decisions]
    else:
      joint = tf.reshape(joint, [batch, segments, joint.shape[-1]])
      logits = self._scan(joint)  # [B, S, 2 * num_decisions]
    return tf.reshape(logits, [batch, segments, self.num_decisions, 2])

  def _scan(self, joint):
    """Joint features [B, S, joint_dim] -> logits [B, S, 2 * num_decisions]."""
    batch = tf.shape(joint)[0]
    state = self.cell.zero_state(batch)
    logits = tf.zeros([batch, 2 * self.num_decisions])
    weights = self.cell.weights_of_a_step()
    heads = [tf.convert_to_tensor(v) for v in (self.heads.kernel, self.heads.bias)]
    steps = []
    for t in range(joint.shape[1]):
      state = self.cell(joint[:, t], state, logits, weights=weights)
      logits = tf.matmul(state[0], heads[0], name='heads') + heads[1]
      steps.append(logits)
      weights, heads = lstm.hand_on(weights), lstm.hand_on(heads)
    return tf.stack(steps, 1)


class Policy(SegmentPolicy):
  """The policy network: looks at cheap views and scores (skip, run) per modality.

  Args:
    encoders: {view: backbone}; the backbones see every segment, whatever is decided.
      Their features are concatenated.
    num_decisions: M, or 1 for a joint decision.
    joint_dim: width of both fully connected layers (2048 in the paper).
    lstm_units: 256 in the paper. None leaves the LSTM out: the heads read the joint
      features ("Effectiveness of LSTM", section 4.3).
    feed_back_logits: whether the LSTM also reads the raw logits of the segment before
      (zeros at first). The authors' code does; Eq. 1 does not have them. Without an
      LSTM there is nothing to feed and it is not read.
  """

  def __init__(self, *, encoders: Mapping[str, tf.keras.layers.Layer],
               num_decisions: int, joint_dim: int = 2048,
               lstm_units: int | None = 256, feed_back_logits: bool = True):
    super().__init__()
    if not encoders:
      raise ValueError('a policy needs at least one encoder; encoders is empty.')
    # Sorted: a run's configuration has dictionaries in the order of their keys.
    self.encoders = dict(sorted(encoders.items()))
    self._add_layers(
        input_dim=sum(e.feature_dim for e in self.encoders.values()),
        num_decisions=num_decisions, joint_dim=joint_dim, lstm_units=lstm_units,
        feed_back_logits=feed_back_logits)

  def call(self, clips, training=False):
    """{view: [B, S, *row]} -> gate logits [B, S, num_decisions, 2] of (skip, run)."""
    views = [clips[v] for v in self.encoders]
    segments = static_segments(views[0])
    batch = tf.shape(views[0])[0]
    features = []
    for view, encoder in zip(views, self.encoders.values()):
      rows = tf.reshape(view, [-1, *view.shape[2:]])  # [B * S, *row]
      features.append(tf.cast(encoder(rows, training=training), tf.float32))
    return self._score(tf.concat(features, -1), batch, segments)


class PolicyFusion(fusion.LateFusion):
  """Late fusion of modalities whose gates a policy sets: two groups of variables.

  A subclass writes `decide`, with `draw`.

  Args:
    num_decisions: how many gates the policy sets in each segment.
    encoders and all others: see `AdaMML`.
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               policy: Callable[..., SegmentPolicy], num_decisions: int,
               num_classes: int, fusion: str, dropout: float,
               initial_temperature: float, train_gate: str, test_gate: str,
               random_rate: float):
    super().__init__(
        encoders=encoders, num_classes=num_classes, fusion=fusion, dropout=dropout)
    _check_choice('train_gate', train_gate, TRAIN_GATES)
    _check_choice('test_gate', test_gate, TEST_GATES)
    random_policy.check_rate('random_rate', random_rate)
    if not initial_temperature > 0:
      raise ValueError(
          f'initial_temperature is {initial_temperature}; it must be above 0, since '
          'gradients are divided by it. Training sets its own: '
          'phases.adamml_phases.initial_temperature.')
    self.num_decisions = num_decisions
    self.policy = policy(num_decisions=num_decisions)
    self.train_gate = train_gate
    self.test_gate = test_gate
    self.random_rate = random_rate
    self.temperature = tf.Variable(
        initial_temperature, trainable=False, name='temperature',
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

  def draw(self, logits, present, *, training, seed):
    """Gate logits [B, S, num_decisions, 2] -> gates [B, S, num_decisions]."""
    kind = self._gate_kind(training)
    if kind == 'argmax':
      return gumbel.argmax_gate(logits)
    if seed is None:
      raise ValueError(f'test_gate={kind!r} needs seed=int64 [2]; it is None.')
    if kind == 'sample':
      return gumbel.sample_gate(
          logits, self.temperature, randomness.fold_seed(seed, _GUMBEL_SALT))
    return random_policy.random_gates(
        present, self.num_decisions, rate=self.random_rate, seed=seed)

  def _gate_kind(self, training: Mapping[str, bool]) -> str:
    """'argmax', 'sample' or 'random'."""
    if not any(training.values()):
      return self.test_gate
    if self.train_gate == 'policy' or not training['recognition']:
      return 'sample'
    if training['policy']:
      raise ValueError(
          "train_gate='random' needs a policy that rests while the recognition "
          'network trains, and both are in training mode; set '
          "phases.adamml_phases.frozen_batch_statistics = 'frozen'.")
    return 'random'

  def joint_parts(self):
    return {'policy': {'policy': self.policy, 'fusion': self.fusion}}

  def variable_groups(self):
    policy = list(self.policy.trainable_variables)
    theirs = {v.ref() for v in policy}
    return {
        'recognition': [v for v in self.trainable_variables if v.ref() not in theirs],
        'policy': policy}


class AdaMML(PolicyFusion):
  """Late fusion whose gates are sampled from a policy, segment by segment.

  Args:
    encoders: {modality: GatedEncoder} of the recognition network.
    policy: makes the policy network when called with `num_decisions`.
    num_classes: C.
    fusion: see `LateFusion`.
    dropout: rate before each classifier.
    initial_temperature: of the Gumbel-softmax; training anneals it.
    decisions: 'per_modality', or 'joint' for one decision that selects or skips all
      modalities of a segment ("Policy Design", section 4.3).
    train_gate: where gates come from while the recognition network trains and the
      policy rests: the 'policy', or 'random' ("Random (Train)" of Table 8). A policy
      that trains decides itself.
    test_gate: 'argmax'; 'sample' as the authors' evaluation does; or 'random'
      ("Random (Test)" of Table 8). The last two need a seed. The policy's cost is
      part of all three.
    random_rate: probability that a random gate is open.
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               policy: Callable[..., Policy], num_classes: int,
               fusion: str = 'weighted', dropout: float = .5,
               initial_temperature: float = 5., decisions: str = 'per_modality',
               train_gate: str = 'policy', test_gate: str = 'argmax',
               random_rate: float = .5):
    _check_choice('decisions', decisions, DECISIONS)
    super().__init__(
        encoders=encoders, policy=policy,
        num_decisions=1 if decisions == 'joint' else len(encoders),
        num_classes=num_classes, fusion=fusion, dropout=dropout,
        initial_temperature=initial_temperature, train_gate=train_gate,
        test_gate=test_gate, random_rate=random_rate)

  def decide(self, clips, present, *, training, seed):
    logits = self.policy(clips, training=training['policy'])
    gates = self.draw(logits, present, training=training, seed=seed)
    # [B, S, num_decisions, 2] -> [B, S, M, 2]: a joint decision holds for all.
    each = tf.concat([tf.shape(present), [2]], 0)
    return gates * present, {'gate_logits': tf.broadcast_to(logits, each)}

  def input_specs(self):
    specs = {v: base.batched_spec(e.row_spec) for v, e in self.policy.encoders.items()}
    return {**super().input_specs(), **specs}

  def _overhead(self):
    views = tuple(self.policy.encoders)
    rows = [tf.TensorSpec([1, 1, *e.row_spec.shape], e.row_spec.dtype)
            for e in self.policy.encoders.values()]
    return gflops.count_macs(lambda *r: self.policy(dict(zip(views, r))), *rows)


def static_segments(values: tf.Tensor) -> int:
  """S of [B, S, ...]; ValueError if the graph is to be traced for any S."""
  segments = values.shape[1]
  if segments is None:
    raise ValueError('the number of segments must be static; it is None.')
  return segments


def _check_choice(name: str, value: str, choices: tuple[str, ...]):
  if value not in choices:
    raise ValueError(f'{name} is {value!r}; it must be one of {choices}.')
