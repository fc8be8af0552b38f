"""Tests of tfmm.media.container: what opens, what does not, and damage."""

import os
import subprocess
import sys

import av
import numpy as np
import pytest

from tests import tiny_videos
from tfmm.media import MediaError
from tfmm.media import container


def _decode(path, **options):
  with container.MediaReader(path, **options) as reader:
    return list(reader.decode()), reader.counts


@pytest.mark.parametrize('content, reason', [
    (None, 'missing'), (b'', 'open'), (b'hello, not a film\n' * 50, 'open'),
    (bytes(5000), 'open')])
def test_files_that_do_not_open(tmp_path, content, reason):
  path = tmp_path / 'x.mp4'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(MediaError) as error:
    container.MediaReader(str(path))
  assert error.value.reason == reason
  assert '\n' not in str(error.value)


def test_what_is_no_local_file_is_told_apart(tmp_path):
  for path, says in ((str(tmp_path), 'is a directory; give a file'),
                     ('gs://bucket/a.mp4', 'gs://bucket/a.mp4 is remote')):
    with pytest.raises(MediaError, match=says) as error:
      container.MediaReader(path)
    assert error.value.reason == 'missing'


def test_sound_only_has_no_video(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', video=False)
  with pytest.raises(MediaError) as error:
    container.MediaReader(path)
  assert error.value.reason == 'no_video'
  assert _decode(path, picture=False)[0]


def test_still_picture_is_no_video(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mkv', seconds=.1, sound=False, codec='mjpeg')
  with av.open(path) as source:
    [packet] = [p for p in source.demux(video=0) if p.size]
    data = bytes(packet)
  (tmp_path / 'photo.mp4').write_bytes(data)
  with pytest.raises(MediaError) as error:
    container.MediaReader(str(tmp_path / 'photo.mp4'))
  assert error.value.reason == 'no_video'


def test_counts_of_a_whole_file(tmp_path):
  frames, counts = _decode(tiny_videos.make(tmp_path / 'a.mp4'))
  assert counts.decoded_frames == counts.packets == 10
  assert (counts.bad_packets, counts.corrupt_frames, counts.truncated) == (0, 0, 0)
  times = [t for f, t in frames if isinstance(f, av.VideoFrame)]
  np.testing.assert_allclose(times, np.arange(10) / 10, atol=1e-9)


def test_times_count_from_the_start_of_the_container(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.ts')  # a transport stream begins at 1.4 s
  times = [t for f, t in _decode(path)[0] if isinstance(f, av.VideoFrame)]
  assert 0 <= times[0] < 0.1
  np.testing.assert_allclose(np.diff(times), 0.1, atol=1e-4)


def test_truncated_file_is_flagged_and_kept(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mkv', seconds=3)
  data = open(path, 'rb').read()
  (tmp_path / 'cut.mkv').write_bytes(data[:len(data) // 2])
  frames, counts = _decode(str(tmp_path / 'cut.mkv'))
  assert counts.truncated == 1
  assert 3 < sum(isinstance(f, av.VideoFrame) for f, _ in frames) < 27


def _damage(path, out, share):
  """Overwrites that share of the picture packets, but for the first one."""
  with av.open(path) as source:
    spans = [(p.pos, p.size) for p in source.demux(video=0) if p.size and p.pos]
  data = bytearray(open(path, 'rb').read())
  for position, size in spans[1:1 + int(share * (len(spans) - 1))]:
    data[position:position + size] = b'\xff' * size
  out.write_bytes(data)
  return str(out)


def test_damaged_packets_do_not_end_the_clip(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=3, sound=False)
  frames, counts = _decode(_damage(path, tmp_path / 'b.mp4', 0.2))
  assert counts.bad_packets == 5
  assert len(frames) >= 20


def test_nearly_nothing_but_damage_is_corrupt(tmp_path):
  path = tiny_videos.make(tmp_path / 'a.mp4', seconds=3, sound=False)
  with pytest.raises(MediaError) as error:
    _decode(_damage(path, tmp_path / 'b.mp4', 1.0))
  assert error.value.reason == 'corrupt'


def test_awkward_names_open(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('-dash first.mp4', 'asl:again %20 "q".mp4', 'ünï 视频.mp4'):
    os.replace(tiny_videos.make(tmp_path / 'a.mp4', seconds=.3), name)
    assert _decode(name)[1].decoded_frames == 3


def test_imports_no_tensorflow():
  code = ('import sys; from tfmm.media import audio, clips, container, video; '
          'print("tensorflow" in sys.modules)')
  out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       check=True).stdout
  assert out.strip() == 'False'
