"""The record on disk, as plain data: keys, kinds, units and file names.

One record is one `tf.train.SequenceExample` and holds one clip of at most
`MAX_CLIP_SECONDS`. A longer video becomes several records of one shard, consecutive
and ascending in time, with the same `clip/media_id`. Keys are MediaSequence's, so that
its readers (dmvr, scenic, mediapipe) can read the shards.

All times are int64 microseconds on one time line per video, whose zero is the start
of the container. Frame n of a video has the time `start + n / frame_rate`; a clip
starts at its first frame and ends one frame period after its last one, and every list
of a record spans clip start to clip end, because readers of this format align
modalities by proportion. A data set of `frames` 'dense' holds all frames of a video,
clip after clip without a gap. One of 'segments' holds only runs of frames around
windows that are spread evenly over the video: a clip is one run, or several that touch,
clips may overlap, and `segment/*` says where in the clip each window lies.

Nothing but the standard library is imported here: writer (protobuf), reader (tf.io)
and tools share this page.
"""

import math

VERSION = 1

MAX_CLIP_SECONDS = 60.0
MICROSECONDS = 1_000_000  # per second

# --- Context: who and when -------------------------------------------------------
EXAMPLE_ID = 'example/id'  # bytes: media_id, or media_id#k for clip k of several
MEDIA_ID = 'clip/media_id'  # bytes: the manifest's `video_path`, unchanged
DATA_PATH = 'clip/data_path'  # bytes: the same text, for readers of MediaSequence
CLIP_START = 'clip/start/timestamp'  # int64, microseconds
CLIP_END = 'clip/end/timestamp'  # int64, microseconds

# What a record may be known by, the best first; the last is DMVR's, of other writers.
NAME_KEYS = (MEDIA_ID, DATA_PATH, EXAMPLE_ID, 'video/filename')

# --- Context: labels -------------------------------------------------------------
LABEL_INDEX = 'clip/label/index'  # int64 list: positions in dataset_info's `labels`
LABEL_TEXT = 'clip/label/text'  # bytes list; dmvr reads this key,
LABEL_STRING = 'clip/label/string'  # and mediapipe this one: both are written

# --- Picture ---------------------------------------------------------------------
IMAGE_ENCODED = 'image/encoded'  # list: one JPEG per frame, RGB, upright, even sides
IMAGE_TIMESTAMP = 'image/timestamp'  # list: int64, microseconds
IMAGE_FORMAT = 'image/format'  # context, bytes: b'JPEG'
IMAGE_FRAME_RATE = 'image/frame_rate'  # context, float: frames per second
IMAGE_HEIGHT = 'image/height'  # context, int64: pixels
IMAGE_WIDTH = 'image/width'  # context, int64: pixels
IMAGE_CHANNELS = 'image/channels'  # context, int64: 3
IMAGE_COLORSPACE = 'image/colorspace'  # context, bytes: b'RGB'

# --- Segments: the windows of this clip; only in data sets of `frames` 'segments' ----
SEGMENT_START = 'segment/start/index'  # context, int64 list: first frame of a window
SEGMENT_END = 'segment/end/index'  # context, int64 list: its last frame
SEGMENT_START_TIME = 'segment/start/timestamp'  # int64 list, microseconds
SEGMENT_END_TIME = 'segment/end/timestamp'  # of the last frame's begin
FRAMES = ('dense', 'segments')


def margin_frames(seconds: float, frame_rate: float) -> int:
  """Frames that a run has on both sides of a window: whole ones, rounded up.

  Args:
    seconds: Option `segment_margin_seconds` of the data set.
    frame_rate: Of its frames, in hertz.
  """
  return max(0, math.ceil(seconds * frame_rate - 1e-6))


