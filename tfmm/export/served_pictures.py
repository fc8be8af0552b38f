"""Pictures of a request: JPEGs as a client sends them, to what the reader delivers.

A request has one input per kind of pictures; of several gated encoders that see one
kind, each has its own. A row is one segment: the JPEGs of its sampled frames, or at
each of them a run of JPEGs that follow each other. The arithmetic is that of the views
in `tfmm.data`, one picture or one run at a time, so rows may differ in size.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from tfmm.data import dataset
from tfmm.data import difference_views
from tfmm.data import pictures
from tfmm.data import reader

# Decoding uses as many cores as the session has; measured flat above their number.
_PARALLEL = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
  """An input string [B, S, f], or [B, S, f, run], and the views made from it.

  A subclass has `input`, its name; `kind`, the class of `view`; `run` and `decode`.

  Attributes:
    view: the pictures at full size.
    is_read: whether the model reads `view` itself, with a gated encoder.
    frames: which of the view's sampled frames the input has, ascending; f of them.
    previews: views that the model reads and that are shrunk from `view`.
    further: '', or what is added to the name of another input of the same kind.
  """

  view: Any
  is_read: bool
  frames: tuple[int, ...]
  previews: tuple[Any, ...]
  further: str = ''

  @classmethod
  def all_of(cls, read):
    """The inputs from which views are computed: one for each gated view.

    Args:
      read: [(view that the model reads, its `source`)].
    """
    read = [(view, whole) for view, whole in read if isinstance(whole, cls.kind)]
    groups = [[(view, whole)] for view, whole in read if view is whole] or [[]]
    for view, whole in read:
      if view is not whole:
        showing = [group for group in groups if group and _shows(group[0][1], whole)]
        (showing or groups)[0].append((view, whole))
    sources = [cls.of(group) for group in groups if group]
    return tuple(sources[:1] + [
        dataclasses.replace(source, further=f'_{source.view.name}')
        for source in sources[1:]])

  @classmethod
  def of(cls, read):
    """One input from which all views are computed; None if they need none.

    Args:
      read: [(view that the model reads, its `source`)].

    Raises:
      ValueError: they show different frames or crops.
    """
    read = [(view, whole) for view, whole in read if isinstance(whole, cls.kind)]
    if not read:
      return None
    gated = [view for view, whole in read if view is whole]
    view = (gated or sorted((w for _, w in read), key=lambda w: -w.num_frames))[0]
    if len(gated) > 1 or not all(_shows(view, whole) for _, whole in read):
      raise ValueError(
          f'the model reads {[v.name for v, _ in read]}, of different frames or crops; '
          f'a served graph computes all of them from one input {cls.input!r}: give '
          f'them stride, crop and short_side of one {cls.kind.__name__}')
    previews = tuple(v for v, whole in read if v is not whole)
    frames = {frame for preview in previews for frame in preview.frames}
    if gated:
      frames |= set(range(view.num_frames))
    return cls(view=view, is_read=bool(gated), frames=tuple(sorted(frames)),
               previews=previews)

  @property
  def name(self):
    """Of the input."""
    return self.input + self.further

  @property
  def row_spec(self):
    """One segment: string [f], or [f, run]."""
    shape = [len(self.frames)] + ([] if self.run is None else [self.run])
    return tf.TensorSpec(shape, tf.string)

  @property
  def offsets(self):
    """Sampled frames, counted from the segment's first one, in those of the record."""
    return tuple(frame * self.view.stride for frame in self.frames)

  def decode_present(self, rows, there):
    """Decodes where something is there.

    Args:
      rows: string [B, S, p, ...], some of the f frames.
      there: float32 [B, S] 0/1.

    Returns:
      uint8 [B, S, p, size, size, C], zeros where not there.
    """
    where = tf.where(there > 0)  # [n, 2]
    clips = self.decode(tf.gather_nd(rows, where))  # [n, p, size, size, C]
    row = [rows.shape[2], *self.view.spec().shape[1:]]
    clips = tf.scatter_nd(where, clips, tf.concat([tf.shape(there, tf.int64), row], 0))
    return tf.ensure_shape(clips, [None, rows.shape[1], *row])

  def preview(self, view, rows, there):
    """One of `previews`: float32 [B, S, *view], zeros where not there; see above."""
    chosen = tf.gather(rows, [self.frames.index(k) for k in view.frames], axis=2)
    clips = self.decode_present(chosen, there)
    # [B, S, p, size, size, C] -> [B * S, p, size, size, C] -> [B, S, *view]
    small = pictures.shrink(tf.reshape(clips, [-1, *clips.shape[2:]]), view.size)
    return tf.reshape(small, [-1, rows.shape[1], *view.spec().shape])

  def _cropped(self, rows, planes):
    """Decodes and crops each JPEG once: a run may hold a picture of the next one.

    Args:
      rows: string [N, ...], of any picture sizes.
      planes: the first channels that are kept.

    Returns:
      (uint8 [U, size, size, planes], int32 [N, ...] places among them).
    """
    def decode(jpeg):
      picture = reader.decode_jpeg(jpeg)[tf.newaxis, ..., :planes]
      return self.view.crop(picture, None)[0]

    size = self.view.size
    distinct, places = tf.unique(tf.reshape(rows, [-1]))
    cropped = tf.map_fn(
        decode, distinct, parallel_iterations=_PARALLEL,
        fn_output_signature=tf.TensorSpec([size, size, planes], tf.uint8))
    return cropped, tf.reshape(places, [-1, *rows.shape[1:]])


