"""Tests of tools/inspect_shards.py on shards that are written here, value by value."""

import base64
import hashlib
import html.parser
import json
import re
import subprocess
import sys

import cv2
import inspect_shards
import numpy as np
import pytest
import record_pictures
import shard_records

from beam_pipelines import sequence_example
from beam_pipelines import tfrecord
from tests import tiny_videos
from tfmm import schema
from tfmm.media import flow as flow_lib
from tfmm.media import video

RATE = 8000  # hertz
FPS = 10.0
FRAMES = 12


def _wave():
  """A second of a tone of amplitude 0.5, silent in its last quarter."""
  wave = np.zeros(round(RATE * FRAMES / FPS), np.float32)
  wave[:RATE] = tiny_videos.tone(0, RATE, RATE, 440.0)
  return wave


def _record(media_id, *, windows=(), flow=False, pcm=False, sound=True, clip=0):
  """A SequenceExample of grey frames whose levels are `tiny_videos.level`."""
  example = sequence_example.SequenceExample()
  start = clip * 2_000_000
  wave = _wave() if sound else np.zeros(9600, np.float32)
  context = {
      schema.EXAMPLE_ID: (f'{media_id}#{clip}'.encode(),),
      schema.MEDIA_ID: (media_id.encode(),),
      schema.CLIP_START: (start,), schema.CLIP_END: (start + 1_200_000,),
      schema.LABEL_INDEX: (1,), schema.LABEL_TEXT: ('<b>éclair</b>'.encode(),),
      schema.IMAGE_FRAME_RATE: (FPS,), schema.WAVEFORM_SAMPLE_RATE: (RATE,),
      schema.HAS_AUDIO: (int(sound),),
      schema.AUDIO_START: (start,), schema.AUDIO_END: (start + 1_000_000 * sound,),
      schema.STATS_DECODED_FRAMES: (12,), schema.STATS_CORRUPT_FRAMES: (3,),
      schema.STATS_TRUNCATED: (1,)}
  if windows:
    context[schema.SEGMENT_START], context[schema.SEGMENT_END] = zip(*windows)
  frames = [video.encode_jpeg(tiny_videos.picture(k, 64, 48)) for k in range(FRAMES)]
  sequence_example.set_list(example, schema.IMAGE_ENCODED, [(f,) for f in frames])
  if pcm:
    data = np.rint(wave * schema.PCM16_SCALE).astype('<i2').tobytes()
    sequence_example.set_list(example, schema.WAVEFORM_BYTES, [(data,)])
  else:
    sequence_example.set_floats(example, schema.WAVEFORM_FLOATS, wave)
  if flow:
    field = np.full((48, 64, 2), (6.0, 0.0), np.float32)
    sequence_example.set_list(
        example, schema.FLOW_ENCODED, [(flow_lib.encode(field),)] * FRAMES)
    context[schema.FLOW_ALGORITHM] = (b'dis_fast OpenCV 4.11.0',)
    for value in (1.0, 2.0):
      sequence_example.set_floats(
          example, schema.LOG_MEL_KEYS['yamnet'], np.full(96 * 64, value))
  for key, values in context.items():
    sequence_example.set_context(example, key, *values)
  return sequence_example.serialize(example)


def _features(media_id):
  """A record as extract_features writes it; its keys are not of the schema."""
  example = sequence_example.SequenceExample()
  sequence_example.set_context(example, schema.MEDIA_ID, media_id.encode())
  example.context.feature['tfmm/present/rgb'].int64_list.value.extend([1, 0, 1])
  for row in np.eye(3, 512, dtype=np.float32):
    sequence_example.set_floats(example, 'RGB/feature/floats', row)
  return sequence_example.serialize(example)


