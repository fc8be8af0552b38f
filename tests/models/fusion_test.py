import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance, quick_models
from tfmm.models import fusion
from tfmm.training import checkpoints


@pytest.mark.parametrize('modality', ['rgb', 'audio'])
def test_unimodal_conforms(modality, tmp_path):
  conformance.check_model(
      lambda: fusion.LateFusion(encoders=quick_models.encoders((modality,)),
                                num_classes=quick_models.CLASSES), tmp_path)


def test_late_fusion_conforms(tmp_path):
  conformance.check_model(tiny_models.late_fusion, tmp_path)


@pytest.mark.parametrize('kind', ['average', 'class_weighted', 'max'])
def test_other_late_fusion_conforms(kind, tmp_path):
  conformance.check_model(lambda: quick_models.late_fusion(fusion=kind), tmp_path)


def test_feature_fusion_conforms(tmp_path):
  conformance.check_model(quick_models.feature_fusion, tmp_path)


def said_alone(model, batch):
  """{modality: logits [B, C] of the videos with nothing else in them}."""
  said = {}
  for i, modality in enumerate(model.modalities):
    present = np.zeros(batch['present'].shape, np.float32)
    present[:, :, i] = 1
    said[modality] = model({**batch, 'present': tf.constant(present)}).logits.numpy()
  return said


def test_fusion_is_the_weighted_mean_of_what_each_modality_says():
  model = tiny_models.late_fusion()
  model.fusion.free_weights.assign([.7])
  batch = tiny_models.batch(model)
  said = said_alone(model, batch)
  # A closed modality adds nothing and the others are not rescaled.
  np.testing.assert_allclose(
      model(batch).logits, said['rgb'] + said['audio'], rtol=1e-4, atol=1e-5)


def test_every_class_has_weights_of_its_own():
  model = quick_models.late_fusion(fusion='class_weighted')
  batch = tiny_models.batch(model)
  only_rgb = np.array([1., 1., 0., 0., 0.])
  model.fusion.free_weights.assign([only_rgb])
  said = said_alone(model, batch)
  np.testing.assert_array_equal(said['rgb'] != 0, np.tile(only_rgb == 1, [4, 1]))
  np.testing.assert_array_equal(said['audio'] != 0, np.tile(only_rgb == 0, [4, 1]))
  np.testing.assert_allclose(
      model(batch).logits, said['rgb'] + said['audio'], rtol=1e-4, atol=1e-5)


def test_max_takes_the_surest_modality_of_what_is_present():
  model = quick_models.late_fusion(fusion='max')
  for classifier in model.classifiers.values():
    classifier.bias.assign_sub(9 * tf.ones_like(classifier.bias))
  batch = tiny_models.batch(model)
  present = np.ones(batch['present'].shape, np.float32)
  present[0, 0, 0] = present[1, 1] = 0  # one modality, and a whole segment
  ones = tf.ones(present.shape[:2])
  said = []
  for modality, classifier in model.classifiers.items():
    features = model.encode(batch, modality, ones).numpy()
    said.append(features @ classifier.kernel.numpy() + classifier.bias.numpy())
  expected = np.maximum(*said)
  expected[0, 0], expected[1, 1] = said[1][0, 0], 0
  result = model({**batch, 'present': tf.constant(present)})
  np.testing.assert_allclose(
      result.extras['segment_logits'], expected, rtol=1e-4, atol=1e-5)
  assert (expected[0] < 0).all()  # zeros of what is absent would win


def feature_logits(model, batch, present):
  """FC2 fusion in NumPy: features [B, S, D] of all segments -> logits [B, C]."""
  ones = tf.ones(present.shape[:2])
  joint = np.concatenate(
      [model.encode(batch, m, ones).numpy() * present[:, :, i, None]
       for i, m in enumerate(model.modalities)], -1)
  for layer in model.joint:
    joint = np.maximum(joint @ layer.kernel.numpy() + layer.bias.numpy(), 0)
  last = model.classifier
  segments = joint @ last.kernel.numpy() + last.bias.numpy()
  held = present.max(2)
  return (segments * held[..., None]).sum(1) / np.maximum(
      held.sum(1, keepdims=True), 1)


def test_feature_fusion_in_numpy():
  model = quick_models.feature_fusion(dropout=0.)
  assert [layer.units for layer in model.joint] == [6, 6]
  batch = conformance.some_closed(tiny_models.batch(model))
  present = batch['present'].numpy()
  assert 0 < present.any(2).mean() < 1
  expected = feature_logits(model, batch, present)
  np.testing.assert_allclose(model(batch).logits, expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(expected[0], np.zeros(model.num_classes))


def test_layers_of_feature_fusion_are_charged_for_every_segment():
  model = quick_models.feature_fusion()
  dims = sum(e.feature_dim for e in model.encoders.values())
  cost = model.segment_cost()
  assert cost.overhead.total == dims * 6 + 6 * 6 + 6 * model.num_classes
  assert cost.overhead.papers == 0  # the papers count no fully connected layers
  rgb = quick_models.late_fusion().segment_cost().modality['rgb']
  assert cost.modality['rgb'].total == rgb.total - 4 * model.num_classes


def test_default_width_is_the_papers():
  model = fusion.FeatureFusion(encoders=quick_models.encoders(), num_classes=3)
  assert [layer.units for layer in model.joint] == [2048, 2048]


def test_feature_fusion_starts_from_unimodal_encoders(tmp_path):
  runs, encoders = [], {}
  for modality in ('rgb', 'audio'):
    alone = fusion.LateFusion(
        encoders=quick_models.encoders([modality]), num_classes=3)
    path = tmp_path / modality / 'ckpt'
    runs.append(tf.train.Checkpoint(model=alone).save(str(path)))
    encoders[modality] = alone.encoders[modality]
  model = quick_models.feature_fusion()  # of 5 classes: it takes no classifier
  before = [v.numpy() for v in model.joint[0].weights]
  assert checkpoints.initialize_from(model, runs) == dict(zip(encoders, runs))
  for modality, encoder in encoders.items():
    for mine, theirs in zip(model.encoders[modality].variables, encoder.variables):
      np.testing.assert_array_equal(mine, theirs)
  for now, then in zip(model.joint[0].weights, before):
    np.testing.assert_array_equal(now, then)


def test_unknown_fusion_is_refused():
  with pytest.raises(ValueError, match='weihgted'):
    tiny_models.late_fusion(fusion='weihgted')
