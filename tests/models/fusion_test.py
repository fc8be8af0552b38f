import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance


@pytest.mark.parametrize('modality', ['rgb', 'audio'])
def test_unimodal_conforms(modality, tmp_path):
  conformance.check_model(lambda: tiny_models.unimodal(modality), tmp_path)


@pytest.mark.parametrize('fusion', ['average', 'weighted'])
def test_late_fusion_conforms(fusion, tmp_path):
  conformance.check_model(lambda: tiny_models.late_fusion(fusion=fusion), tmp_path)


def test_fusion_is_the_weighted_mean_of_what_each_modality_says():
  model = tiny_models.late_fusion()
  model.fusion.free_weights.assign([.7])
  batch = tiny_models.batch(model)
  said = {}
  for i, modality in enumerate(model.modalities):
    present = np.zeros(batch['present'].shape, np.float32)
    present[:, :, i] = 1
    said[modality] = model({**batch, 'present': tf.constant(present)}).logits.numpy()
  # A closed modality adds nothing and the others are not rescaled.
  np.testing.assert_allclose(
      model(batch).logits, said['rgb'] + said['audio'], rtol=1e-4, atol=1e-5)


def test_unknown_fusion_is_refused():
  with pytest.raises(ValueError, match='weihgted'):
    tiny_models.late_fusion(fusion='weihgted')
