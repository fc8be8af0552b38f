"""Tests of beam_pipelines.progress."""

import time

import pytest

from beam_pipelines import progress
from beam_pipelines import transforms


@pytest.mark.parametrize('seconds, text', [
    (0.4, '0s'), (59.6, '1m00s'), (125, '2m05s'), (11220, '3h07m')])
def test_duration(seconds, text):
  assert progress.duration(seconds) == text


def test_line_counts_this_run_only_for_its_rate():
  assert progress.line(60, 100, 10, 5.0) == '60/100 videos, 2.00 videos/s, 20s left'
  assert progress.line(50, 100, 0, 5.0) == '50/100 videos, 0.00 videos/s, ? left'


def test_done_adds_finished_and_running_shards(tmp_path, capsys):
  (tmp_path / '_tmp').mkdir()
  (tmp_path / 'train-00000-of-00002.json').write_text('{}')
  transforms.report_progress(str(tmp_path), 'train-00001-of-00002.tfrecord', 3)
  videos = {'train-00000-of-00002.tfrecord': 5, 'train-00001-of-00002.tfrecord': 6}
  with progress.Progress(str(tmp_path), videos, every_seconds=0.05) as shown:
    assert shown.done() == 8
    time.sleep(0.3)
  assert '8/11 videos' in capsys.readouterr().err
