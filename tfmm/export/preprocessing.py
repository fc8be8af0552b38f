"""JPEGs and waveforms to views, inside the served graph.

Three kinds of work, each as late as it can be:

* sound becomes spectrograms for every segment: a policy always hears;
* of the frames, a policy's preview is decoded where the picture is present;
* the frames that the recognition encoder reads stay JPEGs (`EncodedFrames`) and pass
  through `GatedEncoder` as rows of strings. It gathers the rows with an open gate, and
  only those reach `decode_jpeg`.

All operations are of core TensorFlow; rows are independent, so a batch may mix sizes.
The arithmetic is that of `tfmm.data`: the same functions, on one row at a time.
"""

import contextlib
import dataclasses

import tensorflow as tf

from tfmm.data import augment
from tfmm.data import dataset
from tfmm.data import reader

# Decoding uses as many cores as the session has; measured flat above their number.
_PARALLEL_ROWS = 32
_KINDS = (dataset.RgbFrames, dataset.RgbPreview, dataset.LogSpectrogram)


def decode_frames(encoded, view):
  """Decodes JPEGs to what the record's reader delivers at test time.

  Args:
    encoded: string [N], of any picture sizes.
    view: the `RgbFrames` that fixes short side and crop, in pixels.

  Returns:
    uint8 [N, size, size, 3].
  """

  def decode(jpeg):
    frames = reader.decode_jpeg(jpeg)[tf.newaxis]
    return augment.centre_crop(frames, size=view.size, short_side=view.short_side)[0]

  return tf.map_fn(
      decode,
      encoded,
      fn_output_signature=tf.TensorSpec([view.size, view.size, 3], tf.uint8),
      parallel_iterations=_PARALLEL_ROWS,
  )


class EncodedFrames:
  """A backbone whose rows are the F JPEGs of a segment instead of F pictures.

  Stands in for a backbone inside `GatedEncoder` while a signature is traced: what the
  encoder skips is then not even decoded.
  """

  def __init__(self, backbone, view):
    self.backbone = backbone
    self.view = view
    self.feature_dim = backbone.feature_dim
    self.row_spec = tf.TensorSpec([view.num_frames], tf.string)

  def __call__(self, rows, training=False):
    # [N, F] -> [N * F] -> [N * F, size, size, 3] -> [N, F, size, size, 3]
    view = self.view
    frames = decode_frames(tf.reshape(rows, [-1]), view)
    frames = tf.reshape(frames, [-1, view.num_frames, view.size, view.size, 3])
    return self.backbone(frames, training=training)


