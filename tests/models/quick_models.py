"""Models of two-layer backbones: the laws of an option need no real encoder."""

import functools

from tests import tiny_models
from tests.training import tiny_run
from tfmm.models import adamml, cascade as cascade_lib, fusion, hms as hms_lib
from tfmm.models import random_policy

CLASSES = tiny_models.NUM_CLASSES


def encoders(modalities=('rgb', 'audio')):
  views = {'rgb': tiny_run.FRAMES, 'audio': tiny_run.SOUND,
           'motion': tiny_run.PREVIEW}
  return {m: tiny_run.gated(views[m]) for m in modalities}


def late_fusion(**options):
  return fusion.LateFusion(encoders=encoders(), num_classes=CLASSES, **options)


def feature_fusion(joint_dim=6, **options):
  return fusion.FeatureFusion(
      encoders=encoders(), num_classes=CLASSES, joint_dim=joint_dim, **options)


def random_gates(**options):
  return random_policy.RandomPolicy(
      encoders=encoders(), num_classes=CLASSES, **options)


def ada_mml(*, policy=None, **options):
  """AdaMML; `policy` holds options of its policy network."""
  looks_at = {v.name: tiny_run.Backbone(row_spec=v.spec())
              for v in (tiny_run.PREVIEW, tiny_run.SOUND)}
  make_policy = functools.partial(adamml.Policy, encoders=looks_at, **{
      'joint_dim': 16, 'lstm_units': 8, **(policy or {})})
  return adamml.AdaMML(
      encoders=encoders(), policy=make_policy, num_classes=CLASSES, **options)


def cascade(*, policy=None, modalities=('rgb', 'audio'), **options):
  """Audio first; `policy` holds options of its policy."""
  make_policy = functools.partial(cascade_lib.FeaturePolicy, **{
      'joint_dim': 16, 'lstm_units': 8, **(policy or {})})
  return cascade_lib.Cascade(encoders=encoders(modalities), policy=make_policy,
                             num_classes=CLASSES, **options)


def hms(modalities=('rgb', 'audio'), **options):
  """HMS whose levels are audio, RGB and motion, as far as they are there."""
  levels = [hms_lib.LevelSpec(reads=m, projection_dim=4, units=units) for m, units in (
      ('audio', 3), ('rgb', 5), ('motion', 8)) if m in modalities]
  return hms_lib.HMS(**{
      'encoders': encoders(modalities), 'num_classes': CLASSES, 'levels': levels,
      **options})
