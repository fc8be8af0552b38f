"""Real and broken clips through the command; skipped where they are not at hand."""

import csv
import json
import re
from pathlib import Path

from absl import flags
from absl.testing import flagsaver
import cv2
import numpy as np
import pytest

from beam_pipelines import prepare_videos
from beam_pipelines import sequence_example
from beam_pipelines import tfrecord
from tests import tiny_videos
from tfmm import schema
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
    records |= {v['media_id']: v['clips'] for v in content['videos']}
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


def _examples(out):
  """{media id: its records in order}."""
  examples = {}
  for path in sorted(Path(out).glob('*.tfrecord')):
    for record in tfrecord.read(path):
      example = sequence_example.SequenceExample.FromString(record)
      [name] = example.context.feature[schema.MEDIA_ID].bytes_list.value
      examples.setdefault(name.decode(), []).append(example)
  return examples


def _int(example, key):
  [value] = example.context.feature[key].int64_list.value
  return value


def _check_sound(name, row, clips):
  lists = [clip.feature_lists.feature_list for clip in clips]
  waveform = np.concatenate([
      features[schema.WAVEFORM_FLOATS].feature[0].float_list.value
      for features in lists])
  assert np.isfinite(waveform).all() and np.abs(waveform).max(initial=0) <= 1, name
  has_audio = any(_int(clip, schema.HAS_AUDIO) for clip in clips)
  assert has_audio == (row['audio'] != 'no'), name
  if row['audio'] == 'silent':
    assert np.abs(waveform).max(initial=0) < 1e-3, name
  elif row['audio'] == 'no':
    assert not waveform.any(), name
  elif name != 'opposite_phase.mov':  # left plus right is silence
    assert np.abs(waveform).max() > 0.01, name


def _check_picture(name, row, clips):
  height, width = (_int(clips[0], key) for key in (schema.IMAGE_HEIGHT,
                                                   schema.IMAGE_WIDTH))
  assert min(height, width) == 72 and height % 2 == width % 2 == 0, name
  if row['display_w']:
    aspect = int(row['display_w']) / int(row['display_h'])
    assert width / height == pytest.approx(np.clip(aspect, 1 / 4, 4), rel=0.03), name
  sizes = set()
  for clip in clips:
    lists = clip.feature_lists.feature_list
    for feature in lists[schema.IMAGE_ENCODED].feature[::10]:
      data = np.frombuffer(feature.bytes_list.value[0], np.uint8)
      sizes.add(cv2.imdecode(data, cv2.IMREAD_COLOR).shape)
  assert sizes == {(height, width, 3)}, name


def _check_reason(name, row, entry):
  said = f'{entry["reason"].replace("_", " ")} {entry["detail"]}'
  assert entry['reason'] in schema.REJECT_REASONS, name
  assert re.search(row['reason'] or '.', said, re.IGNORECASE), (name, said)


@_needs_nasty
@pytest.mark.parametrize('options', [
    {}, {'flow': 'dis_fast', 'frames': 'segments', 'log_mels': ['adamml', 'mbt']}])
def test_broken_clips_end_as_expected(tmp_path, options):
  expected = {row['file']: row for row in _table(_NASTY / 'EXPECTED.csv')}
  manifest = tiny_videos.write_manifest(
      tmp_path / 'm.csv', [(name, 'x', 'train') for name in expected])
  records, _ = _prepare(manifest, tmp_path / 'out', video_root=str(_NASTY), **options)
  rejected = {r['video_path']: r for r in _table(tmp_path / 'out' / 'rejected.csv')}
  examples = _examples(tmp_path / 'out')
  assert set(examples) == set(records)
  for name, row in expected.items():
    assert (name in records) != (name in rejected), name
    if row['expected'] != 'either':
      assert (name in records) == (row['expected'] == 'record'), name
    if name in rejected:
      _check_reason(name, row, rejected[name])
      continue
    clips = examples[name]
    _check_sound(name, row, clips)
    _check_picture(name, row, clips)
    if options:
      windows = [k for clip in clips for k in clip.context.feature[
          schema.SEGMENT_START].int64_list.value]
      assert len(windows) == 10, name
      continue
    decoded = _int(clips[-1], schema.STATS_DECODED_FRAMES)
    if row['min_frames']:
      assert int(row['min_frames']) <= decoded <= int(row['max_frames']), name
    if row['video_seconds']:
      seconds = sum(_int(clip, schema.CLIP_END) - _int(clip, schema.CLIP_START)
                    for clip in clips)
      assert seconds / 1e6 == pytest.approx(float(row['video_seconds']), abs=0.2), name
    if row['audio_seconds'] and row['video_seconds']:
      end = max(_int(c, schema.AUDIO_END) for c in clips) / 1e6
      least = min(float(row['audio_seconds']), float(row['video_seconds']))
      assert end >= least - 0.2, name
  truncated = {name for name, clips in examples.items()
               if _int(clips[-1], schema.STATS_TRUNCATED)}
  assert truncated <= {'cut_midgop_55.mp4', 'cut_70.mkv'} and (truncated or options)


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