def _write(folder, shards, **info):
  """Shards {name: records} with all that stands beside them; returns the path."""
  folder.mkdir()
  splits = {split: {'num_videos': 0, 'num_clips': 0, 'seconds': 0, 'shards': []}
            for split in schema.SPLITS}
  for name, records in shards.items():
    data = b''.join(map(tfrecord.frame, records))
    (folder / name).write_bytes(data)
    ids = [shard_records.Record(r, '', name, 0).media_id for r in records]
    (folder / schema.sidecar_name(name)).write_text(json.dumps({
        'file': name, 'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest(),
        'num_videos': len(set(ids)), 'num_clips': len(records),
        'videos': [{'media_id': media_id} for media_id in dict.fromkeys(ids)]}))
    entry = splits[name.partition('-')[0]]
    entry['num_videos'] += len(set(ids))
    entry['num_clips'] += len(records)
    entry['seconds'] += 1.2 * len(records)
    entry['shards'].append({'file': name, 'num_videos': len(set(ids))})
  (folder / schema.DATASET_INFO).write_text(json.dumps({
      'labels': ['cup', '<b>éclair</b>'], 'splits': splits,
      'options': {'frame_rate': FPS, 'flow': '', 'frames': 'segments'}, **info}))
  (folder / schema.REJECTED).write_text(
      ','.join(schema.REJECTED_COLUMNS) + '\nbad.mp4,cup,train,open,no film\n')
  (folder / schema.COMPLETED).write_text('{}')
  return str(folder)


@pytest.fixture(name='data')
def _data(tmp_path):
  return _write(tmp_path / 'data', {
      'train-00000-of-00002.tfrecord': [
          _record('a.mp4', windows=((0, 3), (4, 8)), flow=True),
          _record('a.mp4', windows=((2, 5),), flow=True, clip=1)],
      'train-00001-of-00002.tfrecord': [_record('b.mp4', pcm=True)],
      'test-00000-of-00001.tfrecord': [_record('c.mp4', sound=False)]})


class _Flags:
  split = media_id = html = None
  limit, verify = 5, False


def _run(capsys, data, **flags):
  values = _Flags()
  for name, value in flags.items():
    setattr(values, name, value)
  code = inspect_shards.inspect(data, values)
  return code, capsys.readouterr().out


def _fields(text, name):
  """{what: text} of the record of that name."""
  block = next(b for b in text.split('\n\n') if b.startswith(name))
  return dict(re.split(r'  +', line.strip(), maxsplit=1)
              for line in block.splitlines()[1:])


def test_data_set_in_a_few_lines(capsys, data):
  code, out = _run(capsys, data, limit=0)
  lines = dict(re.split(r'  +', line, maxsplit=1) for line in out.splitlines())
  assert code == 0 and len(lines) == 6
  assert lines['options'] == 'frame_rate 10, frames segments'
  assert lines['classes'] == '2: cup, <b>éclair</b>'
  assert lines['train'].startswith('2 videos, 3 clips, 0.1 min, ')
  assert 'MB in 2 shards' in lines['train'] and 'in 1 shard,' in lines['test']
  assert lines['rejected'] == '1: 1 open'


def test_record_is_described_by_what_is_in_it(capsys, data):
  _, out = _run(capsys, data)
  assert out.count('record  ') == 3  # of train alone
  fields = _fields(out, 'a.mp4#1')
  assert fields['label'] == '<b>éclair</b>'
  assert fields['span'] == '2.00 to 3.20 s of a.mp4'
  assert fields['frames'].startswith('12 of 64 x 48, 10 a second, JPEG 0.0')
  assert fields['windows'] == '1: frames 2-5'
  assert fields['flow'].startswith('dis_fast OpenCV 4.11.0, 12 fields, JPEG ')
  # 6 pixels are level 165.75 of 255, stored as 166: 6.04 pixels; JPEG adds a little.
  motion = float(re.search(r'motion of ([\d.]+) pixels', fields['flow'])[1])
  assert motion == pytest.approx(6.0, abs=0.2)
  assert fields['sound'] == (
      '8000 Hz, 9600 samples (1.20 s), float, peak 0.500 (-6.0 dB), rms 0.3227 '
      '(-9.8 dB); has_audio 1, real from 2.00 to 3.00 s')
  assert fields['log-mel yamnet'] == '2 patches of 96 x 64, 1.00 to 2.00, mean 1.50'
  assert fields['decoding'].startswith('12 decoded, 3 damaged frames, cut short')
  assert 'pcm16, peak 0.500' in _fields(out, 'b.mp4#0')['sound']
  _, out = _run(capsys, data, split='test')
  assert _fields(out, 'c.mp4#0')['sound'].endswith(
      'all zeros; has_audio 0: there is no sound in this span')


