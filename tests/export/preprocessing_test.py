"""The graph's preprocessing is the reader's, and as lazy as the gates allow."""

import dataclasses
import functools
import pathlib
import types

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.export import tiny_export
from tests.training import tiny_run
from tfmm import config
from tfmm.data import dataset
from tfmm.export import preprocessing
from tfmm.export import served_pictures
from tfmm.layers import gated_encoder
from tfmm.models import adamml
from tfmm.training import loop

RECIPES = sorted((pathlib.Path(__file__).resolve().parents[2] / 'gin_configs').glob(
    '*.gin'))


def jpeg(rng, height=48, width=64):
  picture = cv2.resize(rng.integers(0, 256, [6, 8, 3], np.uint8), (width, height))
  return cv2.imencode('.jpg', picture)[1].tobytes()


def test_preview_and_spectrogram_match_the_views():
  model, spec = tiny_models.ada_mml(), tiny_export.dataset_spec()
  inputs = preprocessing.ServedInputs.of(model, spec)
  rng = np.random.default_rng(1)
  image = np.array([[[jpeg(rng) for _ in range(2)] for _ in range(4)]], object)
  sound = rng.normal(0, 0.1, [1, 4, 1280]).astype(np.float32)
  present = np.ones([1, 4, 2], np.float32)
  present[0, 2] = 0
  tensors = {'image': tf.constant(image), 'waveform': tf.constant(sound)}
  views = inputs.decoded_clips(tensors, tf.constant(present))
  expected = tf.image.resize(views['rgb'][0, 1], [16, 16])
  np.testing.assert_array_equal(views['rgb_preview'][0, 1], expected)
  np.testing.assert_array_equal(
      views['spectrogram'][0, 1], tiny_export.SOUND.spectrograms(sound[0, 1:2])[0])
  for name in views:
    assert not views[name][0, 2].numpy().any(), name
    assert views[name].dtype == model.input_specs()[name].dtype


class Mean(tf.keras.layers.Layer):
  """Averages pixels; only the rows that reach it were decoded."""

  feature_dim = 1

  def __init__(self, row_spec):
    super().__init__()
    self.row_spec = row_spec

  def call(self, rows, training=False):
    return tf.reduce_mean(tf.cast(rows, tf.float32), [1, 2, 3, 4])[:, tf.newaxis]


@pytest.mark.parametrize(
    'view', [tiny_export.FRAMES, tiny_export.FLOW, tiny_export.DIFFERENCES],
    ids=lambda view: view.name)
def test_closed_rows_are_not_decoded(view):
  source, = (s for s in (kind.of([(view, view)]) for kind in served_pictures.KINDS)
             if s is not None)
  backbone = Mean(view.spec())
  encoder = gated_encoder.GatedEncoder(backbone, view=view.name, skip='gather')
  model = types.SimpleNamespace(
      encoders={view.modality: encoder},
      input_specs=lambda: {encoder.view: encoder.row_spec})
  rng = np.random.default_rng(2)
  rows = np.empty([3, *source.row_spec.shape], object)
  for index in np.ndindex(rows.shape):
    rows[index] = jpeg(rng)
  expected = backbone(source.decode(tf.constant(rows[1:2])))
  rows[0] = rows[2] = b'not a picture'

  @tf.function
  def encode(rows, gate):
    with preprocessing.encoded_rows(model, [source]):
      return encoder(rows, gate)

  gate = np.array([0.0, 0.5, 0.0], np.float32)
  features = encode(tf.constant(rows), gate)
  np.testing.assert_allclose(features, [[0], [0.5 * expected[0, 0]], [0]], rtol=1e-6)
  assert encoder.backbone is backbone
  np.testing.assert_array_equal(encode(tf.constant(rows), gate * 0), np.zeros([3, 1]))
  with pytest.raises(tf.errors.InvalidArgumentError, match='Unknown image'):
    encode(tf.constant(rows), gate + 1)


def test_a_policy_that_reads_whole_pictures_is_refused():
  frames, flow = tiny_export.FRAMES, tiny_export.FLOW
  policy = functools.partial(
      adamml.Policy, joint_dim=8, lstm_units=4,
      encoders={'flow': tiny_run.Backbone(row_spec=flow.spec())})
  model = adamml.AdaMML(
      encoders={v.modality: tiny_run.gated(v) for v in (frames, flow)}, policy=policy,
      num_classes=3)
  spec = dataset.DatasetSpec(views=(frames, flow), modalities=('rgb', 'flow'))
  inputs = preprocessing.ServedInputs.of(model, spec)
  with pytest.raises(ValueError, match="the view 'flow' outside of a gated encoder"):
    with preprocessing.encoded_rows(model, inputs.pictures):
      pass
  assert model.encoders['flow'].row_spec.dtype == tf.uint8


