"""What an encoder reads of a step: views of `tfmm.data`, and a bare waveform."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from beam_pipelines import feature_config
from tfmm.data import dataset
from tfmm.data import views


class _Samples(views.LogSpectrogram):
  """The sound that a spectrogram would be made of."""

  def spectrograms(self, waveforms):
    return waveforms[..., tf.newaxis, tf.newaxis]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Waveform:
  """Sound around a step's middle: float32 [S, samples] in [-1, 1].

  Placed, resampled and tiled as that of `views.LogSpectrogram`; zeros where there is no
  sound.

  Attributes:
    name, modality: as those of other views.
    sample_rate: Hz; records of another rate are resampled.
    seconds: length.
  """

  reads = ('waveform',)
  frame_rate = None  # placed by the frames' own times

  name: str = 'audio'
  modality: str = 'audio'
  sample_rate: int = 16000
  seconds: float = 0.96

  def spec(self):
    return tf.TensorSpec([round(self.seconds * self.sample_rate)], tf.float32)

  def build(self, video, built):
    samples = _Samples(sample_rate=self.sample_rate, seconds=self.seconds)
    rows, present = samples.build(video, built)
    return rows[..., 0, 0], present  # [S, samples, 1, 1] -> [S, samples]


def of_config(config: feature_config.FeatureConfig) -> Any:
  """The view that options describe."""
  if config.view == 'audio':
    return Waveform(sample_rate=config.sample_rate, seconds=config.seconds)
  pictures = dict(
      num_frames=config.num_frames, stride=config.stride, size=config.size,
      short_side=config.short_side, scale_range=(config.short_side,) * 2)
  if config.view == 'flow':
    return dataset.FlowFrames(fields=config.fields, **pictures)
  return dataset.RgbFrames(**pictures)


def span(view: Any, frame_rate: float) -> int:
  """Frames of the record that a view spans, at least 1.

  Args:
    view: frames or sound.
    frame_rate: of the record, in hertz.
  """
  if hasattr(view, 'num_frames'):
    return view.num_frames * view.stride
  return max(1, round(view.seconds * frame_rate))


def text(spec: tf.TensorSpec) -> str:
  """`uint8 [8, 224, 224, 3]`."""
  return f'{spec.dtype.name} {spec.shape.as_list() if spec.shape.rank else "[]"}'


def adapter(config: feature_config.FeatureConfig, view: Any,
            spec: tf.TensorSpec | None) -> Callable[[tf.Tensor], tf.Tensor]:
  """Rows of a view as a model wants them.

  Args:
    config: for messages, and the range of pixels.
    view: what rows are of.
    spec: of the model's input [N, ...]; None if it does not tell.

  Returns:
    Function [N, *row] -> [N, ...]: a model of single pictures gets no axis for frames,
    and one that reads floating-point pictures gets those.

  Raises:
    ValueError: the two do not fit.
  """
  row = view.spec()
  given = tf.TensorSpec([None, *row.shape], row.dtype)
  squeezes = getattr(view, 'num_frames', None) == 1 and (
      spec is None or spec.shape.rank in (None, given.shape.rank - 1))
  if squeezes:
    given = tf.TensorSpec([None, *row.shape[1:]], row.dtype)
  dtype = tf.float32 if spec is None else spec.dtype
  scales = row.dtype == tf.uint8 and dtype.is_floating
  if spec is not None and not (
      spec.shape.is_compatible_with(given.shape) and (scales or dtype == row.dtype)):
    flags = ('--seconds and --sample_rate' if config.view == 'audio'
             else '--num_frames and --size')
    raise ValueError(
        f'encoder {config.encoder} reads {text(spec)}, and --view={config.view} gives '
        f'{text(given)}; change {flags}, or --view.')
  scale, offset = feature_config.PIXELS[config.pixels] if scales else (1., 0.)

  def adapt(rows):
    if squeezes:
      rows = tf.squeeze(rows, 1)  # [N, 1, H, W, C] -> [N, H, W, C]
    return tf.cast(rows, dtype) * scale + offset if scales else rows

  return adapt