def test_limit_and_media_id_choose_records(capsys, data):
  _, out = _run(capsys, data, limit=1)
  assert 'a.mp4#0' in out and 'a.mp4#1' not in out
  _, out = _run(capsys, data, media_id='c.mp4')
  assert 'c.mp4#0' in out and 'a.mp4' not in out
  for media_id, says in (('bad.mp4', 'it was rejected: open'), ('gone', "'gone'$")):
    with pytest.raises(ValueError, match=f'has no video .*{says}'):
      _run(capsys, data, media_id=media_id)


def test_features_are_listed_with_their_shapes(capsys, tmp_path):
  data = _write(tmp_path / 'features',
                {'test-00000-of-00001.tfrecord': [_features('a.mp4')]})
  page = tmp_path / 'page.html'
  _, out = _run(capsys, data, html=str(page))
  fields = _fields(out, 'a.mp4')
  assert fields['RGB/feature/floats'] == 'float [3, 512]'
  assert fields['tfmm/present/rgb'] == 'int64 [3]'
  assert 'RGB/feature/floats' in page.read_text()


class _Page(html.parser.HTMLParser):
  """Counts elements; checks that all that is open is closed."""

  def __init__(self):
    super().__init__()
    self.open, self.seen, self.addresses = [], {}, []

  def handle_starttag(self, tag, attrs):
    self.seen[tag] = self.seen.get(tag, 0) + 1
    self.addresses += [v for k, v in attrs if k in ('src', 'href')]
    if tag not in ('meta', 'img', 'br'):
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.seen[tag] = self.seen.get(tag, 0) + 1

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def _picture(uri):
  data = base64.b64decode(uri.partition(',')[2])
  return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_page_holds_all_that_it_shows(capsys, data, tmp_path):
  path = tmp_path / 'page.html'
  _run(capsys, data, html=str(path))
  text = path.read_text(encoding='utf-8')
  page = _Page()
  page.feed(text)
  assert not page.open
  assert page.seen['section'] == 3
  assert all(a.startswith('data:image/') for a in page.addresses)
  assert not re.search(r'https?://|<script|url\(', text)
  assert '<b>' not in text and '&lt;b&gt;éclair&lt;/b&gt;' in text
  assert 'prefers-color-scheme: dark' in text
  # 11 of 12 frames of 4 : 3, each with its time, and flow in two of three records.
  assert page.seen['figcaption'] == 33 and page.seen['figure'] == 55
  assert text.count('class="wave"') == 3 and text.count('class="spectrum"') == 3
  assert 'left:33.333%;width:41.667%' in text  # frames 4 to 8 of 12
  # Sound is filled in from 1.0 to 1.2 s.
  assert text.count('class="silent" x="750.00" y="0" width="150.00"') == 3
  pictures = [_picture(address) for address in page.addresses]
  assert all(p is not None for p in pictures)
  first = pictures[0].astype(int)  # frame 0: dark on the left
  assert abs(first[24, 48].mean() - tiny_videos.level(0)) < 3
  assert abs(first[24, 16].mean() - tiny_videos.level(0) + 20) < 3


