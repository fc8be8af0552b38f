"""What a served model is: the file `assets.extra/tfmm.json` of a version directory."""

import dataclasses
import json
import math
import os
from typing import Any

import numpy as np
import tensorflow as tf

from tfmm.export import warmup

FILE_NAME = 'tfmm.json'


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureInput:
  """An input of JPEGs: which of a video's a client sends for each segment.

  In place of what lies behind the video's last picture comes that picture.

  Attributes:
    name: of the input: string [B, S, f], or [B, S, f, run].
    reads: 'jpegs', the frames, or 'flow', the fields from each frame to the next one.
    offsets: where the segment is looked at, in frames from its first one; f of them.
    run: pictures that follow each other from each of these places on; None: the input
      has one picture there, and no axis for more.
  """

  name: str
  reads: str
  offsets: tuple[int, ...]
  run: int | None

  @property
  def shape(self):
    """Of one segment."""
    return (len(self.offsets),) if self.run is None else (len(self.offsets), self.run)

  def indices(self, starts, total):
    """The pictures of a video of `total`: int [S] first frames -> int [S, *shape]."""
    steps = np.asarray(self.offsets)
    if self.run is not None:
      steps = steps[:, np.newaxis] + np.arange(self.run)
    places = np.asarray(starts).reshape([-1] + [1] * steps.ndim) + steps
    return np.minimum(places, total - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServingRecord:
  """Everything that a client needs to make requests and to read answers.

  A model that reads features has the signature `views` alone: `features` says how they
  were made, and all that is about pictures, frames and sound is empty or 0.

  Attributes:
    labels: class names; entry i belongs to column i of `probabilities`.
    modalities: names along the M axis of `present`, `gates` and `ran`.
    sources: for each modality the input that its encoder's view is computed from:
      `image`, `flow`, `rgb_difference`, a further one of these kinds such as
      `image_clip`, or `waveform`.
    num_segments: S of every request.
    segment_frames: consecutive frames of the record that make a segment.
    frame_rate: frames of the record in a second, in hertz.
    short_side: shorter side of the record's JPEGs, in pixels.
    jpeg_quality: of the record's frames.
    flow: algorithm of the record's optical flow; '' if the model reads none.
    pictures: the inputs of JPEGs; none if the model sees nothing.
    record_sample_rate: of the record's sound, in hertz.
    sample_rate: of the input `waveform`, in hertz; 0 if the model hears nothing.
    seconds: sound of a segment.
    samples: the same in samples.
    sound_frame_rate: None: sound is placed by the frames' times; else as if frames came
      at this rate, in hertz.
    gflops: by the convention of the model's paper, for each modality of one segment,
      `overhead` for what every present segment costs (the policy), and `once` for a
      video.
    least_budget: the smallest `budget_gflops` of use, 1e9 multiply-adds; None: the
      model has no such input.
    features: {view: options of extract_features} of a model that reads features.
    recipe: name of the model's class.
    tfmm_version: version that exported it.
  """

  labels: tuple[str, ...]
  modalities: tuple[str, ...]
  sources: tuple[str, ...]
  num_segments: int
  segment_frames: int
  frame_rate: float
  short_side: int
  jpeg_quality: int = 90
  flow: str = ''
  pictures: tuple[PictureInput, ...] = ()
  record_sample_rate: int = 0
  sample_rate: int = 0
  seconds: float = 0.0
  samples: int = 0
  sound_frame_rate: float | None = None
  gflops: dict[str, float] = dataclasses.field(default_factory=dict)
  least_budget: float | None = None
  features: dict[str, Any] = dataclasses.field(default_factory=dict)
  recipe: str = ''
  tfmm_version: str = ''

  @property
  def hears(self):
    return self.samples > 0

  def sees(self, reads):
    """Whether an input reads the record's 'jpegs' or its 'flow'."""
    return any(source.reads == reads for source in self.pictures)

  def check_budget(self, budget_gflops):
    """Raises ValueError unless a video can be kept within it; infinite: no limit."""
    if budget_gflops == math.inf:
      return
    if self.least_budget is None:
      raise ValueError(
          f'this model ({self.recipe}) takes no budget_gflops; a model with steps '
          'does, such as HMS')
    if not np.float32(budget_gflops) >= self.least_budget:  # requests have float32
      raise ValueError(
          f'budget_gflops is {budget_gflops:g}, less than one step and the answer '
          f'cost; give {rounded_up(self.least_budget)} or more')


def rounded_up(value):
  """Four digits that are not less than `value`, which is above 0."""
  unit = 10. ** (math.floor(math.log10(value)) - 3)
  return f'{math.ceil(value / unit) * unit:.4g}'


def path_of(version_dir):
  return os.path.join(version_dir, warmup.ASSETS, FILE_NAME)


def write(version_dir, record):
  """Writes the record into a version directory."""
  tf.io.gfile.makedirs(os.path.join(version_dir, warmup.ASSETS))
  with tf.io.gfile.GFile(path_of(version_dir), 'w') as f:
    f.write(json.dumps(dataclasses.asdict(record), indent=2) + '\n')


def read(version_dir):
  """Returns the record of a version directory; ValueError if it is none of ours."""
  path = path_of(version_dir)
  if not tf.io.gfile.exists(path):
    raise ValueError(
        f'{path} does not exist, so this is no model of tfmm.export_model; export one '
        'with `python -m tfmm.export_model --model_dir=RUN --output_dir=SM`'
    )
  with tf.io.gfile.GFile(path) as f:
    try:
      values = dict(json.load(f))
    except (ValueError, TypeError) as error:
      raise ValueError(f'{path} is damaged ({error}); export the run again') from None
  _check(path, values, ServingRecord, values.get('tfmm_version'))
  pictures = []
  for source in values.get('pictures', ()):
    _check(path, source, PictureInput, values.get('tfmm_version'))
    pictures.append(PictureInput(**{**source, 'offsets': tuple(source['offsets'])}))
  for name in ('labels', 'modalities', 'sources'):
    values[name] = tuple(values[name])
  return ServingRecord(**{**values, 'pictures': tuple(pictures)})


def _check(path, values, kind, version):
  """Whether values, as read from `path`, are the fields of a dataclass."""
  fields = dataclasses.fields(kind)
  unknown = sorted(set(values) - {field.name for field in fields})
  if unknown:
    raise ValueError(
        f'{path} has the unknown entries {unknown}; it was written by tfmm '
        f'{version}, newer than this one: update tfmm'
    )
  needed = {field.name for field in fields
            if field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING}
  if needed - set(values):
    raise ValueError(
        f'{path} has no entry {min(needed - set(values))!r}; export the run again'
    )


def version_dir(saved_model):
  """Returns the directory of the newest version.

  Args:
    saved_model: an export's `--output_dir` (with numbered versions), or one version.

  Raises:
    ValueError: there is no SavedModel.
  """
  if tf.io.gfile.exists(os.path.join(saved_model, 'saved_model.pb')):
    return saved_model
  versions = versions_of(saved_model)
  if not versions:
    raise ValueError(
        f'{saved_model} holds no SavedModel (neither saved_model.pb nor numbered '
        'versions); make one with `python -m tfmm.export_model --model_dir=RUN '
        f'--output_dir={saved_model}`'
    )
  return os.path.join(saved_model, str(versions[-1]))


def versions_of(directory):
  """Returns the version numbers under a directory, ascending."""
  if not tf.io.gfile.isdir(directory):
    return []
  names = (name.rstrip('/') for name in tf.io.gfile.listdir(directory))
  return sorted(
      int(name)
      for name in names
      if name.isdecimal()
      and tf.io.gfile.exists(os.path.join(directory, name, 'saved_model.pb'))
  )
