"""Tests of beam_pipelines.feature_files: what stands beside shards of features."""

import json
import shutil

import pytest

from tests.beam_pipelines import tiny_encoders
from tests.beam_pipelines import tiny_extraction
from tfmm import directory_lock
from tfmm.data import dataset
from tfmm.data import features

_extract = tiny_extraction.extract
_bytes = tiny_extraction.contents
_SMALL = tiny_encoders.SMALL


def test_what_stands_beside_the_shards(data_dir, looker, tmp_path, capsys):
  out = tmp_path / 'F'
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  err = capsys.readouterr().err
  assert '12 videos in 5 shards' in err and '48 steps of 12 videos in ' in err
  assert err.splitlines()[-1] == f'done: {out}'
  source = dataset.load_info(data_dir)
  info = features.load_info(str(out))
  assert info.labels == source.labels and set(info.splits) == set(source.splits)
  for split, entry in source.splits.items():
    assert info.splits[split]['num_videos'] == entry['num_videos']
    assert [s['file'] for s in info.splits[split]['shards']] == [
        s['file'] for s in entry['shards']]
  content = json.loads((out / 'dataset_info.json').read_text())
  assert content['views'] == {'rgb': {
      'key': 'RGB/feature/floats', 'dtype': 'float32', 'shape': [4, 5]}}
  assert content['options']['encoder']['path'] == looker
  assert len(content['options']['encoder']['sha256']) == 64
  assert content['options']['view']['class'] == 'RgbFrames'
  assert content['options']['data']['frame_rate'] == 10
  assert (out / 'COMPLETED').exists() and not (out / '_tmp').exists()
  with pytest.raises(ValueError, match="frames='features'"):
    dataset.make_dataset(
        dataset.DatasetSpec(views=(dataset.RgbFrames(),), modalities=('rgb',)),
        str(out), 'train', batch_size=1, training=False)


def test_finished_shards_are_kept(data_dir, looker, tmp_path, capsys):
  out = tmp_path / 'F'
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  before = _bytes(out)
  capsys.readouterr()
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  assert 'nothing to do' in capsys.readouterr().err
  # The encoder may move.
  moved = shutil.copytree(looker, tmp_path / 'moved')
  assert _extract(data_dir, out, moved, **_SMALL) == 0
  assert 'nothing to do' in capsys.readouterr().err

  first, second, *_ = sorted(out.glob('*.tfrecord'))
  untouched = second.stat().st_mtime_ns
  for harm in (first.unlink, lambda: first.write_bytes(before[first.name][:100]),
               (out / 'COMPLETED').unlink):
    harm()
    assert _extract(data_dir, out, looker, **_SMALL) == 0
    assert _bytes(out) == before and second.stat().st_mtime_ns == untouched


def test_other_options_are_refused_with_the_difference(
    data_dir, looker, tmp_path, capsys):
  out = tmp_path / 'F'
  assert _extract(data_dir, out, looker, **_SMALL) == 0
  before = _bytes(out, '*')
  other = tiny_encoders.looker(tmp_path / 'other', seed=1, signature=False)
  for says, encoder, options in (
      ('steps: 4 -> 5', looker, {'steps': 5}),
      ('every_seconds: None -> 1.0; steps: 4 -> None', looker,
       {'steps': None, 'every_seconds': 1.0}),
      ('view.short_side: 24 -> 32', looker, {'short_side': 32}),
      ('pixels: 0..1 -> 0..255', looker, {'pixels': '0..255'}),
      ('name: RGB -> TEACHER', looker, {'name': 'TEACHER'}),
      ('segment_frames: 1 -> 4', looker, {'segment_frames': 4}),
      ('encoder.sha256: ', other, {})):
    capsys.readouterr()
    assert _extract(data_dir, out, encoder, **{**_SMALL, **options}) == 1
    err = capsys.readouterr().err
    assert says in err and 'Give another --output_dir' in err
    assert len(err.splitlines()) == 1
  capsys.readouterr()
  assert _extract(data_dir, out, looker, batch_size=2, **_SMALL) == 0
  assert 'nothing to do' in capsys.readouterr().err
  with directory_lock.hold(str(out), '--output_dir'):
    (out / 'COMPLETED').rename(tmp_path / 'COMPLETED')
    assert _extract(data_dir, out, looker, **_SMALL) == 1
    assert 'is in use by another process' in capsys.readouterr().err
    (tmp_path / 'COMPLETED').rename(out / 'COMPLETED')
  assert _bytes(out, '*') == before
