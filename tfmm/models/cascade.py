"""Audio first: what is heard decides what is looked at.

The cheapest modality runs wherever it is present, and its features decide, segment by
segment, whether the dearer ones run. Beside AdaMML, no preview is looked at: the policy
reads what recognition has paid for already, and pays for its own layers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfmm.layers import gated_encoder, gflops
from tfmm.models import adamml

# Where `recognize` keeps the features of the first modality, among the views.
_FIRST = 'features of the first modality'


class FeaturePolicy(adamml.SegmentPolicy):
  """AdaMML's policy without encoders: it reads features.

  Args:
    feature_dim: D of the features.
    num_decisions: M - 1.
    joint_dim, lstm_units, feed_back_logits: see `adamml.Policy`.
  """

  def __init__(self, *, feature_dim: int, num_decisions: int, joint_dim: int = 2048,
               lstm_units: int | None = 256, feed_back_logits: bool = True):
    super().__init__()
    self._add_layers(
        input_dim=feature_dim, num_decisions=num_decisions, joint_dim=joint_dim,
        lstm_units=lstm_units, feed_back_logits=feed_back_logits)

  def call(self, features):
    """[B, S, D] -> gate logits [B, S, num_decisions, 2] of (skip, run)."""
    segments = adamml.static_segments(features)
    # [B, S, D] -> [B * S, D]
    flat = tf.reshape(features, [-1, features.shape[-1]])
    return self._score(flat, tf.shape(features)[0], segments)


class Cascade(adamml.PolicyFusion):
  """Late fusion in which the first modality always runs and gates the others.

  The first modality's gate is `present`. Its features, encoded once, are classified
  and given to the policy; where it is absent they are zeros, and the policy decides on
  these and on earlier segments. Its groups of variables are AdaMML's, so
  `phases.adamml_phases` trains it. No gradient of the policy reaches the encoder of the
  first modality: recognition moves on recognition's loss alone, as AdaMML's does.

  Args:
    encoders: {modality: GatedEncoder}; two or more.
    policy: makes the policy when called with `feature_dim` and `num_decisions`.
    num_classes: C.
    first: the modality that always runs.
    fusion: see `LateFusion`.
    dropout: rate before each classifier.
    initial_temperature, train_gate, test_gate, random_rate: see `AdaMML`; they are of
      the other modalities.
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               policy: Callable[..., FeaturePolicy], num_classes: int,
               first: str = 'audio', fusion: str = 'weighted', dropout: float = .5,
               initial_temperature: float = 5., train_gate: str = 'policy',
               test_gate: str = 'argmax', random_rate: float = .5):
    if first not in encoders or len(encoders) < 2:
      raise ValueError(
          f'first is {first!r} and the encoders are of {sorted(encoders)}; a cascade '
          'needs the encoder of its first modality and at least one more.')
    dim = encoders[first].feature_dim
    super().__init__(
        encoders=encoders,
        policy=lambda num_decisions: policy(
            feature_dim=dim, num_decisions=num_decisions),
        num_decisions=len(encoders) - 1, num_classes=num_classes, fusion=fusion,
        dropout=dropout, initial_temperature=initial_temperature,
        train_gate=train_gate, test_gate=test_gate, random_rate=random_rate)
    self.first = first
    self._place = self.modalities.index(first)

  def recognize(self, clips, present, *, training, seed):
    features = self._first_features(clips, present, training)
    return super().recognize(
        {**clips, _FIRST: features}, present, training=training, seed=seed)

  def encode(self, clips, modality, gate, training=False):
    """As ever; what `recognize` has of the first modality is not computed again."""
    if modality == self.first and _FIRST in clips:
      return clips[_FIRST]
    return super().encode(clips, modality, gate, training)

  def decide(self, clips, present, *, training, seed):
    features = tf.stop_gradient(self._first_features(clips, present, training))
    logits = self.policy(features)  # [B, S, M - 1, 2]
    gates = self.draw(logits, present, training=training, seed=seed)
    # [B, S, M - 1] -> [B, S, M]: the first modality is present or it is not. Its
    # logits are zeros, since nothing is decided.
    gates = self._insert(gates, tf.ones_like(present[:, :, :1]))
    logits = self._insert(logits, tf.zeros_like(logits[:, :, :1]))
    return gates * present, {'gate_logits': logits}

  def _first_features(self, clips, present, training):
    """[B, S, D], zeros where the first modality is absent."""
    return self.encode(
        clips, self.first, present[:, :, self._place], training['recognition'])

  def _insert(self, others, first):
    """[B, S, M - 1, ...] of the others and [B, S, 1, ...] -> [B, S, M, ...]."""
    return tf.concat([others[:, :, :self._place], first, others[:, :, self._place:]], 2)

  def _overhead(self):
    dim = self.encoders[self.first].feature_dim
    return gflops.count_macs(self.policy, tf.TensorSpec([1, 1, dim]))
