import pytest

from tests import tiny_models
from tfmm.models import base, fusion


def test_modalities_have_one_order_whatever_the_mapping_says():
  model = fusion.LateFusion(
      encoders={'audio': tiny_models.audio_encoder(), 'rgb': tiny_models.rgb_encoder()},
      num_classes=3)
  assert model.modalities == ('rgb', 'audio')


def test_unknown_modality_is_refused():
  with pytest.raises(ValueError, match='smell'):
    base.in_canonical_order(['rgb', 'smell'])


@pytest.mark.parametrize('options, word', [
    ({'num_classes': 1}, 'num_classes'), ({'encoders': {}}, 'encoders')])
def test_bad_construction_is_refused(options, word):
  good = {'encoders': {'rgb': tiny_models.rgb_encoder()}, 'num_classes': 3}
  with pytest.raises(ValueError, match=word):
    fusion.LateFusion(**{**good, **options})


def test_unknown_frozen_group_is_refused():
  model = tiny_models.unimodal()
  with pytest.raises(ValueError, match='polcy'):
    model(tiny_models.batch(model), training=True, frozen=('polcy',),
          seed=tiny_models.SEED)


def test_training_without_a_seed_is_refused():
  model = tiny_models.unimodal()
  with pytest.raises(ValueError, match='seed'):
    model(tiny_models.batch(model), training=True)
