"""Early fusion: the laws, both layouts in NumPy, and what is absent."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance, quick_models
from tfmm.encoders import cached
from tfmm.layers import gated_encoder
from tfmm.models import early_fusion

DIMS = {'rgb': 7, 'audio': 6, 'motion': 9}
TEXT = {'layout': 'text', 'units': 5,
        'projection_dims': {'rgb': 3, 'audio': 2, 'motion': 4}}


def features_of(names, gflops_per_row=0.):
  return {m: gated_encoder.GatedEncoder(
      cached.CachedFeatures(feature_dim=DIMS[m], gflops_per_row=gflops_per_row), view=m)
          for m in names}


def on_features(names=tuple(DIMS), **options):
  return early_fusion.EarlyFusionLSTM(
      encoders=features_of(names), num_classes=tiny_models.NUM_CLASSES, **options)


def on_encoders(names=('rgb', 'audio'), **options):
  return early_fusion.EarlyFusionLSTM(
      encoders=quick_models.encoders(names), num_classes=quick_models.CLASSES,
      dropout=.3, **options)


@pytest.mark.parametrize('make_model', [
    lambda: on_encoders(units=6), lambda: on_encoders(('audio',)),
    lambda: on_encoders(layout='text', units=6, projection_dims={'rgb': 3, 'audio': 2}),
    lambda: on_features(units=6, dropout=.3),
    lambda: on_features(dropout=.3, **TEXT),
], ids=['table', 'table_one', 'text', 'features', 'features_text'])
def test_conforms(make_model, tmp_path):
  conformance.check_model(make_model, tmp_path)


def test_encoders_are_a_group_if_they_have_variables():
  model = on_encoders(units=6)
  groups = model.variable_groups()
  assert set(groups) == {'recognition', 'encoders'}
  assert {v.ref() for v in groups['encoders']} == {
      v.ref() for e in model.encoders.values() for v in e.trainable_variables}
  # Frozen encoders keep their statistics while the rest trains.
  batch = tiny_models.batch(model)
  before = [v.numpy() for v in model.non_trainable_variables]
  model(batch, training=True, frozen=('encoders',), seed=tiny_models.SEED)
  for old, variable in zip(before, model.non_trainable_variables):
    np.testing.assert_array_equal(variable, old)
  model(batch, training=True, seed=tiny_models.SEED)
  assert any((v != old).numpy().any()
             for old, v in zip(before, model.non_trainable_variables))
  assert set(on_features(units=6).variable_groups()) == {'recognition'}


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def numpy_lstm(cell, x, state):
  h, c = state
  z = x @ cell.kernel.numpy() + h @ cell.recurrent_kernel.numpy() + cell.bias.numpy()
  i, f, g, o = np.split(z, 4)
  c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
  return sigmoid(o) * np.tanh(c), c


def numpy_logits(model, batch, video):
  """What the class says in words, for one video."""
  states = [(np.zeros(cell.units), np.zeros(cell.units)) for cell in model.cells]
  for t in range(batch['present'].shape[1]):
    present = batch['present'][video, t].numpy()
    if not present.any():
      continue
    parts = []
    for m, there in zip(model.modalities, present):
      x = batch[m][video, t].numpy()
      if model.layout == 'text':
        layer = model.projections[m]
        x = x @ layer.kernel.numpy() + layer.bias.numpy()
      parts.append(x if there else np.zeros_like(x))
    x = np.concatenate(parts)
    for layer in model.joint:
      x = np.maximum(x @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    for k, cell in enumerate(model.cells):
      states[k] = numpy_lstm(cell, x, states[k])
      x = states[k][0]
  return x @ model.classifier.kernel.numpy() + model.classifier.bias.numpy()


@pytest.mark.parametrize('names, options, num_cells, num_joint', [
    (('rgb',), {}, 1, 2), (('rgb', 'motion'), {'units': 5}, 2, 0),
    (tuple(DIMS), {'units': 5}, 2, 0), (('audio',), TEXT, 1, 0),
    (tuple(DIMS), TEXT, 1, 0),
], ids=['table_1', 'table_2', 'table_3', 'text_1', 'text_3'])
def test_equations(names, options, num_cells, num_joint):
  if 'projection_dims' in options:
    dims = options['projection_dims']
    options = {**options, 'projection_dims': {m: dims[m] for m in names}}
  model = on_features(names, **options)
  assert (len(model.cells), len(model.joint)) == (num_cells, num_joint)
  batch = tiny_models.batch(model, videos=6, segments=7)
  present = np.random.default_rng(1).random(batch['present'].shape) > .4
  present[:, 3] = False  # nothing at all in the middle
  present[:, 5] = True
  batch['present'] = tf.constant(present, tf.float32)
  logits = model(batch).logits
  for video in range(6):
    np.testing.assert_allclose(
        logits[video], numpy_logits(model, batch, video), rtol=1e-4, atol=1e-6)


def test_what_is_absent_says_nothing():
  for options in ({'units': 6}, TEXT):
    model = on_features(**options)
    batch = conformance.some_closed(tiny_models.batch(model))
    noise = {m: tf.where(batch['present'][:, :, i, tf.newaxis] > 0, batch[m], 1e3)
             for i, m in enumerate(model.modalities)}
    np.testing.assert_array_equal(
        model({**batch, **noise}).logits, model(batch).logits)


@pytest.mark.parametrize('units, segments', [(None, None), (None, 4), (3, None)])
def test_the_number_of_segments_may_be_unknown(units, segments):
  model = on_features(('rgb',), units=units)
  batch = tiny_models.batch(model, segments=4)
  function = tf.function(lambda rgb, present: model(
      {'rgb': rgb, 'present': present}).logits, input_signature=[
          tf.TensorSpec([None, segments, 7]), tf.TensorSpec([None, segments, 1])])
  np.testing.assert_allclose(
      function(batch['rgb'], batch['present']), model(batch).logits, rtol=1e-5,
      atol=1e-6)


def test_units_and_projections_of_the_paper():
  one = on_features(('rgb',), layout='text')
  assert one.cells[0].units == 512 and one.cells[0].kernel.shape == [1024, 2048]
  two = on_features(('rgb', 'audio'), layout='text', projection_dims={'rgb': 10})
  assert two.cells[0].units == 512 and two.cells[0].kernel.shape == [522, 2048]
  table = on_features(('rgb', 'audio'))
  assert [c.kernel.shape[0] for c in table.cells] == [13, 1024]
  assert on_features(('rgb',)).cells[0].units == 7


@pytest.mark.parametrize('names, change, words', [
    (('rgb',), {'layout': 'words'}, "layout is 'words'"),
    (('rgb',), {'units': 0}, 'units is 0'),
    (('rgb',), {'projection_dims': {'rgb': 4}}, "layout 'table' projects nothing"),
    (('rgb',), {'layout': 'text', 'projection_dims': {'audio': 4}}, "has 'audio'"),
    (('rgb',), {'layout': 'text', 'projection_dims': {'rgb': 0}}, "of 'rgb' is 0"),
    (('flow',), {'layout': 'text'}, "no units for 'flow'"),
    (('flow',), {'layout': 'text', 'units': 4}, "no projection_dims for 'flow'"),
    (('rgb',), {'dropout': 1.}, 'dropout rate is 1.0'),
], ids=str)
def test_mistakes(names, change, words, monkeypatch):
  monkeypatch.setitem(DIMS, 'flow', 3)
  with pytest.raises(ValueError, match=words):
    on_features(names, **change)