def test_a_view_of_sound_as_it_is():
  heard = dataset.Waveform(sample_rate=8000, seconds=.01)
  model = types.SimpleNamespace(
      modalities=('audio',), input_specs=lambda: {'waveform': heard.spec()},
      encoders={'audio': types.SimpleNamespace(view='waveform')})
  spec = dataset.DatasetSpec(views=(heard,), modalities=('audio',), segment_frames=4)
  inputs = preprocessing.ServedInputs.of(model, spec)
  assert inputs.specs(2)['waveform'].shape == [None, 2, 80]
  sound = tf.random.normal([1, 2, 80], seed=1)
  present = tf.constant([[[1.], [0.]]])
  [clips] = inputs.clips({'waveform': sound}, present).values()
  np.testing.assert_array_equal(clips, sound * present)


def test_of_frames_that_are_only_previewed_no_others_are_asked_for():
  frames = dataclasses.replace(tiny_export.FRAMES, modality='flow')
  preview = dataset.RgbPreview(modality='flow', frames=(1,), size=16)
  flow = tiny_export.FLOW
  policy = functools.partial(
      adamml.Policy, joint_dim=8, lstm_units=4,
      encoders={'rgb_preview': tiny_run.Backbone(row_spec=preview.spec())})
  model = adamml.AdaMML(
      encoders={'flow': tiny_run.gated(flow)}, policy=policy, num_classes=3)
  spec = dataset.DatasetSpec(views=(frames, preview, flow), modalities=('flow',))
  inputs = preprocessing.ServedInputs.of(model, spec)
  assert inputs.sources == ('flow',)
  specs = inputs.specs(2)
  assert {name: spec.shape for name, spec in specs.items()} == {
      'image': [None, 2, 1], 'flow': [None, 2, 2, 3], 'present': [None, 2, 1]}
  rng = np.random.default_rng(3)
  tensors = {}
  for name in ('image', 'flow'):
    rows = np.empty([1, *specs[name].shape[1:]], object)
    for index in np.ndindex(rows.shape):
      rows[index] = jpeg(rng)
    tensors[name] = tf.constant(rows)
  views = inputs.decoded_clips(tensors, tf.ones([1, 2, 1]))
  assert {name: value.shape[2:] for name, value in views.items()} == {
      name: spec.shape[2:] for name, spec in model.input_specs().items()}
  whole = dataclasses.replace(frames, num_frames=1)
  expected = served_pictures.Frames.of([(whole, whole)]).decode(tensors['image'][0])
  np.testing.assert_array_equal(
      views['rgb_preview'][0], tf.image.resize(expected[:, 0], [16, 16])[:, tf.newaxis])


def test_views_that_a_graph_cannot_make_are_named():
  model = tiny_models.unimodal('rgb')

  class Other:
    name, modality, num_frames, stride = 'rgb', 'rgb', 2, 1

  spec = dataset.DatasetSpec(views=(Other(),), modalities=('rgb',))
  with pytest.raises(ValueError, match="the view 'rgb' \\(Other\\)"):
    preprocessing.ServedInputs.of(model, spec)


def test_a_spec_of_another_model_is_refused():
  with pytest.raises(ValueError, match='modalities'):
    preprocessing.ServedInputs.of(
        tiny_models.unimodal('rgb'), tiny_export.dataset_spec())


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_the_views_of_every_recipe_can_be_served(path):
  config.load([str(path)], [], configurable=loop.train, overrides=[
      config.Override('data_dir', 'DATA_DIR', 'data_dir', 'DATA'),
      config.Override('model_dir', 'MODEL_DIR', 'model_dir', '')])
  [spec] = config.make_parts(loop.train, 'dataset')
  if isinstance(spec, dataset.FeatureSpec):
    pytest.skip('features are served as they come')
  first = {view.modality: view for view in reversed(spec.views)}
  model = types.SimpleNamespace(
      modalities=spec.modalities, input_specs=spec.view_specs,
      encoders={m: types.SimpleNamespace(view=first[m].name) for m in first})
  inputs = preprocessing.ServedInputs.of(model, spec)
  kinds = {kind.kind: kind.input for kind in served_pictures.KINDS}
  for m, source in zip(spec.modalities, inputs.sources, strict=True):
    assert source.startswith(kinds.get(type(first[m]), 'waveform'))
  assert len(set(inputs.sources)) == len(inputs.sources)