@contextlib.contextmanager
def encoded_rows(model, view):
  """Within it, encoders of `view` take JPEG rows [N, F]. For tracing only."""
  swapped = [e for e in model.encoders.values() if view and e.view == view.name]
  originals = [encoder.backbone for encoder in swapped]
  try:
    for encoder, backbone in zip(swapped, originals):
      encoder.backbone = EncodedFrames(backbone, view)
    yield
  finally:
    for encoder, backbone in zip(swapped, originals):
      encoder.backbone = backbone


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedInputs:
  """How the inputs `image` and `waveform` become the views of one model.

  Attributes:
    modalities: names along the M axis.
    frames: the `RgbFrames` whose JPEGs are the input `image`; None: no such input.
    previews: `RgbPreview`s of these frames that the model reads.
    sounds: `LogSpectrogram`s that the model reads, of one sample rate and length.
  """

  modalities: tuple[str, ...]
  frames: dataset.RgbFrames | None
  previews: tuple[dataset.RgbPreview, ...]
  sounds: tuple[dataset.LogSpectrogram, ...]

  @classmethod
  def of(cls, model, spec):
    """Sorts the views that a model reads by what they are computed from.

    Args:
      model: a `GatedMultimodalModel`.
      spec: the `DatasetSpec` of its run.

    Raises:
      ValueError: the spec is of another model, or a view cannot be computed from one
        `image` and one `waveform` in a graph.
    """
    if tuple(spec.modalities) != tuple(model.modalities):
      raise ValueError(
          f'the data has modalities {spec.modalities} and the model '
          f'{model.modalities}; export with the dataset spec of the run')
    views = {view.name: view for view in spec.views}
    read = [views.get(name) for name in model.input_specs()]
    for name, view in zip(model.input_specs(), read):
      if not isinstance(view, _KINDS):
        kind = 'not in the dataset spec' if view is None else type(view).__name__
        raise ValueError(
            f'the model reads the view {name!r} ({kind}); a served graph can compute '
            f'{", ".join(k.__name__ for k in _KINDS)}')
    previews = [v for v in read if isinstance(v, dataset.RgbPreview)]
    sounds = [v for v in read if isinstance(v, dataset.LogSpectrogram)]
    frames = [v for v in read if isinstance(v, dataset.RgbFrames)]
    frames += [views[p.source] for p in previews if views[p.source] not in frames]
    if len(frames) > 1:
      raise ValueError(
          f'the model reads frames of {[v.name for v in frames]}; a served graph '
          'takes the JPEGs of one RgbFrames view')
    windows = {(s.sample_rate, s.num_samples, s.frame_rate) for s in sounds}
    if len(windows) > 1:
      raise ValueError(
          f'the model hears {[s.name for s in sounds]} in different windows; a served '
          'graph takes one waveform: give them one sample_rate and seconds')
    return cls(
        modalities=tuple(spec.modalities),
        frames=frames[0] if frames else None,
        previews=tuple(previews),
        sounds=tuple(sounds),
    )

  def specs(self, num_segments):
    """{input: TensorSpec} of `serving_default`, S fixed and B open."""
    specs = {}
    if self.frames is not None:
      shape = [None, num_segments, self.frames.num_frames]
      specs['image'] = tf.TensorSpec(shape, tf.string, name='image')
    if self.sounds:
      shape = [None, num_segments, self.sounds[0].num_samples]
      specs['waveform'] = tf.TensorSpec(shape, tf.float32, name='waveform')
    shape = [None, num_segments, len(self.modalities)]
    specs['present'] = tf.TensorSpec(shape, tf.float32, name='present')
    return specs

  def sources(self):
    """For each modality the input that it is computed from."""
    heard = {s.modality for s in self.sounds}
    return tuple('waveform' if m in heard else 'image' for m in self.modalities)

  def audible(self, tensors, present):
    """`present` [B, S, M], closed where sound has a NaN or an infinite sample.

    One bad sample spoils a whole window, and the logarithm's floor does not hide it.
    """
    if not self.sounds:
      return present
    finite = tf.reduce_all(tf.math.is_finite(tensors['waveform']), -1)  # [B, S]
    of_sound = tf.constant([s == 'waveform' for s in self.sources()])  # [M]
    return tf.where(of_sound & ~finite[..., tf.newaxis], 0.0, present)

  def clips(self, tensors, present):
    """The model's views, with whole frames still encoded.

    Args:
      tensors: the inputs `image` [B, S, F] and `waveform` [B, S, samples].
      present: float32 [B, S, M] 0/1.

    Returns:
      {view: [B, S, ...]}; `frames` stays string [B, S, F], for `encoded_rows`.
    """
    views = {}
    if self.frames is not None:
      views[self.frames.name] = tensors['image']
    for view in self.previews:
      there = self._column(present, view)
      views[view.name] = self._preview(view, tensors['image'], there)
    for view in self.sounds:
      there = self._column(present, view)
      views[view.name] = _spectrograms(view, tensors['waveform'], there)
    return views

  def decoded_clips(self, tensors, present):
    """The same views as the reader delivers them: for checks, every frame decoded."""
    views = self.clips(tensors, present)
    if self.frames is not None:
      there = self._column(present, self.frames)
      views[self.frames.name] = self._decoded(tensors['image'], there)
    return views

  def _column(self, present, view):
    """[B, S, M] -> [B, S] of a view's modality."""
    return present[:, :, self.modalities.index(view.modality)]

  def _decoded(self, image, there):
    """string [B, S, f] -> uint8 [B, S, f, size, size, 3], zeros where not there."""
    count, size = image.shape[2], self.frames.size
    where = tf.where(there > 0)  # [n, 2]
    chosen = tf.reshape(tf.gather_nd(image, where), [-1])  # [n * f]
    frames = decode_frames(chosen, self.frames)
    frames = tf.reshape(frames, [-1, count, size, size, 3])
    shape = tf.concat([tf.shape(image, tf.int64), [size, size, 3]], 0)
    frames = tf.scatter_nd(where, frames, shape)
    return tf.ensure_shape(frames, [None, *image.shape[1:], size, size, 3])

  def _preview(self, view, image, there):
    """string [B, S, F] -> float32 [B, S, f, h, w, 3]."""
    frames = self._decoded(tf.gather(image, view.frames, axis=2), there)
    # [B, S, f, size, size, 3] -> [B * S * f, size, size, 3]
    flat = tf.reshape(frames, [-1, *frames.shape[3:]])
    small = tf.image.resize(flat, [view.size, view.size])
    return tf.reshape(small, [-1, image.shape[1], *view.spec().shape])


def _spectrograms(view, waveform, there):
  """float32 [B, S, samples] -> [B, S, bins, frames, 1], zeros where not there."""
  waveform = tf.where(tf.math.is_finite(waveform), waveform, 0.0)
  # [B, S, samples] -> [B * S, samples] -> [B * S, bins, frames, 1]
  pictures = view.spectrograms(tf.reshape(waveform, [-1, waveform.shape[2]]))
  pictures = tf.reshape(pictures, [-1, waveform.shape[1], *view.spec().shape])
  return pictures * there[..., tf.newaxis, tf.newaxis, tf.newaxis]
