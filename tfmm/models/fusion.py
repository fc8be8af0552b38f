"""Unimodal models and fusion of modalities (AdaMML Tables 1 to 3 and 7)."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import tensorflow as tf

from tfmm.layers import fusion as fusion_layer
from tfmm.layers import gated_encoder, gflops, randomness
from tfmm.models import base

_DROPOUT_SALT = 101


class SegmentAverage(base.GatedMultimodalModel):
  """Segments are classified each by itself; what they say is averaged over time.

  Gates are `present`: what is there runs. The average is over all segments that hold
  anything, also those whose modalities a policy has skipped (AdaMML section 3.1 and
  the authors' code). A subclass writes `classify`; a policy overrides `decide`.
  """

  def decide(self, clips, present, *, training, seed):
    """Gates [B, S, M] and extras."""
    del clips, training, seed
    return present, {}

  @abc.abstractmethod
  def classify(self, clips: base.Clips, gates: tf.Tensor, *, training: bool,
               seed: tf.Tensor | None) -> tf.Tensor:
    """Segment logits [B, S, C]: zeros where no gate [B, S, M] is open."""

  def recognize(self, clips, present, *, training, seed):
    gates, extras = self.decide(clips, present, training=training, seed=seed)
    fused = self.classify(
        clips, gates, training=training['recognition'], seed=seed)  # [B, S, C]
    held = tf.reduce_max(present, axis=2)  # [B, S]: segments that are not padding
    mean = tf.math.divide_no_nan(
        tf.reduce_sum(fused, 1), tf.reduce_sum(held, 1, keepdims=True))
    ran = tf.cast(gates > 0, tf.float32)
    return base.Recognition(
        mean, gates, ran, {**extras, 'segment_logits': fused})


class LateFusion(SegmentAverage):
  """Each modality classifies each segment; logits are fused, then averaged over time.

  With one encoder it is a unimodal model. A segment's skipped modality counts as zero
  logits, or is left out ('max').

  Args:
    encoders: {modality: GatedEncoder}.
    num_classes: C.
    fusion: 'average', 'weighted', 'class_weighted' or 'max'; see `LogitFusion`.
    dropout: rate before each classifier.
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               num_classes: int, fusion: str = 'weighted', dropout: float = .5):
    super().__init__(encoders=encoders, num_classes=num_classes)
    self.classifiers = {
        m: gated_encoder.GatedDense(
            num_classes, input_dim=e.feature_dim, name=f'{m}_classifier')
        for m, e in self.encoders.items()}
    self.fusion = fusion_layer.LogitFusion(
        fusion, num_modalities=len(self.encoders), num_classes=num_classes)
    self.dropout = randomness.SeededDropout(dropout)

  def classify(self, clips, gates, *, training, seed):
    logits = tf.stack(
        [self._segment_logits(clips, m, gates[:, :, i], training, seed)
         for i, m in enumerate(self.modalities)], axis=2)  # [B, S, M, C]
    return self.fusion(logits, gates)

  def _segment_logits(self, clips, modality, gate, training, seed):
    features = self.encode(clips, modality, gate, training)  # [B, S, D]
    if training:
      salt = base.MODALITIES.index(modality)
      features = self.dropout(
          features, randomness.fold_seed(seed, _DROPOUT_SALT, salt), training=True)
    # [B, S, D] -> [B * S, D] -> [B, S, C]
    flat = tf.reshape(features, [-1, features.shape[-1]])
    logits = self.classifiers[modality](flat, tf.reshape(gate, [-1]))
    return tf.reshape(logits, [tf.shape(gate)[0], tf.shape(gate)[1], self.num_classes])

  def _row_function(self, modality):
    backbone, classifier = self.encoders[modality].backbone, self.classifiers[modality]
    return lambda rows: classifier(backbone(rows, training=False), tf.ones([1]))


class FeatureFusion(SegmentAverage):
  """Features of all modalities are joined, then classified: "FC2 fusion" of Table 7.

  Concatenated features [B, S, sum of D], with zeros for what is absent, pass two fully
  connected layers with ReLU, dropout and a linear classifier. These layers run for
  every present segment, so they are overhead and no part of a modality's cost.
  Unimodal runs give it their encoders; it has none of their classifiers.

  Args:
    encoders: {modality: GatedEncoder}.
    num_classes: C.
    joint_dim: width of both fully connected layers (2048 in the authors' code).
    dropout: rate before the classifier.
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               num_classes: int, joint_dim: int = 2048, dropout: float = .5):
    super().__init__(encoders=encoders, num_classes=num_classes)
    self._feature_dim = sum(e.feature_dim for e in self.encoders.values())
    self.joint = fusion_layer.joint_layers(joint_dim, input_dim=self._feature_dim)
    self.classifier = fusion_layer.linear(
        num_classes, input_dim=joint_dim, name='classifier')
    self.dropout = randomness.SeededDropout(dropout)

  def classify(self, clips, gates, *, training, seed):
    features = tf.concat(
        [self.encode(clips, m, gates[:, :, i], training)
         for i, m in enumerate(self.modalities)], axis=-1)  # [B, S, sum of D]
    dropout_seed = randomness.fold_seed(seed, _DROPOUT_SALT) if training else None
    logits = self._head(features, training, dropout_seed)
    # The layers have biases, which would let a segment with nothing in it vote.
    return logits * tf.reduce_max(gates, axis=2, keepdims=True)

  def _head(self, features, training=False, seed=None):
    """[..., sum of D] -> [..., C]."""
    # One product of all segments, not one for each video: -> [N, sum of D]
    joint = tf.reshape(features, [-1, self._feature_dim])
    for layer in self.joint:
      joint = layer(joint)
    logits = self.classifier(self.dropout(joint, seed, training=training))
    return tf.reshape(
        logits, tf.concat([tf.shape(features)[:-1], [self.num_classes]], 0))

  def _overhead(self):
    return gflops.count_macs(self._head, tf.TensorSpec([1, self._feature_dim]))
