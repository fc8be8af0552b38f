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

from beam_pipelines import sequence_example
from beam_pipelines import storage
from tfmm.media import MediaError
from tfmm.media import clips
from tfmm.media import video


def _answer(out, payload: bytes = b'', **fields):
  line = json.dumps({**fields, 'bytes': len(payload)})
  out.write(line.encode() + b'\n' + payload)
  out.flush()


def records(request):
  """Yields `(record bytes, summary)` for each clip of one request."""
  options = request['config']
  with storage.local_copy(request['path']) as path:
    for clip in clips.stream_clips(
        path,
        frame_rate=options['frame_rate'],
        short_side=options['short_side'],
        sample_rate=options['sample_rate'],
        clip_seconds=options['max_clip_seconds'],
        max_seconds=options['max_video_seconds'],
        encode=lambda rgb: video.encode_jpeg(rgb, options['jpeg_quality'])):
      record = sequence_example.from_clip(
          clip,
          media_id=request['media_id'],
          labels=request['labels'],
          label_indices=request['label_indices'],
          frame_rate=options['frame_rate'],
          sample_rate=options['sample_rate'],
          waveform=options['waveform'])
      yield record, {
          'frames': len(clip.frames),
          'seconds': clip.end_s - clip.start_s,
          'has_audio': int(clip.has_audio),
          'corrupt_frames': clip.counts.corrupt_frames,
          'bad_packets': clip.counts.bad_packets,
          'truncated': clip.counts.truncated,
      }


def _serve(requests, out):
  _answer(out, kind='ready')
  for line in requests:
    request = json.loads(line)
    try:
      for record, summary in records(request):
        _answer(out, record, kind='clip', **summary)
    except MediaError as error:
      _answer(out, kind='rejected', reason=error.reason, detail=error.detail)
    except FileNotFoundError as error:  # a remote file
      _answer(out, kind='rejected', reason='missing', detail=f'no such file: {error}')
    else:
      _answer(out, kind='done')


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
  _serve(sys.stdin.buffer, out)


if __name__ == '__main__':
  main()
