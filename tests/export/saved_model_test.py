"""What an export leaves on disk, and that it says what the Python model says."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

import tfmm
from tests import tiny_models
from tests.export import tiny_export
from tfmm.export import foreign_ops
from tfmm.export import preprocessing
from tfmm.export import record as serving_record
from tfmm.export import samples
from tfmm.export import saved_model
from tfmm.export import signatures
from tfmm.export import warmup


def test_layout_and_report(exported):
  report = exported.report
  assert os.listdir(exported.directory) == ['1']
  assert report.version_dir.endswith('/SM/1')
  assert {'saved_model.pb', 'variables', 'assets.extra'} <= set(
      os.listdir(report.version_dir))
  assert report.parity <= 1e-5
  assert report.num_nodes > report.num_ops > 20
  assert 'core TensorFlow' in saved_model.describe(report)


def test_record_describes_the_model(exported):
  path = os.path.join(exported.version_dir, 'assets.extra', 'tfmm.json')
  with open(path) as f:
    values = json.load(f)
  assert values['labels'] == list(tiny_export.LABELS)
  assert values['modalities'] == ['rgb', 'audio']
  assert values['sources'] == ['image', 'waveform']
  assert values['num_segments'] == 4 and values['segment_frames'] == 4
  assert values['samples'] == 1280 and values['frame_rate'] == 10.0
  assert values['tfmm_version'] == tfmm.__version__
  assert serving_record.read(exported.version_dir) == exported.record


def test_served_equals_python_in_mask_mode(exported, served):
  exported.model.skip = 'mask'
  kinds = set()
  for request in samples.requests(exported.record, seed=5):
    tensors = {k: tf.constant(v) for k, v in request.items()}
    views = exported.inputs.decoded_clips(tensors, tensors['present'])
    expected = signatures.recognize(exported.model, views, tensors['present'])
    for name, inputs in (
        ('serving_default', tensors),
        ('views', {**views, 'present': tensors['present']})):
      got = served[name](**inputs)
      assert set(got) == set(signatures.OUTPUTS)
      np.testing.assert_allclose(got['logits'], expected.logits, atol=1e-5, rtol=1e-5)
      np.testing.assert_array_equal(got['ran'], expected.ran)
      np.testing.assert_allclose(got['gates'], expected.gates, atol=1e-6)
    kinds |= set(np.unique(expected.ran))
  assert kinds == {0.0, 1.0}  # both ways were taken


def test_outputs_are_consistent_and_carry_the_batch(exported, served):
  parts = list(samples.requests(exported.record))
  batch = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
  got = served['serving_default'](**{k: tf.constant(v) for k, v in batch.items()})
  got = {k: v.numpy() for k, v in got.items()}
  assert {len(v) for v in got.values()} == {len(parts)}
  np.testing.assert_allclose(got['probabilities'].sum(-1), 1.0, rtol=1e-5)
  gflops = exported.record.gflops
  per_row = np.array([gflops['rgb'], gflops['audio']])
  segments = batch['present'].max(-1).sum(-1)
  np.testing.assert_allclose(
      got['gflops'], got['ran'].sum(1) @ per_row + segments * gflops['overhead'],
      rtol=1e-5)
  np.testing.assert_allclose(
      got['gflops_all_modalities'], batch['present'].sum(1) @ per_row, rtol=1e-5)
  alone = served['serving_default'](**{k: tf.constant(v) for k, v in parts[1].items()})
  np.testing.assert_allclose(alone['logits'][0], got['logits'][1], atol=1e-5)


def test_warmup_requests_run_and_open_and_close_every_gate(exported, served):
  requests = warmup.read_warmup_requests(exported.version_dir)
  assert 1 <= len(requests) <= 1000
  opened, closed = np.zeros(2), np.zeros(2)
  for name, inputs in requests:
    function = served[name]
    specs = function.structured_input_signature[1]
    assert set(inputs) == set(specs)
    for key, value in inputs.items():
      assert specs[key].shape.is_compatible_with(value.shape)
    ran = function(**{k: tf.constant(v) for k, v in inputs.items()})['ran'].numpy()
    opened += ran.sum((0, 1)) > 0
    closed += ran.sum((0, 1)) == 0
  assert set(exported.report.warmed) == {'rgb', 'audio'}
  assert (opened > 0).all() and (closed > 0).all()


def test_versions_count_up_and_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
  directory = str(tmp_path / 'SM')
  os.makedirs(directory + '/7')  # some other export is just writing it
  monkeypatch.setattr(foreign_ops, 'refuse_foreign_ops', lambda path: None)
  model = tiny_models.unimodal('rgb')
  export = lambda: saved_model.export(
      model, tiny_export.unimodal_spec('rgb'), directory, labels=tiny_export.LABELS,
      options=tiny_export.OPTIONS)
  assert export().version_dir == directory + '/8'
  monkeypatch.setattr(saved_model, 'PARITY', -1.0)
  with pytest.raises(ValueError, match='differs from the Python one'):
    export()
  assert sorted(os.listdir(directory)) == ['7', '8']
  assert model.skip == 'mask'
  assert model.encoders['rgb'].row_spec.dtype == tf.uint8


def test_wrong_number_of_labels_is_refused(exported, tmp_path):
  with pytest.raises(ValueError, match='2 labels for a model of 5 classes'):
    saved_model.export(
        exported.model, exported.spec, str(tmp_path), labels=('a', 'b'),
        options=tiny_export.OPTIONS)


@pytest.mark.parametrize('modality', ['rgb', 'audio'])
def test_unimodal_models_have_only_their_inputs(modality, tmp_path, monkeypatch):
  monkeypatch.setattr(foreign_ops, 'refuse_foreign_ops', lambda path: None)
  model = tiny_models.unimodal(modality)
  spec = tiny_export.unimodal_spec(modality)
  report = saved_model.export(
      model, spec, str(tmp_path), labels=tiny_export.LABELS,
      options=tiny_export.OPTIONS)
  function = tf.saved_model.load(report.version_dir).signatures['serving_default']
  source = {'rgb': 'image', 'audio': 'waveform'}[modality]
  assert set(function.structured_input_signature[1]) == {source, 'present'}
  assert report.record.sees('jpegs') == (modality == 'rgb')
  assert report.record.hears == (modality == 'audio')


def test_other_kinds_of_pictures(kind):
  """The export has compared its answers with those of the Python model."""
  assert kind.report.parity <= 1e-5
  loaded = tf.saved_model.load(kind.version_dir).signatures
  specs = loaded['serving_default'].structured_input_signature[1]
  assert {n: s.shape[2:].as_list() for n, s in specs.items() if n != 'present'} == {
      p.name: list(p.shape) for p in kind.record.pictures}
  assert set(kind.record.sources) <= {p.name for p in kind.record.pictures}
  assert serving_record.read(kind.version_dir) == kind.record
  read = {view: spec.shape[2:] for view, spec in kind.model.input_specs().items()}
  taken = loaded['views'].structured_input_signature[1]
  assert {n: s.shape[2:] for n, s in taken.items() if n != 'present'} == read
  ran = sum(
      loaded['serving_default'](**{k: tf.constant(v) for k, v in request.items()})[
          'ran'].numpy().sum((0, 1)) for request in samples.requests(kind.record))
  assert (ran > 0).all()


def test_the_record_names_the_flow_and_what_is_shown_of_it(tmp_path_factory):
  by_name = {name: tiny_export.exported(tmp_path_factory, name).record
             for name in tiny_export.KINDS}
  inputs = {name: {p.name: (p.reads, p.offsets, p.run) for p in record.pictures}
            for name, record in by_name.items()}
  image, flow = ('jpegs', (0, 2), None), ('flow', (0, 2), 3)
  assert inputs == {
      'flow': {'image': image, 'flow': flow},
      'difference': {
          'image': image, 'flow': flow, 'rgb_difference': ('jpegs', (2,), 4)},
      'motion': {'rgb_difference': ('jpegs', (0, 2), 4)},
      'clip': {'image': image, 'image_clip': ('jpegs', (0, 1, 2), None)}}
  assert by_name['difference'].sources == ('image', 'flow')
  assert by_name['motion'].sources == ('rgb_difference',)
  assert by_name['clip'].sources == ('image', 'image_clip')
  assert [by_name[name].flow for name in by_name] == ['dis_fast', 'dis_fast', '', '']


def test_flow_of_an_unknown_algorithm_is_refused(tmp_path):
  model, spec = tiny_export.model_of_kind('flow')
  for options in {**tiny_export.OPTIONS, 'flow': ''}, {
      k: v for k, v in tiny_export.OPTIONS.items() if k != 'flow'}:
    with pytest.raises(ValueError, match='reads optical flow.*--flow') as error:
      saved_model.export(
          model, spec, str(tmp_path / 'SM'), labels=tiny_export.LABELS, options=options)
    assert '\n' not in str(error.value)
  assert not (tmp_path / 'SM').exists()
  model, spec = tiny_export.model_of_kind('motion')
  inputs = preprocessing.ServedInputs.of(model, spec)
  saved_model.make_record(model, spec, inputs, tiny_export.LABELS, options)


def test_a_foreign_operation_is_refused_and_nothing_is_left(
    exported, tmp_path, monkeypatch):
  original = type(exported.inputs).audible

  def through_python(self, tensors, present):
    checked = tf.py_function(lambda p: p, [present], tf.float32)
    return original(self, tensors, tf.ensure_shape(checked, present.shape))

  monkeypatch.setattr(type(exported.inputs), 'audible', through_python)
  with pytest.raises(ValueError, match='EagerPyFunc .node'):
    saved_model.export(
        exported.model, exported.spec, str(tmp_path), labels=tiny_export.LABELS,
        options=tiny_export.OPTIONS)
  assert not os.listdir(tmp_path)
