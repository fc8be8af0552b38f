"""Exports of a model with steps: what a video may cost is one more input."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tests.export import tiny_export
from tfmm.export import predictor
from tfmm.export import record as serving_record
from tfmm.export import samples
from tfmm.export import saved_model
from tfmm.export import signatures
from tfmm.export import warmup
from tfmm.metrics import compute
from tfmm.models import base


@pytest.fixture(scope='module', name='steps')
def steps_fixture(tmp_path_factory):
  """An HMS on sound and pictures, see `tiny_export`; and `served`, its signatures."""
  export = tiny_export.exported(tmp_path_factory, 'steps')
  export.served = tf.saved_model.load(export.version_dir).signatures
  return export


@pytest.fixture(scope='module', name='on_features')
def on_features_fixture(tmp_path_factory):
  """The same of an HMS on features."""
  export = tiny_export.exported(tmp_path_factory, 'features')
  export.served = tf.saved_model.load(export.version_dir).signatures
  return export


def call(function, request):
  tensors = {k: tf.constant(v) for k, v in request.items()}
  return {k: v.numpy() for k, v in function(**tensors).items()}


def counted(export, recognition):
  return compute.video_gflops(
      recognition.ran.numpy(), recognition.extras['awake'].numpy()[..., np.newaxis],
      export.model.segment_cost(), export.model.modalities, 'total')


def test_same_under_budgets_as_in_python(steps):
  """Both ways to ask, each in the way that the Python model does not run."""
  model, videos = steps.model, 12
  request = {k: np.repeat(v, videos, 0) for k, v in steps.request.items()}
  request['present'][-1, 1] = 0  # what is not there costs nothing
  tensors = {k: tf.constant(v) for k, v in request.items()}
  views = steps.inputs.decoded_clips(tensors, tensors['present'])
  model.skip = 'mask'
  free = counted(steps, signatures.recognize(model, views, tensors['present']))
  least = steps.record.least_budget
  limits = np.array(
      [0, .9 * least, least, *np.linspace(least, 1.1 * free.max(), videos - 5),
       np.inf, np.inf], np.float32)
  views = {**views, 'present': tensors['present'], base.BUDGET: tf.constant(limits)}
  expected = signatures.recognize(model, views, tensors['present'])
  spent = counted(steps, expected)
  ran = expected.ran.numpy().sum((1, 2))
  assert ran[:3].tolist() == [0, 0, 1] and len(set(ran)) > 4
  assert (spent[2:] <= limits[2:]).all() and spent[-2] == free[0] > spent[-1]
  for name, inputs in (
      ('serving_default', {**tensors, base.BUDGET: limits}), ('views', views)):
    got = call(steps.served[name], inputs)
    np.testing.assert_array_equal(got['ran'], expected.ran)
    np.testing.assert_allclose(got['logits'], expected.logits, rtol=0, atol=1e-5)
    assert (got['gflops'][2:] <= limits[2:]).all()
    np.testing.assert_array_equal(got['gflops'], spent.astype(np.float32))
  # Without a step a video costs its answer.
  np.testing.assert_allclose(spent[:2], steps.record.gflops['once'])


def test_only_bought_steps_are_decoded(steps):
  good = call(steps.served['serving_default'], steps.request)
  looks = good['ran'][0, :, 0] == 1
  assert 0 < looks.sum() < len(looks) and steps.request['present'].all()
  junk = {k: v.copy() for k, v in steps.request.items()}
  junk['image'][0, ~looks] = b'not a picture'
  for name, value in call(steps.served['serving_default'], junk).items():
    np.testing.assert_array_equal(value, good[name])
  # Under a budget that ends before the last look, that one is not decoded either.
  last = np.flatnonzero(looks)[-1]
  junk['image'][0, last] = b'not a picture'
  with pytest.raises(tf.errors.InvalidArgumentError, match='Unknown image file format'):
    call(steps.served['serving_default'], junk)
  price = steps.record.gflops
  until = looks.sum() * price['rgb'] + price['once'] + (last + 1) * (
      price['audio'] + price['overhead'])
  junk[base.BUDGET] = np.array([.99 * until], np.float32)
  ended = call(steps.served['serving_default'], junk)
  np.testing.assert_array_equal(ended['ran'][0, :last], good['ran'][0, :last])
  assert not ended['ran'][0, last, 0]


def test_the_export_was_compared_under_budgets(steps):
  report = steps.report
  assert report.parity <= 1e-5
  text = saved_model.describe(report)
  assert 'takes budget_gflops, ' in text and 'also under budgets' in text
  requests = warmup.read_warmup_requests(steps.version_dir)
  assert all(np.isinf(inputs[base.BUDGET]).all() for _, inputs in requests)
  assert {name for name, _ in requests} == {'serving_default'}
  free = call(steps.served['serving_default'], steps.request)
  limited = samples.limited(steps.request, free['gflops'])
  got = call(steps.served['serving_default'], limited)
  assert 0 < got['ran'][0].sum() < got['ran'][1].sum() < free['ran'].sum()


def test_a_wrong_budget_in_the_export_is_found(steps, tmp_path, monkeypatch):
  """The comparison is one that can fail."""
  recognize = signatures.recognize

  def deaf(model, clips, present):
    if tf.inside_function():  # while the export is traced
      clips = {k: v for k, v in clips.items() if k != base.BUDGET}
    return recognize(model, clips, present)

  monkeypatch.setattr(saved_model.foreign_ops, 'refuse_foreign_ops', lambda path: None)
  monkeypatch.setattr(signatures, 'recognize', deaf)
  with pytest.raises(ValueError, match='differs from the Python one'):
    saved_model.export(
        steps.model, steps.spec, str(tmp_path), labels=tiny_export.LABELS,
        options=tiny_export.OPTIONS)
  assert not os.listdir(tmp_path)


def test_shapes_of_budgets(steps):
  for wrong in (np.ones([2], np.float32), np.ones([1, 1], np.float32)):
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
      call(steps.served['serving_default'], {**steps.request, base.BUDGET: wrong})


def test_a_model_on_features_has_views_alone(on_features):
  assert set(on_features.served) == {'views'}
  specs = on_features.served['views'].structured_input_signature[1]
  assert {name: spec.shape.as_list() for name, spec in specs.items()} == {
      'audio': [None, 4, 6], 'rgb': [None, 4, 7], 'present': [None, 4, 2],
      'budget_gflops': [None]}
  assert on_features.report.parity <= 1e-5
  requests = warmup.read_warmup_requests(on_features.version_dir)
  assert {name for name, _ in requests} == {'views'}
  for _, inputs in requests:
    assert set(inputs) == set(specs)
    call(on_features.served['views'], inputs)


def test_the_record_says_how_features_were_made(on_features):
  record = serving_record.read(on_features.version_dir)
  assert record == on_features.record and record.num_segments == 4
  assert record.features['audio'] == {'name': 'AUDIO', 'dimensions': 6, 'steps': 4}
  assert not (record.sources or record.pictures or record.hears or record.frame_rate
              or record.segment_frames or record.short_side or record.jpeg_quality)
  text = saved_model.describe(on_features.report)
  assert 'features of rgb, audio, by the signature' in text
  with pytest.raises(ValueError, match='only `views` can be called') as error:
    predictor.Predictor(on_features.directory)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('change, says', [
    ({'audio': {'dimensions': 5}}, "'audio' of 6 numbers.*say 5"),
    ({'audio': None}, "'audio' of 6 numbers.*say None")])
def test_options_of_other_features_are_refused(tmp_path, change, says):
  model, spec, options = tiny_export.features_model()
  with pytest.raises(ValueError, match=says):
    saved_model.export(model, spec, str(tmp_path), labels=tiny_export.LABELS,
                       options={**options, **change})
  assert not os.listdir(tmp_path)