# --- Optical flow: 3-channel JPEG (u, v, 0); as many as frames, the last repeated --
# uint8 = rint((clip(pixels, +-saturation) + saturation) * 255 / (2 * saturation))
FLOW_ENCODED = 'FORWARD_FLOW/image/encoded'
FLOW_TIMESTAMP = 'FORWARD_FLOW/image/timestamp'
FLOW_FORMAT = 'FORWARD_FLOW/image/format'
FLOW_FRAME_RATE = 'FORWARD_FLOW/image/frame_rate'
FLOW_HEIGHT = 'FORWARD_FLOW/image/height'
FLOW_WIDTH = 'FORWARD_FLOW/image/width'
FLOW_CHANNELS = 'FORWARD_FLOW/image/channels'
FLOW_SATURATION = 'FORWARD_FLOW/image/saturation'  # context, float: pixels per frame
FLOW_ALGORITHM = 'tfmm/flow/algorithm'  # context, bytes: name and library version
FLOW_SATURATION_PIXELS = 20.0
FLOW_ALGORITHMS = ('dis_fast', 'dis_medium', 'farneback', 'tvl1')

# --- Sound: mono, clip start to clip end; silence where the video has no sound -----
WAVEFORM_FLOATS = 'WAVEFORM/feature/floats'  # list of ONE Feature: float32 in [-1, 1]
WAVEFORM_BYTES = 'WAVEFORM/feature/bytes'  # list of ONE Feature: int16 little endian
WAVEFORM_SAMPLE_RATE = 'WAVEFORM/feature/sample_rate'  # context, float: hertz
WAVEFORM_NUM_SAMPLES = 'WAVEFORM/feature/num_samples'  # context, int64
WAVEFORM_NUM_CHANNELS = 'WAVEFORM/feature/num_channels'  # context, int64: 1
WAVEFORMS = ('float', 'pcm16')  # which of the two lists a data set holds
PCM16_SCALE = 32768.0  # float = int16 / PCM16_SCALE

# --- Log-mels by name: consecutive patches from the clip's start, the last filled up
# with silence. A list of one Feature per patch: float32, row by row.
LOG_MELS = {
    'yamnet': {'shape': (96, 64), 'seconds': 0.96, 'sample_rate': 16000},
    'adamml': {'shape': (256, 256), 'seconds': 1.28, 'sample_rate': 24000},
    'listen_to_look': {'shape': (101, 40), 'seconds': 1.0, 'sample_rate': 16000},
    'ast': {'shape': (128, 1024), 'seconds': 10.24, 'sample_rate': 16000},
    'mbt': {'shape': (100, 128), 'seconds': 1.0, 'sample_rate': 16000},
}
LOG_MEL_KEYS = {  # MBT's is the key that scenic reads
    name: 'melspec/feature/floats' if name == 'mbt'
    else f'MELSPEC_{name.upper()}/feature/floats' for name in LOG_MELS
}

# --- Features: what extract_features makes of a video, in records of their own --------
# One Feature of D floats for each step, beside the ids, times and labels above.
FEATURES = 'features'  # `frames` of a data set that holds features


def feature_key(name: str, what: str) -> str:
  """Key of features by name, as `RGB/feature/floats`; MediaSequence's.

  Args:
    name: What was encoded, as 'rgb'.
    what: 'floats' (list: one Feature of D float32 a step), 'timestamp' (list: int64
      microseconds, the middle of a step), 'dimensions' (context, int64: D) or 'rate'
      (context, float: steps per second, where they are regular).
  """
  return f'{name.upper()}/feature/{what}'


def present_key(name: str) -> str:
  """Context, int64 list: 0 for a step with nothing to encode (zeros), else 1."""
  return f'tfmm/present/{name.lower()}'


# --- Context: ours ---------------------------------------------------------------
HAS_AUDIO = 'tfmm/has_audio'  # int64: 0 when this clip's waveform is only filled in
AUDIO_START = 'tfmm/audio/start/timestamp'  # int64, microseconds: the part of the clip
AUDIO_END = 'tfmm/audio/end/timestamp'  # that real sound covers; start = end: none
SCHEMA_VERSION = 'tfmm/schema_version'  # int64: VERSION
STATS_DECODED_FRAMES = 'tfmm/stats/decoded_frames'  # int64: distinct pictures used
STATS_CORRUPT_FRAMES = 'tfmm/stats/corrupt_frames'  # int64: flagged by the decoder
STATS_BAD_PACKETS = 'tfmm/stats/bad_packets'  # int64: packets that did not decode
STATS_TRUNCATED = 'tfmm/stats/truncated'  # int64: 1 = far fewer frames than declared

