"""One media file, demuxed and decoded once, tolerant of damage.

Learnt from real files: times count from the container's start (a transport stream may
begin at 3600 s); one damaged packet must not end the clip, so errors are caught per
packet; a cover picture is not a video; `stream.frames` and durations are hints only.
"""

import dataclasses
import math
import os
from collections.abc import Iterator

import av

from tfmm.media import MediaError

# A file whose demuxer fails this often in a row has ended, whatever it declared.
_MAX_DEMUX_FAILURES = 16
# More than this share of picture packets failing means noise or encryption.
_MAX_BAD_PACKETS = 0.75
_TRUNCATED_BELOW = 0.9  # of the declared packets or of the declared duration
_MAX_SIDE = 16384  # pixels
_STILL_FORMATS = ('image2', 'tty', 'ansi')
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC
_DEFAULT_TRACK = 0x1  # AV_DISPOSITION_DEFAULT
_RESTART_S = 1.0  # a picture earlier than the last one by more begins a new time line
SEEK_AHEAD_S = 10.0  # seeking pays only beyond about two groups of pictures
MAX_LAST_FRAME_S = 60.0  # the last picture stands for no longer

# Nothing but local files: a playlist must not open network addresses.
_OPTIONS = {'protocol_whitelist': 'file'}


@dataclasses.dataclass
class Counts:
  """What decoding met so far; final when the file has been read to its end.

  Attributes:
    packets: Picture packets read.
    bad_packets: Picture packets that did not decode.
    decoded_frames: Pictures that came out.
    corrupt_frames: Those of them that the decoder flags as damaged.
    bad_audio_packets: Sound packets that did not decode.
    truncated: 1 if far less came than the file declares, else 0.
  """

  packets: int = 0
  bad_packets: int = 0
  decoded_frames: int = 0
  corrupt_frames: int = 0
  bad_audio_packets: int = 0
  truncated: int = 0


def _choose(streams, *, skip_pictures: bool):
  """The first track marked as default, or else the first one; None if none."""
  usable = [
      s for s in streams
      if not (skip_pictures and int(s.disposition) & _ATTACHED_PICTURE)
  ]
  marked = [s for s in usable if int(s.disposition) & _DEFAULT_TRACK]
  return (marked or usable or [None])[0]


