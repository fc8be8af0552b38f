"""Unimodal models and late fusion of their logits (AdaMML Tables 1 to 3 and 7)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfmm.layers import fusion as fusion_layer
from tfmm.layers import gated_encoder, randomness
from tfmm.models import base

_DROPOUT_SALT = 101


class LateFusion(base.GatedMultimodalModel):
  """Each modality classifies each segment; logits are fused, then averaged over time.

  With one encoder it is a unimodal model. Gates are `present`: what is there runs.
  A segment's skipped modality counts as zero logits, and the average is over all
  segments that hold anything (AdaMML section 3.1 and the authors' code).
  """

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               num_classes: int, fusion: str = 'weighted', dropout: float = .5):
    super().__init__(encoders=encoders, num_classes=num_classes)
    self.classifiers = {
        m: gated_encoder.GatedDense(
            num_classes, input_dim=e.feature_dim, name=f'{m}_classifier')
        for m, e in self.encoders.items()}
    self.fusion = fusion_layer.LogitFusion(fusion, num_modalities=len(self.encoders))
    self.dropout = randomness.SeededDropout(dropout)

  def decide(self, clips, present, *, training, seed):
    """Gates [B, S, M] and extras; a policy overrides this."""
    del clips, training, seed
    return present, {}

  def recognize(self, clips, present, *, training, seed):
    gates, extras = self.decide(clips, present, training=training, seed=seed)
    logits = tf.stack(
        [self._segment_logits(clips, m, gates[:, :, i], training['recognition'], seed)
         for i, m in enumerate(self.modalities)], axis=2)  # [B, S, M, C]
    fused = self.fusion(logits)  # [B, S, C]
    held = tf.reduce_max(present, axis=2)  # [B, S]: segments that are not padding
    mean = tf.math.divide_no_nan(
        tf.reduce_sum(fused, 1), tf.reduce_sum(held, 1, keepdims=True))
    ran = tf.cast(gates > 0, tf.float32)
    return base.Recognition(
        mean, gates, ran, {**extras, 'segment_logits': fused})

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