def test_pictures_of_flow_and_sound_say_what_is_there():
  def colour(u, v):
    field = np.full((4, 4, 2), (u, v), np.float32)
    return record_pictures.flow_colours(field, 8.0)[0, 0].tolist()
  assert colour(0, 0) == [255, 255, 255]
  assert colour(8, 0) == colour(80, 0) == [255, 0, 0]
  assert colour(4, 0) == [255, 128, 128]
  assert colour(-8, 0) == [0, 255, 255]

  uri = record_pictures.spectrum(tiny_videos.tone(0, 4 * RATE, RATE, 1000.0), RATE)
  loudest = _picture(uri).sum(-1).argmax(0)[20:-20]  # row of each column
  # On the mel scale 1000 Hz lies at log(1 + 1000/700) of log(1 + 4000/700).
  place = np.log1p(1000 / 700) / np.log1p(4000 / 700)
  assert np.abs(loudest - 127 * (1 - place)).max() <= 3


def test_verify(capsys, data):
  code, out = _run(capsys, data, verify=True)
  assert code == 0
  assert out.splitlines()[-1] == (
      '3 shards, 4 records: sizes, checksums and CRCs are right')


def test_verify_with_html_is_refused(capsys, data, tmp_path):
  page = tmp_path / 'page.html'
  with pytest.raises(ValueError, match=f'--verify .*--html={page}'):
    _run(capsys, data, verify=True, html=str(page))
  assert capsys.readouterr().out == '' and not page.exists()


@pytest.mark.parametrize('harm, says', [
    (lambda p, s: p.unlink(), 'it is missing'),
    (lambda p, s: p.write_bytes(p.read_bytes()[:-9]), r'it has \d+ bytes and not \d+'),
    (lambda p, s: _flip(p), 'is not what was written'),
    (lambda p, s: s.unlink(), 'there is no train-00001-of-00002.json beside it'),
    (lambda p, s: _rewrite(s, num_clips=2), 'it has 1 records and not 2'),
    (lambda p, s: _flip_and_sign(p, s), 'record 0: it is cut or damaged'),
])
def test_verify_names_what_is_wrong(capsys, data, tmp_path, harm, says):
  shard = tmp_path / 'data' / 'train-00001-of-00002.tfrecord'
  harm(shard, shard.with_suffix('.json'))
  code, out = _run(capsys, data, verify=True)
  assert code == 1
  wrong, last = out.splitlines()[-2:]
  assert wrong.startswith(f'{shard.name}: ') and re.search(says, wrong)
  assert last.startswith('1 of 3 shards are wrong')


def _flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def _rewrite(sidecar, **changes):
  sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))


def _flip_and_sign(path, sidecar):
  _flip(path)
  _rewrite(sidecar, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize('path, values, says', [
    ('/none', {}, 'has no dataset_info.json'),
    ('gs://some-bucket/data', {}, 'is remote; copy it'),
    (None, {'split': 'validation'}, "no videos in split 'validation'; .*: train, test"),
    (None, {'limit': -1}, '--limit=-1 must be'),
    (None, {'html': '/none/page.html'}, 'No such file'),
])
def test_mistakes_are_told(capsys, data, path, values, says):
  with pytest.raises((ValueError, OSError), match=says):
    _run(capsys, path or data, **values)


@pytest.mark.parametrize('harm, says', [
    ('{', 'dataset_info.json is damaged'), ('{}', 'has no splits')])
def test_damaged_info_is_told(capsys, data, tmp_path, harm, says):
  (tmp_path / 'data' / schema.DATASET_INFO).write_text(harm)
  with pytest.raises(ValueError, match=says):
    _run(capsys, data)


def test_command_says_mistakes_in_one_line_and_needs_no_tensorflow(data):
  def run(*arguments):
    return subprocess.run([sys.executable, '-X', 'importtime', inspect_shards.__file__,
                           *arguments], capture_output=True, text=True, check=False)
  done = run(data, '--limit=1')
  assert done.returncode == 0 and 'a.mp4#0' in done.stdout
  assert 'shard_records' in done.stderr and 'tensorflow' not in done.stderr
  for arguments, says in (([], '0 directories given; usage'),
                          ([data, '--splt=train'], 'Did you mean: split')):
    done = run(*arguments)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert line.startswith('inspect_shards: ') and says in line