class MediaReader:
  """A file that is open for one pass over its picture, its sound or both.

  Attributes:
    picture: The picture track that is read, or None.
    sound: The sound track that is read, or None. Of several, the first that is marked
      as default, or else the first.
    counts: `Counts` of what was met so far.
  """

  def __init__(self, path: str, *, picture: bool = True, sound: bool = True,
               threads: int = 1):
    """Opens a file.

    Args:
      path: A local file.
      picture: Whether to read the picture; a file without one is then an error.
      sound: Whether to read the sound, if there is any.
      threads: Decoder threads; 1 in workers, which run side by side.

    Raises:
      MediaError: With reason `missing`, `open` or `no_video`.
    """
    self.counts = Counts()
    self.picture = self.sound = None
    if '://' in os.fspath(path) and not os.path.exists(path):
      raise MediaError('missing', f'{path} is remote; give a local copy')
    path = os.path.abspath(path)  # so that no name looks like an address or an option
    if os.path.isdir(path):
      raise MediaError('missing', f'{path} is a directory; give a file in it')
    if not os.path.isfile(path):
      raise MediaError('missing', f'no such file: {path}')
    if not os.path.getsize(path):
      raise MediaError('open', 'the file is empty (zero bytes)')
    try:
      self._container = av.open(
          path, mode='r', options=_OPTIONS, timeout=(10, 30),
          metadata_errors='replace')
    except (av.error.FFmpegError, OSError, ValueError) as error:
      raise MediaError('open', f'not a media file: {_text(error)}') from error
    try:
      if picture:
        self.picture = self._open_picture()
      if sound:
        stream = _choose(self._container.streams.audio, skip_pictures=False)
        if stream is not None and stream.codec_context is not None:
          self.sound = stream
      for stream in (self.picture, self.sound):
        if stream is not None:
          stream.codec_context.thread_count = threads
    except BaseException:
      self._container.close()
      raise
    start = self._container.start_time
    self._start_s = 0.0 if start is None else start / av.time_base
    duration = self._container.duration
    self._declared_s = 0.0 if duration is None else duration / av.time_base
    self._declared_packets = self.picture.frames if self.picture else 0
    self._seeked = False

  def __enter__(self) -> 'MediaReader':
    return self

  def __exit__(self, *unused):
    self._container.close()

  def _open_picture(self):
    name = self._container.format.name
    if name.endswith('_pipe') or name in _STILL_FORMATS:
      raise MediaError('no_video', f'not a video but a still picture or text ({name})')
    streams = self._container.streams.video
    stream = _choose(streams, skip_pictures=True)
    if stream is None:
      raise MediaError('no_video', 'the only picture is an attached cover'
                       if len(streams) else 'no video stream in the file')
    if stream.codec_context is None:
      raise MediaError('no_video', 'no decoder for the video stream')
    width, height = stream.codec_context.width, stream.codec_context.height
    if max(width, height) > _MAX_SIDE:
      raise MediaError(
          'geometry', f'{width}x{height} pixels; at most {_MAX_SIDE} a side')
    return stream

  def seek(self, time_s: float) -> bool:
    """Goes to a key frame at or before `time_s`, if that is far from the start.

    Returns:
      Whether it went there: a container may know no places to go to.
    """
    if time_s <= SEEK_AHEAD_S:
      return False
    target = int((time_s - 1.0 + self._start_s) * av.time_base)
    try:
      self._container.seek(target, backward=True)
    except (av.error.FFmpegError, OSError):
      return False  # reading on gives the same frames
    self._seeked = True
    return True

  def picture_span(self) -> tuple[float, float] | None:
    """Reads the file to its end without decoding it.

    Returns:
      When the first picture begins and when the last one ends, in seconds after the
      container's start. None where packets do not tell: without time stamps, or with
      streams joined that each count from zero.
    """
    first_s, last_s, step_s, dts_s = math.inf, -math.inf, 0.0, -math.inf
    for packet in self._packets([self.picture]):
      if not packet.size or packet.is_discard:
        continue
      if packet.pts is None:
        return None
      time_s = float(packet.pts * packet.time_base) - self._start_s
      if packet.dts is not None:
        if packet.dts * packet.time_base < dts_s - _RESTART_S:
          return None
        dts_s = float(packet.dts * packet.time_base)
      first_s = min(first_s, time_s)
      if time_s > last_s:
        step_s = (float(packet.duration * packet.time_base) if packet.duration
                  else time_s - last_s)
        last_s = time_s
    if last_s < first_s:
      return None
    step_s = step_s if step_s < math.inf else 0.0
    return first_s, last_s + min(step_s, MAX_LAST_FRAME_S)

  def decode(self) -> Iterator[tuple[object, float | None]]:
    """Decodes all that is left, in the order of the file.

    Yields:
      `(frame, time_s)`: an `av.VideoFrame` or `av.AudioFrame` and its time in seconds
      after the container's start, or None where the file gives no time.

    Raises:
      MediaError: At the end, with reason `no_frames` or `corrupt`.
    """
    reached = last_picture_s = 0.0
    zero_s = self._start_s
    streams = [s for s in (self.picture, self.sound) if s is not None]
    for packet in self._packets(streams):
      is_picture = packet.stream is self.picture
      for frame in self._decode_packet(packet, is_picture):
        time_s = frame.time
        if time_s is not None:
          time_s -= zero_s
          if is_picture:
            if time_s < last_picture_s - _RESTART_S:
              # Joined streams count from zero again: go on where the first one ended.
              step_s = float((frame.duration or 0) * frame.time_base)
              zero_s += time_s - (last_picture_s + step_s)
              time_s = last_picture_s + step_s
            last_picture_s = time_s
          reached = max(reached, time_s)
        yield frame, time_s
    self._finish(reached)

  def _packets(self, streams):
    failures = 0
    while streams:
      try:
        for packet in self._container.demux(streams):
          failures = 0
          yield packet
        return
      except (av.error.FFmpegError, OSError):
        failures += 1
        if failures > _MAX_DEMUX_FAILURES:
          return

  def _decode_packet(self, packet, is_picture: bool):
    counts = self.counts
    if is_picture and packet.size:
      counts.packets += 1
    try:
      frames = packet.decode()
    except (av.error.FFmpegError, ValueError):
      if is_picture:
        counts.bad_packets += 1
      else:
        counts.bad_audio_packets += 1
      return
    for frame in frames:
      if is_picture:
        counts.decoded_frames += 1
        counts.corrupt_frames += bool(frame.is_corrupt)
      yield frame

  def _finish(self, reached: float):
    counts = self.counts
    if self.picture is None:
      return
    if counts.decoded_frames == 0:
      raise MediaError(
          'no_frames', f'no frame decoded from {counts.packets} packets, '
          f'{counts.bad_packets} of them damaged')
    if counts.bad_packets > _MAX_BAD_PACKETS * max(1, counts.packets):
      raise MediaError(
          'corrupt', f'{counts.bad_packets} of {counts.packets} packets did not '
          'decode: damaged or encrypted')
    if not self._seeked:
      counts.truncated = int(self._is_truncated(reached))

  def _is_truncated(self, reached: float) -> bool:
    """Whether both the packet count and the duration, where declared, say so."""
    if self.sound is None and self._container.streams.audio:
      return False  # the declared duration may be that of the sound, which is not read
    if self._declared_packets:
      if self.counts.packets >= _TRUNCATED_BELOW * self._declared_packets:
        return False
    elif not self._declared_s:
      return False
    return (not self._declared_s
            or reached + 0.5 < _TRUNCATED_BELOW * self._declared_s)


def _text(error: Exception) -> str:
  """The part of FFmpeg's message that says what is wrong, on one line."""
  text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
  return ' '.join(text.split())[:200]