# What each key holds: 'bytes', 'int64' or 'float'.
CONTEXT_KINDS = {
    EXAMPLE_ID: 'bytes',
    MEDIA_ID: 'bytes',
    DATA_PATH: 'bytes',
    CLIP_START: 'int64',
    CLIP_END: 'int64',
    LABEL_INDEX: 'int64',
    LABEL_TEXT: 'bytes',
    LABEL_STRING: 'bytes',
    IMAGE_FORMAT: 'bytes',
    IMAGE_FRAME_RATE: 'float',
    IMAGE_HEIGHT: 'int64',
    IMAGE_WIDTH: 'int64',
    IMAGE_CHANNELS: 'int64',
    IMAGE_COLORSPACE: 'bytes',
    SEGMENT_START: 'int64',
    SEGMENT_END: 'int64',
    SEGMENT_START_TIME: 'int64',
    SEGMENT_END_TIME: 'int64',
    FLOW_FORMAT: 'bytes',
    FLOW_FRAME_RATE: 'float',
    FLOW_HEIGHT: 'int64',
    FLOW_WIDTH: 'int64',
    FLOW_CHANNELS: 'int64',
    FLOW_SATURATION: 'float',
    FLOW_ALGORITHM: 'bytes',
    WAVEFORM_SAMPLE_RATE: 'float',
    WAVEFORM_NUM_SAMPLES: 'int64',
    WAVEFORM_NUM_CHANNELS: 'int64',
    HAS_AUDIO: 'int64',
    AUDIO_START: 'int64',
    AUDIO_END: 'int64',
    SCHEMA_VERSION: 'int64',
    STATS_DECODED_FRAMES: 'int64',
    STATS_CORRUPT_FRAMES: 'int64',
    STATS_BAD_PACKETS: 'int64',
    STATS_TRUNCATED: 'int64',
}
LIST_KINDS = {
    IMAGE_ENCODED: 'bytes',
    IMAGE_TIMESTAMP: 'int64',
    FLOW_ENCODED: 'bytes',
    FLOW_TIMESTAMP: 'int64',
    WAVEFORM_FLOATS: 'float',
    WAVEFORM_BYTES: 'bytes',
    **dict.fromkeys(LOG_MEL_KEYS.values(), 'float'),
}

# --- Files beside the shards -----------------------------------------------------
DATASET_INFO = 'dataset_info.json'
REJECTED = 'rejected.csv'
COMPLETED = 'COMPLETED'  # written last; readers demand it

SPLITS = ('train', 'validation', 'test')

REJECTED_COLUMNS = ('video_path', 'label', 'split', 'reason', 'detail')

# Why a video has no record: the fixed list of rejected.csv's `reason`.
REJECT_REASONS = {
    'missing': 'no file at this path',
    'open': 'the file cannot be opened as a video: empty, damaged or not a video',
    'no_video': 'no moving picture in the file: sound only, a cover picture, subtitles',
    'no_frames': 'there is a picture track, but no frame of it could be decoded',
    'corrupt': 'nearly all of the picture is damaged or encrypted',
    'geometry': 'frames have no usable size',
    'too_long': 'the picture is longer than the largest length allowed',
    'timeout': 'no answer within the time limit; the worker process was stopped',
    'crashed': 'the worker process died on this file',
}


def shard_name(split: str, index: int, count: int) -> str:
  """File name of one shard, as `train-00000-of-00004.tfrecord`.

  Args:
    split: One of `SPLITS`.
    index: Which shard, from 0.
    count: How many shards the split has.

  Returns:
    The file name, which scenic's and dmvr's `train@4.tfrecord` resolve.

  Raises:
    ValueError: If the split is unknown or the index is not below the count.
  """
  if split not in SPLITS:
    raise ValueError(f'split {split!r} is none of {SPLITS}.')
  if not 0 <= index < count:
    raise ValueError(f'shard {index} of {count}: the index must be in [0, {count}).')
  return f'{split}-{index:05d}-of-{count:05d}.tfrecord'


def sidecar_name(shard: str) -> str:
  """Name of the JSON file whose presence says that a shard is complete."""
  return shard.removesuffix('.tfrecord') + '.json'
