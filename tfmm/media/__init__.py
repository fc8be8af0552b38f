"""Media files in, NumPy out; shared by the Beam workers and by serving clients.

`video.read_frames` and `audio.read_waveform` read one file; `clips.stream_clips`
decodes picture and sound in one pass with bounded memory. No TensorFlow here.
Optical flow belongs beside them and reads the same `clips.Clip`.
"""


class MediaError(ValueError):
  """A file that gives no video, with a reason from a fixed list.

  Attributes:
    reason: A key of `tfmm.schema.REJECT_REASONS`.
    detail: What was found, in words.
  """

  def __init__(self, reason: str, detail: str):
    super().__init__(f'{reason}: {detail}')
    self.reason = reason
    self.detail = detail
