"""The child process that decodes: `python -m beam_pipelines.worker`.

A decoder can hang or crash on a bad file, and a thread can be neither stopped nor
survived; a process can. `guard.Child` starts this one, sends a line of JSON for each
video, and reads answers: a line of JSON, and for `clip` as many bytes as it says.
"""

import json
import os
import sys
import threading
import time

import cv2

from beam_pipelines import config as config_lib
from beam_pipelines import sequence_example
from beam_pipelines import storage
from tfmm.media import MediaError
from tfmm.media import clips
from tfmm.media import flow as flow_lib
from tfmm.media import video

_ALIVE_SECONDS = 1.0  # between two signs of life within one clip


class _Answers:
  """What goes back to the parent."""

  def __init__(self, out):
    self._out = out
    self._last = 0.0

  def send(self, payload: bytes = b'', **fields):
    line = json.dumps({**fields, 'bytes': len(payload)})
    self._out.write(line.encode() + b'\n' + payload)
    self._out.flush()
    self._last = time.monotonic()

  def alive(self):
    """Says that work goes on; a minute of TV-L1 takes half an hour."""
    if time.monotonic() - self._last > _ALIVE_SECONDS:
      self.send(kind='alive')


def records(request, alive=lambda: None):
  """Yields `(record bytes, summary)` for each clip of one request.

  Args:
    request: `path`, `media_id`, `labels`, `label_indices`, `config`; and, if they are
      not those of a whole file, `data_path`, `start_s`, `end_s`.
    alive: Called now and then while a clip is made.
  """
  config = config_lib.PrepareConfig(**request['config'])
  flow = flow_lib.Flow(config.flow) if config.flow else None

  def motion(first, second):
    alive()
    return flow.jpeg(first, second)

  def encode(rgb):
    alive()
    return video.encode_jpeg(rgb, config.jpeg_quality)

  keep = None
  if config.frames == 'segments':
    keep = clips.Windows(count=config.num_segments, frames=config.segment_frames,
                         margin_seconds=config.segment_margin_seconds)
  record_seconds = 0.0
  with storage.local_copy(request['path']) as path:
    for clip in clips.stream_clips(
        path,
        frame_rate=config.frame_rate,
        short_side=config.short_side,
        sample_rate=config.sample_rate,
        clip_seconds=config.max_clip_seconds,
        max_seconds=config.max_video_seconds,
        start_s=request.get('start_s'),
        end_s=request.get('end_s'),
        keep=keep,
        flow=motion if flow else None,
        encode=encode):
      begin = time.thread_time()
      record = sequence_example.from_clip(
          clip,
          media_id=request['media_id'],
          data_path=request.get('data_path'),
          labels=request['labels'],
          label_indices=request['label_indices'],
          frame_rate=config.frame_rate,
          sample_rate=config.sample_rate,
          waveform=config.waveform,
          flow_algorithm=flow.name if flow else '',
          log_mels=config.log_mels)
      record_seconds += time.thread_time() - begin
      yield record, {
          'frames': len(clip.frames),
          'height': clip.height,
          'width': clip.width,
          'seconds': clip.end_s - clip.start_s,
          'has_audio': int(clip.has_audio),
          'corrupt_frames': clip.counts.corrupt_frames,
          'bad_packets': clip.counts.bad_packets,
          'truncated': clip.counts.truncated,
          'stage_seconds': {**clip.stage_seconds, 'record': record_seconds},
      }


def _serve(requests, answers):
  answers.send(kind='ready')
  for line in requests:
    request = json.loads(line)
    try:
      for record, summary in records(request, answers.alive):
        answers.send(record, kind='clip', **summary)
    except MediaError as error:
      answers.send(kind='rejected', reason=error.reason, detail=error.detail)
    except FileNotFoundError as error:  # a remote file
      answers.send(kind='rejected', reason='missing', detail=f'no such file: {error}')
    else:
      answers.send(kind='done')


def _leave_with_parent():
  parent = os.getppid()
  while os.getppid() == parent:
    time.sleep(1.0)
  os._exit(1)


def main():
  """Serves until standard input ends."""
  # Answers get a descriptor of their own, so that no library can print into them.
  out = os.fdopen(os.dup(1), 'wb')
  os.dup2(2, 1)
  cv2.setNumThreads(1)
  threading.Thread(target=_leave_with_parent, daemon=True).start()
  _serve(sys.stdin.buffer, _Answers(out))


if __name__ == '__main__':
  main()
