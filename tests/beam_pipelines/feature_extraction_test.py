"""Tests of beam_pipelines.feature_extraction: the numbers, and mistakes."""

import socket

import cv2
import numpy as np

from beam_pipelines import execution
from beam_pipelines import feature_shards
from tests.beam_pipelines import tiny_encoders
from tests.beam_pipelines import tiny_extraction
from tests.data import tiny_shards
from tfmm import trained_run
from tfmm.data import dataset
from tfmm.data import features

_extract = tiny_extraction.extract
_records = tiny_extraction.records
_floats = tiny_extraction.floats
_SMALL = tiny_encoders.SMALL


def test_features_are_those_of_frames_decoded_by_opencv(data_dir, looker, tmp_path):
  assert _extract(data_dir, tmp_path / 'F', looker, batch_size=3, **_SMALL) == 0
  sources, found = _records(data_dir), _records(tmp_path / 'F')
  assert set(found) == set(sources) and len(found) == 12
  kernel = tiny_encoders.kernel(tiny_encoders.SIZE**2 * 3).astype(np.float64)
  for name, clips in sources.items():
    jpegs = [f.bytes_list.value[0] for clip in clips
             for f in clip.feature_lists.feature_list['image/encoded'].feature]
    total = len(jpegs)
    places = [i * (total - 1) // 3 for i in range(4)]
    frames = [cv2.imdecode(np.frombuffer(jpegs[k], np.uint8), cv2.IMREAD_COLOR)
              for k in places]
    # 24 x 32 pixels, of which the middle 16 x 16 are read; BGR to RGB.
    rows = np.stack([f[4:20, 8:24, ::-1] for f in frames]).reshape([4, -1]) / 255.
    [example] = found[name]
    np.testing.assert_allclose(_floats(example), rows @ kernel, rtol=1e-4, atol=1e-5)
    context = example.context.feature
    for key in ('clip/label/index', 'clip/start/timestamp'):
      assert context[key] == clips[0].context.feature[key]
    assert context['clip/end/timestamp'] == clips[-1].context.feature[
        'clip/end/timestamp']
    assert context['RGB/feature/dimensions'].int64_list.value == [tiny_encoders.DIM]
    assert context['tfmm/present/rgb'].int64_list.value == [1] * 4
    times = [f.int64_list.value[0] for f in example.feature_lists.feature_list[
        'RGB/feature/timestamp'].feature]
    assert times == [100_000 * k + 50_000 for k in places]
    index = context['clip/label/index'].int64_list.value[0]
    assert context['clip/label/text'].bytes_list.value == [b'abc'[index:index + 1]]


def test_a_run_gives_what_it_sees_in_evaluation(data_dir, tmp_path, capsys):
  run_dir, _ = tiny_encoders.make_run(tmp_path / 'run', frame_rate=30.0)
  assert _extract(data_dir, tmp_path / 'F', f'run:{run_dir}/rgb', steps=10) == 0
  assert ('note: the encoder was trained at 30 frames a second and '
          f'{data_dir} has 10.') in capsys.readouterr().err
  run = trained_run.load(run_dir)
  batches = dataset.make_dataset(run.dataset, data_dir, 'train', batch_size=9,
                                 training=False)
  [batch] = batches.as_numpy_iterator()
  found = _records(tmp_path / 'F')
  for name, rows in zip(batch['media_id'], batch['rgb']):
    expected = run.model.encoders['rgb'].backbone(rows, training=False)
    [example] = found[name.decode()]
    np.testing.assert_allclose(_floats(example), expected, rtol=1e-4, atol=1e-4)


def test_several_encoders_are_read_together(data_dir, looker, tmp_path):
  same = {'steps': 6, 'segment_frames': 4}
  listener = tiny_encoders.listener(tmp_path / 'listener')
  assert _extract(data_dir, tmp_path / 'rgb', looker, **same, **_SMALL) == 0
  assert _extract(data_dir, tmp_path / 'audio', listener, **same, view='audio',
                  seconds=.2, sample_rate=tiny_encoders.RATE) == 0
  dirs = {m: str(tmp_path / m) for m in ('rgb', 'audio')}
  [batch] = features.make_feature_dataset(
      dirs, 'train', batch_size=9, training=False).as_numpy_iterator()
  records = {m: _records(path) for m, path in dirs.items()}
  for k, name in enumerate(batch['media_id']):
    for m in dirs:
      [example] = records[m][name.decode()]
      np.testing.assert_array_equal(batch[m][k], _floats(example, m.upper()))
  silent = batch['media_id'].tolist().index(b'v2')
  assert batch['present'].sum() == 9 * 6 * 2 - 6
  assert not batch['present'][silent, :, 1].any()


def test_sound_that_is_missing_and_every_seconds(data_dir, tmp_path, capsys):
  listener = tiny_encoders.listener(tmp_path / 'listener')
  assert _extract(
      data_dir, tmp_path / 'F', listener, steps=None, every_seconds=.25, view='audio',
      seconds=.2, sample_rate=tiny_encoders.RATE) == 0
  assert '(4 have nothing to encode: zeros, marked as not present)' in (
      capsys.readouterr().err)
  found = _records(tmp_path / 'F')
  [silent] = found['v2']
  assert silent.context.feature['tfmm/present/audio'].int64_list.value == [0] * 4
  assert not _floats(silent, 'AUDIO').any()
  assert silent.context.feature['AUDIO/feature/rate'].float_list.value == [4.0]
  video = tiny_shards.noise_video('v8', 16, seed=8)
  [example] = found['v8']
  assert _floats(example, 'AUDIO').shape == (6, 5)  # 1.6 s: middles at .125 ... 1.375
  times = [f.int64_list.value[0] for f in example.feature_lists.feature_list[
      'AUDIO/feature/timestamp'].feature]
  kernel = tiny_encoders.kernel(tiny_encoders.PATCH).astype(np.float64)
  for time_us, row in zip(times, _floats(example, 'AUDIO')):
    middle = time_us * tiny_encoders.RATE // 1_000_000
    sound = video.waveform[middle - 800:middle + 800].reshape([4, -1])
    np.testing.assert_allclose(row, (sound @ kernel).mean(0), rtol=1e-4, atol=1e-5)


def test_mistakes_are_one_line_and_make_nothing(data_dir, looker, tmp_path, capsys):
  foreign = tmp_path / 'foreign'
  foreign.mkdir()
  (foreign / 'a.tfrecord').write_text('mine')
  out = tmp_path / 'F'
  with socket.socket() as sock:
    sock.bind(('localhost', 0))
    port = sock.getsockname()[1]
  for says, data, where, encoder, arguments, options in (
      ('is not a finished dataset (no COMPLETED)', tmp_path, out, looker, (), {}),
      ('no saved_model.pb there; give a directory', data_dir, out, 'none', (), {}),
      ('reads float32 [None, 16, 16, 3], and --view=rgb gives', data_dir, out, looker,
       (), {'size': 24}),
      ('not made by extract_features', data_dir, foreign, looker, (), {}),
      ('runner DaskRunner is refused', data_dir, out, looker, ('--runner=DaskRunner',),
       {}),
      ('neither of extract_features nor of Beam', data_dir, out, looker, ('--nope=1',),
       {}),
      ('--dry_run is for DataflowRunner', data_dir, out, looker, ('--dry_run=True',),
       {}),
      (f'nothing answers at --job_endpoint=localhost:{port}', data_dir, out, looker,
       ('--runner=PortableRunner', f'--job_endpoint=localhost:{port}'), {}),
      ('without optical flow', data_dir, out, 'new:resnet.ResNet(depth=18, width=4, '
       'size=16, num_frames=None, in_channels=2, normalization="flow")', (),
       {'view': 'flow', 'fields': 1}),
      ('neither a run directory', data_dir, out, f'run:{tmp_path}/none/rgb', (),
       {'size': None, 'short_side': None})):
    options = {**_SMALL, **options}
    assert _extract(data, where, encoder, *arguments, **options) == 1
    err = capsys.readouterr().err
    assert says in err and len(err.splitlines()) == 1, err
  assert not out.exists() and (foreign / 'a.tfrecord').read_text() == 'mine'


def test_absent_workers_are_told(data_dir, looker, tmp_path, capsys, monkeypatch):
  """The engine is asked by what also runs prepare_videos."""
  asked = []

  def run(pipeline, transform, *, output_dir, videos, **options):
    del pipeline
    asked.append((output_dir, sum(videos.values()), options))
    assert isinstance(transform, feature_shards.ExtractShards)
    raise OSError('no worker has begun for 1020 s.')

  monkeypatch.setattr(execution, 'run', run)
  assert _extract(data_dir, tmp_path / 'F', looker, **_SMALL) == 1
  assert capsys.readouterr().err.splitlines()[-1] == (
      'error: no worker has begun for 1020 s.')
  assert asked == [
      (str(tmp_path / 'F'), 12, {'timeout_seconds': 900.0, 'dry_run': False})]
