"""What features are made with: which encoder, and where it looks. No TensorFlow."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

VIEWS = ('rgb', 'audio', 'flow')
# What floating-point pictures look like to a SavedModel: (scale, offset) of 0..255.
PIXELS = {'0..1': (1 / 255, 0.0), '0..255': (1.0, 0.0), '-1..1': (1 / 127.5, -1.0)}

# Options that have an effect, with their defaults, by view and by kind of encoder. What
# a run reads is in its recipe.
_PICTURES = {'num_frames': 1, 'stride': 1, 'size': 224, 'short_side': None,
             'pixels': '0..1'}
_OF_VIEW = {
    'rgb': _PICTURES,
    'flow': {**_PICTURES, 'fields': 5},
    'audio': {'seconds': 0.96, 'sample_rate': 16000},
}
_OF_STEP = {'view': 'rgb', 'segment_frames': None}
_OF_KIND = {
    'run': {'checkpoint': 'last'},
    'new': {'seed': 0},
    'saved': {'signature': None, 'output': None},
}
_OPTIONAL = sorted({name for group in (*_OF_VIEW.values(), *_OF_KIND.values(), _OF_STEP)
                    for name in group})
_RANGES = {
    'steps': (1, 100_000, ''), 'every_seconds': (0.01, 86400.0, 'seconds'),
    'segment_frames': (1, 100_000, 'frames'), 'num_frames': (1, 1024, 'frames'),
    'stride': (1, 1000, 'frames'), 'fields': (1, 64, ''), 'size': (1, 4096, 'pixels'),
    'short_side': (1, 4096, 'pixels'), 'seconds': (0.001, 600.0, 'seconds'),
    'sample_rate': (1000, 192_000, 'hertz'), 'batch_size': (1, 65536, 'steps'),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureConfig:
  """Options of one extraction; None: not given, then the default if it has an effect.

  Attributes:
    encoder: a directory with a SavedModel; the https address of a model of TensorFlow
      Hub; `run:RUN_DIR/rgb`, the encoder of a modality of a trained run; or
      `new:resnet.ResNet(depth=18)`, a class of `tfmm.encoders` without training.
    view: what the encoder reads: one of `VIEWS`. A run knows.
    name: of the features in a record; by default the view (of a run: the modality).
    steps: how many, spread evenly over each video; or
    every_seconds: one step in each so many seconds.
    segment_frames: frames of a step; by default those that the encoder spans. Encoders
      that are given the same number look at the same times.
    num_frames, stride, size, short_side: of the frames of a step, as
      `tfmm.data.views.RgbFrames`; a short side of 8/7 of the size if not given.
    fields: of optical flow with each frame, as `tfmm.data.flow_views.FlowFrames`.
    pixels: range of floating-point pictures, a key of `PIXELS`. Whole numbers stay.
    seconds, sample_rate: of the sound around a step's middle.
    signature: of a SavedModel; by default `serving_default`, else the model is called.
    output: key or position of the features in its outputs, or a layer of a Keras model.
    checkpoint: of a run: 'last' or 'best'.
    seed: of the weights of an untrained encoder.
    batch_size: steps that are encoded together. It changes features by rounding only,
      so it may differ between the runs that fill one directory.
  """

  encoder: str
  view: str | None = None
  name: str | None = None
  steps: int | None = None
  every_seconds: float | None = None
  segment_frames: int | None = None
  num_frames: int | None = None
  stride: int | None = None
  size: int | None = None
  short_side: int | None = None
  fields: int | None = None
  pixels: str | None = None
  seconds: float | None = None
  sample_rate: int | None = None
  signature: str | None = None
  output: str | None = None
  checkpoint: str | None = None
  seed: int | None = None
  batch_size: int = 16

  def __post_init__(self):
    if not self.encoder:
      raise ValueError('encoder is empty; give --encoder=DIRECTORY, an https address, '
                       'run:RUN_DIR/MODALITY or new:module.Class(...).')
    if (self.steps is None) == (self.every_seconds is None):
      raise ValueError('give either --steps=S, steps spread evenly over each video, '
                       'or --every_seconds=X, one step in each X seconds.')
    if self.view is not None and self.view not in VIEWS:
      raise ValueError(f'view is {self.view!r}; it must be one of {VIEWS}.')
    if self.pixels is not None and self.pixels not in PIXELS:
      raise ValueError(f'pixels is {self.pixels!r}; it must be one of {tuple(PIXELS)}.')
    if self.name is not None and not re.fullmatch('[A-Z][A-Z0-9_]*', self.name):
      raise ValueError(f'name is {self.name!r}; it must be capitals, digits and _, as '
                       'RGB or MOTION.')
    for field, (low, high, unit) in _RANGES.items():
      value = getattr(self, field)
      if value is not None and not low <= value <= high:
        raise ValueError(f'{field} is {value}; it must be in [{low:g}, {high:g}]'
                         f'{unit and " "}{unit}.')
    self._fill_in()

  def _fill_in(self):
    """Sets defaults; refuses options that would have no effect."""
    allowed = dict(_OF_KIND[self.kind])
    if self.kind != 'run':
      allowed |= _OF_STEP | _OF_VIEW[self.view or 'rgb']
    for field in _OPTIONAL:
      if getattr(self, field) is None:
        object.__setattr__(self, field, allowed.get(field))
      elif field not in allowed:
        what = ('a run, which has its own recipe' if self.kind == 'run'
                else f'--encoder={self.encoder} and --view={self.view or "rgb"}')
        raise ValueError(f'--{field} has no effect with {what}; remove it.')
    if self.size is not None and self.short_side is None:
      object.__setattr__(self, 'short_side', round(self.size * 8 / 7))

  @property
  def kind(self) -> str:
    """'run', 'new' or 'saved'."""
    kind, colon, _ = self.encoder.partition(':')
    return kind if colon and kind in ('run', 'new') else 'saved'


def flat(options: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """`{'view': {'size': 224}}` as `{'view.size': 224}`, for comparing."""
  result = {}
  for key, value in options.items():
    if isinstance(value, Mapping):
      result |= flat(value, f'{prefix}{key}.')
    else:
      result[prefix + key] = value
  return result
