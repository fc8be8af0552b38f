"""A file given to `predict` becomes what the same file is as a record."""

import dataclasses
import json
import os

import cv2
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import config as prepare_config
from beam_pipelines import worker
from tests import tiny_videos
from tests.export import tiny_export
from tfmm import media
from tfmm import schema
from tfmm.data import dataset
from tfmm.export import record as serving_record
from tfmm.export import requests
from tfmm.media import video

VIDEOS = {
    'plain.mp4': {'seconds': 3.0, 'frame_rate': 12},
    'silent.mp4': {'seconds': 3.0, 'sound': False},
    'short_sound.mp4': {'seconds': 3.0, 'sound_seconds': 0.8},
    'short.mp4': {'seconds': 0.3},
    'upright.mp4': {'width': 48, 'height': 80},
    'large.mp4': {'width': 96, 'height': 72, 'seconds': 2.0, 'frame_rate': 25},
    'late_sound.mp4': {'seconds': 2.0, 'sound_start_s': 1.2},
    'several_clips.mp4': {'seconds': 7.0},
    'repeated_pictures.mp4': {'seconds': 2.0, 'frame_rate': 5},
}
CLIP_SECONDS = 3.0


def gradient(k, width, height):
  """Frame k: coloured ramps that drift, so that each frame and place differs."""
  x, y = np.meshgrid(np.linspace(0, 150, width), np.linspace(0, 150, height))
  red, green, blue = x + 3 * k, y + 2 * k, x / 2 + y / 2 + k
  return np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope='module', name='folder')
def folder_fixture(tmp_path_factory):
  folder = tmp_path_factory.mktemp('videos')
  for name, options in VIDEOS.items():
    tiny_videos.make(folder / name, draw=gradient, **options)
  return folder


@pytest.fixture(scope='module', name='data')
def data_fixture(folder):
  """The videos as Beam's worker prepares them."""
  options = dataclasses.asdict(prepare_config.PrepareConfig(
      frame_rate=10.0, short_side=36, sample_rate=8000, flow='dis_fast',
      max_clip_seconds=CLIP_SECONDS))
  data = folder / 'data'
  os.makedirs(data)
  shard = schema.shard_name('test', 0, 1)
  counts = []
  with tf.io.TFRecordWriter(str(data / shard)) as writer:
    for name in VIDEOS:
      records = list(worker.records({
          'path': str(folder / name), 'config': options, 'media_id': name,
          'labels': ['label 0'], 'label_indices': [0]}))
      counts.append(len(records))
      for record, _ in records:
        writer.write(record)
  assert max(counts) == 3
  info = {
      'schema_version': schema.VERSION, 'labels': tiny_export.LABELS,
      'multi_label': False, 'options': {**options, 'frames': 'dense'},
      'splits': {'test': {'num_videos': len(VIDEOS), 'shards': [{
          'file': shard, 'num_videos': len(VIDEOS), 'clips_per_video': counts}]}}}
  (data / schema.DATASET_INFO).write_text(json.dumps(info))
  (data / schema.COMPLETED).touch()
  return str(data)


def read(spec, data):
  """The evaluation batch of all videos."""
  return next(iter(dataset.make_dataset(
      spec, data, 'test', batch_size=len(VIDEOS), training=False,
      drop_remainder=False)))


@pytest.fixture(scope='module', name='batch')
def batch_fixture(data, exported):
  return read(exported.spec, data)


@pytest.mark.parametrize('name', VIDEOS)
def test_same_views_and_answers_as_from_shards(name, folder, batch, exported, served):
  i = list(VIDEOS).index(name)
  request = requests.from_video(str(folder / name), exported.record)
  np.testing.assert_allclose(
      request.segment_times, batch['segment_times'][i], atol=2e-6)
  np.testing.assert_array_equal(request.inputs['present'][0], batch['present'][i])
  tensors = {k: tf.constant(v) for k, v in request.inputs.items()}
  views = exported.inputs.decoded_clips(tensors, tensors['present'])
  for view, value in views.items():
    np.testing.assert_allclose(value[0], batch[view][i], atol=1e-4, err_msg=view)
  np.testing.assert_array_equal(views['rgb'][0], batch['rgb'][i])
  # The record's own numbers through the model, in the other way to run it.
  exported.model.skip = 'mask'
  expected = exported.model({k: v[i:i + 1] for k, v in batch.items()})
  got = served['serving_default'](**tensors)
  np.testing.assert_array_equal(got['ran'], expected.ran)
  np.testing.assert_allclose(got['logits'], expected.logits, atol=1e-5, rtol=1e-5)


