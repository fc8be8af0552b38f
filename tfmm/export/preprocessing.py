"""JPEGs and waveforms to views, inside the served graph.

Three kinds of work, each as late as it can be:

* sound becomes its views for every segment: a policy always hears;
* of the pictures, a policy's previews are decoded where their modality is present;
* the pictures that a recognition encoder reads stay JPEGs (`EncodedPictures`) and pass
  through `GatedEncoder` as rows of strings. It gathers the rows with an open gate, and
  only those reach `decode_jpeg`.

All operations are of core TensorFlow; rows are independent, so a batch may mix sizes.
"""

import contextlib
import dataclasses

import tensorflow as tf

from tfmm.data import dataset
from tfmm.export import served_pictures

SOUND = 'waveform'
_KINDS = (
    dataset.RgbFrames, dataset.RgbPreview, dataset.FlowFrames, dataset.FlowPreview,
    dataset.RgbDifferences, dataset.RgbDifferencePreview, dataset.LogSpectrogram,
    dataset.LogMel, dataset.Waveform)


class EncodedPictures:
  """A backbone whose rows are the JPEGs of a segment instead of pictures.

  Stands in for a backbone inside `GatedEncoder` while a signature is traced: what the
  encoder skips is then not even decoded.
  """

  def __init__(self, backbone, pictures):
    self.backbone = backbone
    self.pictures = pictures
    self.feature_dim = backbone.feature_dim
    self.row_spec = pictures.row_spec

  def __call__(self, rows, training=False):
    return self.backbone(self.pictures.decode(rows), training=training)

  def row_macs(self):
    """Of the backbone: decoding is no multiply-add."""
    return self.backbone.row_macs()


@contextlib.contextmanager
def encoded_rows(model, pictures):
  """Within it, encoders of pictures take rows of JPEGs. For tracing only.

  Args:
    model: a `GatedMultimodalModel`.
    pictures: the `served_pictures.Pictures` of its `ServedInputs`.

  Raises:
    ValueError: the model reads whole pictures in another way too.
  """
  whole = {source.view.name: source for source in pictures if source.is_read}
  swapped = [(e, e.backbone) for e in model.encoders.values() if e.view in whole]
  try:
    for encoder, backbone in swapped:
      encoder.backbone = EncodedPictures(backbone, whole[encoder.view])
    for view, spec in model.input_specs().items():
      if view in whole and spec.dtype != tf.string:
        raise ValueError(
            f'the model reads the view {view!r} outside of a gated encoder; a served '
            'graph decodes whole pictures behind a gate alone: give the policy a '
            'preview of it')
    yield
  finally:
    for encoder, backbone in swapped:
      encoder.backbone = backbone


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedInputs:
  """How the inputs of a request become the views of one model.

  Attributes:
    modalities: names along the M axis.
    sources: for each modality the input that its encoder's view is computed from.
    pictures: the inputs of JPEGs; see `served_pictures`.
    sounds: the views of sound that the model reads, of one sample rate and length:
      they are computed from the input `waveform`.
  """

  modalities: tuple[str, ...]
  sources: tuple[str, ...]
  pictures: tuple[served_pictures.Pictures, ...]
  sounds: tuple[dataset.Sound, ...]

  @classmethod
  def of(cls, model, spec):
    """Sorts the views that a model reads by what they are computed from.

    Args:
      model: a `GatedMultimodalModel`.
      spec: the `DatasetSpec` of its run.

    Raises:
      ValueError: the spec is of another model, or a view cannot be computed in a graph
        from one input of its kind.
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
    made_from = [(view, served_pictures.source(view, views)) for view in read]
    pictures = tuple(
        source for kind in served_pictures.KINDS for source in kind.all_of(made_from))
    sounds = tuple(v for v in read if isinstance(v, dataset.Sound))
    windows = {(s.sample_rate, s.num_samples, s.frame_rate) for s in sounds}
    if len(windows) > 1:
      raise ValueError(
          f'the model hears {[s.name for s in sounds]} in different windows; a served '
          'graph takes one waveform: give them one sample_rate and seconds')
    inputs = {view.name: source.name for source in pictures
              for view in (source.view, *source.previews)}
    return cls(
        modalities=tuple(spec.modalities),
        sources=tuple(
            inputs.get(model.encoders[m].view, SOUND) for m in spec.modalities),
        pictures=pictures,
        sounds=sounds,
    )

  def specs(self, num_segments):
    """{input: TensorSpec} of `serving_default`, S fixed and B open."""
    rows = {source.name: source.row_spec for source in self.pictures}
    if self.sounds:
      rows[SOUND] = tf.TensorSpec([self.sounds[0].num_samples], tf.float32)
    rows['present'] = tf.TensorSpec([len(self.modalities)], tf.float32)
    return {
        name: tf.TensorSpec([None, num_segments, *row.shape], row.dtype, name=name)
        for name, row in rows.items()}

  def audible(self, tensors, present):
    """`present` [B, S, M], closed where sound has a NaN or an infinite sample.

    One bad sample spoils a whole window, and the logarithm's floor does not hide it.
    """
    if not self.sounds:
      return present
    finite = tf.reduce_all(tf.math.is_finite(tensors[SOUND]), -1)  # [B, S]
    of_sound = tf.constant([source == SOUND for source in self.sources])  # [M]
    return tf.where(of_sound & ~finite[..., tf.newaxis], 0.0, present)

  def clips(self, tensors, present):
    """The model's views, with whole pictures still encoded.

    Args:
      tensors: {input: [B, S, ...]}, see `specs`.
      present: float32 [B, S, M] 0/1.

    Returns:
      {view: [B, S, ...]}; whole pictures stay strings, for `encoded_rows`.
    """
    views = {}
    for source in self.pictures:
      rows = tensors[source.name]
      if source.is_read:
        views[source.view.name] = rows
      for view in source.previews:
        views[view.name] = source.preview(view, rows, self._column(present, view))
    for view in self.sounds:
      there = self._column(present, view)
      views[view.name] = _heard(view, tensors[SOUND], there)
    return views

  def decoded_clips(self, tensors, present):
    """The same views as the reader delivers them: for checks, all is decoded."""
    views = self.clips(tensors, present)
    for source in self.pictures:
      if source.is_read:
        views[source.view.name] = source.decode_present(
            tensors[source.name], self._column(present, source.view))
    return views

  def _column(self, present, view):
    """[B, S, M] -> [B, S] of a view's modality."""
    return present[:, :, self.modalities.index(view.modality)]


def _heard(view, waveform, there):
  """float32 [B, S, samples] -> [B, S, *view], zeros where not there."""
  waveform = tf.where(tf.math.is_finite(waveform), waveform, 0.0)
  if isinstance(view, dataset.Waveform):
    return waveform * there[..., tf.newaxis]
  # [B, S, samples] -> [B * S, samples] -> [B * S, bins, frames, 1]
  pictures = view.spectrograms(tf.reshape(waveform, [-1, waveform.shape[2]]))
  pictures = tf.reshape(pictures, [-1, waveform.shape[1], *view.spec().shape])
  return pictures * there[..., tf.newaxis, tf.newaxis, tf.newaxis]
