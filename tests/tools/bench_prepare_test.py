"""Tests of tools/bench_prepare.py at sizes that say nothing about time."""

import os
import stat
import sys

import av
import bench_clips
import bench_command
import bench_prepare
import bench_rgb_sound
import cpu_time
import pytest

from tfmm.media import clips

# Stands in for ffmpeg: as many bytes as 60 000 over the quantizer, as two frames.
_FFMPEG = '''#!{python}
import sys
quantizer = int(sys.argv[sys.argv.index('-q:v') + 1])
frames = next(a for a in sys.argv if a.endswith('.jpg'))
for k in (1, 2):
  open(frames % k, 'wb').write(bytes(30000 // quantizer))
assert sys.argv[-1].endswith('.wav') and '-threads' in sys.argv
'''


@pytest.fixture(name='ffmpeg')
def _ffmpeg(tmp_path):
  path = tmp_path / 'ffmpeg'
  path.write_text(_FFMPEG.format(python=sys.executable))
  path.chmod(path.stat().st_mode | stat.S_IXUSR)
  return str(path)


def _small(monkeypatch):
  """Clips of a quarter of a second."""
  make = bench_clips.make_clip
  monkeypatch.setattr(bench_clips, 'make_clip', lambda path, seed, **unused: make(
      path, seed, seconds=0.25, width=64, height=48))


def test_looped_clip_is_as_long_as_it_says_and_whole(tmp_path):
  short = bench_clips.make_clip(str(tmp_path / 'a.mp4'), 3, seconds=1, width=64,
                                height=48)
  long = bench_clips.loop(short, str(tmp_path / 'b.mp4'), 4.0)
  got = list(clips.stream_clips(long, frame_rate=30, short_side=48, sample_rate=8000))
  frames = sum(len(clip.frames) for clip in got)
  assert 120 <= frames <= 160
  counts = got[-1].counts
  assert counts.decoded_frames in (120, 150)  # whole rounds of 30
  assert (counts.bad_packets, counts.corrupt_frames, counts.truncated) == (0, 0, 0)
  assert all(clip.has_audio for clip in got)
  with av.open(long) as container:
    assert container.duration / 1e6 >= 4.0


def test_quantizer_gives_the_nearest_size():
  run = {1: 9.0, 2: 6.0, 3: 4.5, 4: 1.0}.__getitem__
  assert bench_rgb_sound.choose_quantizer(run, 5.0) == (3, 4.5)
  assert bench_rgb_sound.choose_quantizer(run, 5.9) == (2, 6.0)
  assert bench_rgb_sound.choose_quantizer(run, 99.0) == (1, 9.0)


def test_cpu_time_counts_children_and_medians_alternate():
  def burn():
    bench_command.subprocess.run(
        [sys.executable, '-c', 'sum(range(5_000_000))'], check=True)
  assert cpu_time.of(burn) > 0.02
  order, values = [], iter([1, 10, 3, 30, 2, 20])
  got = cpu_time.medians({'a': lambda: order.append('a') or next(values),
                          'b': lambda: order.append('b') or next(values)}, 3)
  assert got == {'a': 2, 'b': 20} and ''.join(order) == 'ababab'


def test_parts_a_and_b_print_their_figures(capsys, monkeypatch, ffmpeg):
  _small(monkeypatch)
  # The exit code says nothing at this size.
  bench_prepare.main(['--parts=a,b', '--num_clips=2', '--repeats=1',
                      f'--ffmpeg={ffmpeg}'])
  out = capsys.readouterr().out
  for says in ('-q:v', 'video-seconds per core-second', 'encode ', 'pipe, Python',
               'the algorithm, called directly', 'quantizing to uint8'):
    assert says in out
  assert out.count(', goal at ') == 2


def test_parts_c_and_d_compare_what_commands_took(capsys, monkeypatch):
  _small(monkeypatch)
  monkeypatch.setattr(bench_clips, 'loop', lambda source, path, seconds: source)
  asked = []

  def prepare(manifest, unused_folder, *arguments):
    asked.append((os.path.basename(manifest), arguments))
    if os.path.basename(manifest) == 'little.csv':
      return bench_command.Ran(4.0, 3.0, 0.1, 0.1)
    seconds = 34.0 if arguments == ('--direct_num_workers=1',) else 19.0
    return bench_command.Ran(seconds, 30.0, 0.2, 0.5 * len(arguments))

  monkeypatch.setattr(bench_command, 'prepare', prepare)
  arguments = ['--num_clips=2', '--copies=3', '--repeats=1', '--hours=0.001']
  assert bench_prepare.main(['--parts=c', *arguments]) == 1
  out = capsys.readouterr().out
  assert ('6 videos: one worker 34.0 s (30.0 CPU s, 0.88 cores), '
          'two workers 19.0 s') in out
  assert '21% of the time' in out and 'without it they are 2.00 times' in out
  assert 'speed of two workers over one: 1.79, goal at least 1.8: MISSED' in out
  assert bench_prepare.main(['--parts=d', *arguments]) == 0
  assert ('peak memory of a worker, GiB: 1.00, goal at most 1.0: met'
          in capsys.readouterr().out)
  assert ('long.csv', ('--short_side=112', '--frames=segments')) in asked


def test_command_is_measured_with_its_children(tmp_path):
  video = bench_clips.make_clip(str(tmp_path / 'a.mp4'), 0, seconds=0.5, width=64,
                                height=48)
  ran = bench_command.prepare(
      bench_command.write_manifest(str(tmp_path / 'm.csv'), [video]), str(tmp_path))
  assert 0 < ran.cpu_seconds and 0 < ran.seconds < 120
  assert 0.02 < ran.worker_gib < ran.main_gib < 2
  assert sorted(os.listdir(tmp_path)) == ['a.mp4', 'm.csv']


@pytest.mark.parametrize('arguments, says', [
    (['--parts=a,x'], "--parts has 'x'"), (['--repeats=0'], '--repeats=0'),
    (['--parts=a', '--clips={empty}'], 'has no files'),
    (['--parts=a', '--clips=/none'], 'No such file'),
    (['--parts=a', '--clips={text}', '--ffmpeg={ffmpeg}'], 'cannot be used')])
def test_mistakes_are_one_line(tmp_path, ffmpeg, arguments, says):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'text').mkdir()
  (tmp_path / 'text' / 'a.mp4').write_text('no film')
  names = {'empty': tmp_path / 'empty', 'text': tmp_path / 'text', 'ffmpeg': ffmpeg}
  with pytest.raises(SystemExit) as error:
    bench_prepare.main([a.format(**names) for a in arguments])
  assert str(error.value).startswith('bench_prepare: ') and says in str(error.value)


def test_ffmpeg_that_is_missing_is_told(monkeypatch):
  monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', None)
  with pytest.raises(ValueError, match='pip install imageio-ffmpeg, or give --ffmpeg'):
    bench_rgb_sound.find_ffmpeg(None)


def test_failing_command_is_told(tmp_path):
  with pytest.raises(OSError, match='none.csv does not exist'):
    bench_command.prepare('/none.csv', str(tmp_path))
  assert not os.listdir(tmp_path)