def test_same_flow_and_differences_as_from_shards(folder, data, kind):
  """All bits of whole pictures; what is scaled or summed up, but for rounding."""
  batch = read(kind.spec, data)
  serve = tf.saved_model.load(kind.version_dir).signatures['serving_default']
  kind.model.skip = 'mask'
  views_of = tf.function(kind.inputs.decoded_clips, reduce_retracing=True)
  ran = []
  for i, name in enumerate(VIDEOS):
    request = requests.from_video(str(folder / name), kind.record)
    tensors = {k: tf.constant(v) for k, v in request.inputs.items()}
    assert set(tensors) == {*(p.name for p in kind.record.pictures), 'present'}
    views = views_of(tensors, tensors['present'])
    assert set(views) == {view.name for view in kind.spec.views}
    for view, value in views.items():
      np.testing.assert_array_equal(value[0], batch[view][i], f'{name} {view}')
    expected = kind.model({k: v[i:i + 1] for k, v in batch.items()})
    got = serve(**tensors)
    np.testing.assert_array_equal(got['ran'], expected.ran, name)
    np.testing.assert_allclose(
        got['logits'], expected.logits, atol=1e-5, rtol=1e-5, err_msg=name)
    ran.append(expected.ran)
  assert all(np.std(batch[e.view]) > 1 for e in kind.model.encoders.values())
  if hasattr(kind.model, 'policy'):
    assert 0 < np.mean(ran) < 1


def test_flow_is_computed_where_it_is_read(folder, kind, monkeypatch):
  """And frames are not encoded where they are not."""
  record = dataclasses.replace(kind.record, flow='tvl1')
  monkeypatch.delattr(cv2, 'optflow', raising=False)
  path = str(folder / 'short.mp4')
  if not record.sees('flow'):
    requests.from_video(path, record)
    return
  with pytest.raises(ValueError, match="'tvl1', which OpenCV.*pip install"):
    requests.from_video(path, record)
  only = dataclasses.replace(
      record, flow='dis_fast OpenCV 4.11.0', modalities=('flow',), sources=('flow',),
      pictures=tuple(p for p in record.pictures if p.name == 'flow'))
  monkeypatch.setattr(video, 'encode_jpeg', None)
  assert set(requests.from_video(path, only).inputs) == {'flow', 'present'}


@pytest.mark.parametrize('algorithm', ['unknown', 'dis_fast, farneback', ''])
def test_flow_of_another_program_is_not_made_up(folder, exported, algorithm):
  record = dataclasses.replace(
      exported.record, flow=algorithm, pictures=(serving_record.PictureInput(
          name='flow', reads='flow', offsets=(0,), run=1),))
  with pytest.raises(ValueError, match='only dis_fast,.*send the model') as error:
    requests.from_video(str(folder / 'short.mp4'), record)
  assert '\n' not in str(error.value)


def test_presence(folder, exported):
  record = exported.record
  silent = requests.from_video(str(folder / 'silent.mp4'), record).inputs
  np.testing.assert_array_equal(silent['present'], [[[1, 0]] * 4])
  assert not silent['waveform'].any()
  short = requests.from_video(str(folder / 'short_sound.mp4'), record).inputs
  np.testing.assert_array_equal(short['present'][0, :, 1], [1, 0, 0, 0])


def test_gif(tmp_path, exported):
  tiny_export.write_gif(tmp_path / 'a.gif')
  inputs = requests.from_video(str(tmp_path / 'a.gif'), exported.record).inputs
  assert inputs['image'].shape == (1, 4, 2)
  np.testing.assert_array_equal(inputs['present'], [[[1, 0]] * 4])
  # Three frames, windows of four: every segment starts at the first frame.
  assert len({tuple(row) for row in inputs['image'][0]}) == 1


def test_budgets(folder, exported):
  path = str(folder / 'short.mp4')
  assert 'budget_gflops' not in requests.from_video(path, exported.record).inputs
  with pytest.raises(ValueError, match='takes no budget_gflops'):
    requests.from_video(path, exported.record, 80.)
  steps = dataclasses.replace(exported.record, least_budget=.5)
  for options, given in ((), np.inf), ((2.,), 2):
    inputs = requests.from_video(path, steps, *options).inputs
    assert inputs['budget_gflops'].dtype == np.float32
    np.testing.assert_array_equal(inputs['budget_gflops'], [given])
  with pytest.raises(ValueError, match='give 0.5 or more'):
    requests.from_video(path, steps, .4)
  with pytest.raises(ValueError, match='reads features of rgb, not videos'):
    requests.from_video(path, dataclasses.replace(steps, features={'rgb': {}}))


def test_bad_files_say_why(tmp_path, exported):
  junk = tmp_path / 'junk.mp4'
  junk.write_bytes(b'this is no video')
  with pytest.raises(media.MediaError, match='open'):
    requests.from_video(str(junk), exported.record)
  with pytest.raises(media.MediaError, match='missing'):
    requests.from_video(str(tmp_path / 'none.mp4'), exported.record)