class Frames(Pictures):
  """Frames in colour: string [B, S, f]."""

  input = 'image'
  kind = dataset.RgbFrames
  run = None

  def decode(self, rows):
    """string [N, p] -> uint8 [N, p, size, size, 3]."""
    return tf.gather(*self._cropped(rows, 3))


class FlowFields(Pictures):
  """Optical flow, `fields` of it from each sampled frame on: string [B, S, f, fields].

  JPEGs as `tfmm.media.flow.encode` makes them: u, v, nothing.
  """

  input = 'flow'
  kind = dataset.FlowFrames

  @property
  def run(self):
    return self.view.fields

  def decode(self, rows):
    """string [N, p, fields] -> uint8 [N, p, size, size, 2 * fields]."""
    return self.view.stack(*self._cropped(rows, 2))


class Differences(Pictures):
  """Frames whose differences are taken in the graph: string [B, S, f, fields + 1].

  Each sampled frame and those after it, all of one size.
  """

  input = 'rgb_difference'
  kind = dataset.RgbDifferences

  @property
  def run(self):
    return self.view.fields + 1

  def decode(self, rows):
    """string [N, p, fields + 1] -> uint8 [N, p, size, size, 3 * fields]."""
    view = self.view

    def differences(jpegs):
      frames = tf.stack([reader.decode_jpeg(jpeg) for jpeg in tf.unstack(jpegs)])
      return view.crop(difference_views.change(frames[:-1], frames[1:]), None)

    # [N, p, run] -> [N * p, run] -> [N * p, fields, size, size, 3]
    changes = tf.map_fn(
        differences, tf.reshape(rows, [-1, self.run]), parallel_iterations=_PARALLEL,
        fn_output_signature=tf.TensorSpec(
            [view.fields, view.size, view.size, 3], tf.uint8))
    flat = tf.reshape(changes, [-1, view.size, view.size, 3])
    places = tf.reshape(tf.range(tf.shape(flat)[0]), [-1, rows.shape[1], view.fields])
    return view.stack(flat, places)


KINDS = (Frames, FlowFields, Differences)


def source(view, views):
  """The view at full size that a view of pictures is, or is shrunk from.

  Args:
    view: any view.
    views: {name: view} of the data.
  """
  if isinstance(view, dataset.RgbDifferencePreview):
    return view.whole
  return views.get(getattr(view, 'source', None), view)


def _shows(view, other):
  """Whether all frames of `other`, as they are at test time, are among the view's."""
  alike = dataclasses.replace(
      other, name=view.name, modality=view.modality, num_frames=view.num_frames,
      scale_range=view.scale_range)
  return alike == view and other.num_frames <= view.num_frames
