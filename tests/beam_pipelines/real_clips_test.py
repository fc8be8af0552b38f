"""Real and broken clips through the command; skipped where they are not at hand."""

import csv
import json
from pathlib import Path

from absl import flags
from absl.testing import flagsaver
import cv2
import numpy as np
import pytest

from beam_pipelines import prepare_videos
from tests import tiny_videos
from tfmm.media import video

_SHARED = Path(__file__).resolve().parents[3] / 'shared'
_MEDIA, _NASTY = _SHARED / 'media', _SHARED / 'nasty'
_needs_media = pytest.mark.skipif(not _MEDIA.is_dir(), reason='no shared clips')
_needs_nasty = pytest.mark.skipif(not _NASTY.is_dir(), reason='no broken clips')


def _table(path):
  with open(path, encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def _prepare(manifest, out, **options):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(manifest=str(manifest), output_dir=str(out), frame_rate=10.0,
                           short_side=72, sample_rate=8000, **options):
    assert prepare_videos.main(['prepare_videos']) == 0
  records = {}
  for sidecar in Path(out).glob('*-of-*.json'):
    content = json.loads(sidecar.read_text())
    records |= dict(zip(content['media_ids'], content['clips_per_video']))
  return records, {r['video_path']: r['reason'] for r in _table(out / 'rejected.csv')}


@_needs_media
def test_every_labelled_clip_becomes_a_record(tmp_path):
  records, rejected = _prepare(_MEDIA / 'labels.csv', tmp_path / 'out')
  names = [row['video_path'] for row in _table(_MEDIA / 'labels.csv')]
  assert sorted(records) == sorted(names) and not rejected
  info = json.loads((tmp_path / 'out' / 'dataset_info.json').read_text())
  assert info['labels'] == sorted({r['label'] for r in _table(_MEDIA / 'labels.csv')})


@_needs_media
def test_every_other_clip_gives_a_record_or_a_reason(tmp_path):
  labelled = {row['video_path'] for row in _table(_MEDIA / 'labels.csv')}
  names = [row['file'] for row in _table(_MEDIA / 'MANIFEST.csv')
           if row['file'] not in labelled]
  manifest = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [(name, 'x', 'test') for name in names])
  records, rejected = _prepare(manifest, tmp_path / 'out', video_root=str(_MEDIA))
  assert rejected == {'music_audio_only.mp4': 'no_video'}
  assert sorted([*records, *rejected]) == sorted(names)


@_needs_nasty
def test_broken_clips_are_kept_or_rejected_as_expected(tmp_path):
  expected = {row['file']: row for row in _table(_NASTY / 'EXPECTED.csv')}
  manifest = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [(name, 'x', 'train') for name in expected])
  records, rejected = _prepare(manifest, tmp_path / 'out', video_root=str(_NASTY))
  for name, row in expected.items():
    assert (name in records) != (name in rejected), name
    if row['expected'] != 'either':
      assert (name in records) == (row['expected'] == 'record'), name
  assert rejected['does_not_exist.mp4'] == 'missing'
  assert rejected['encrypted.mp4'] == 'corrupt'
  assert rejected['song_with_cover.mp3'] == 'no_video'
  assert records['two_hours.mp4'] == 120


@_needs_nasty
@pytest.mark.parametrize('name', [
    'rotate_90.mp4', 'rotate_270.mp4', 'odd_size.mp4', 'edit_list.mp4', 'hevc10.mkv',
    'gray.mp4', 'anim.gif', 'start_3600.ts', 'mjpeg_pcm.avi'])
def test_first_frame_is_the_reference_picture(name):
  want = cv2.imread(str(_NASTY / 'first_frames' / f'{name}.png'))[..., ::-1]
  _, got = next(video.iterate_frames(str(_NASTY / name), 30, None))
  upright = name in ('rotate_90.mp4', 'rotate_270.mp4')
  assert (got.shape[0] > got.shape[1]) == upright
  # All references are squeezed to one small square.
  small = cv2.resize(got, want.shape[1::-1], interpolation=cv2.INTER_AREA)
  difference = small.astype(float) - want
  assert np.abs(difference).mean() < 8 and np.abs(difference.mean((0, 1))).max() < 2
