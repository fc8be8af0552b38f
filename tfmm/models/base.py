"""The contract between models and everything else.

Words (the full list is in the README):
  video     one file with one label, or several labels
  segment   one of S places in the video's time where the model may look or listen
  modality  what is gated and charged for: rgb, flow, audio, motion
  view      a tensor that a model reads; one modality can have several
  gate      a number in [0, 1] per video, segment and modality; exact 0 contributes
            nothing
  ran       0/1 per video, segment and modality: the encoder had to run
  present   0/1: real data, not padding or a missing sound track
  policy    the part of a model that sets gates

Shapes: B videos, S segments, M modalities, C classes, D features.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from tfmm.layers import gated_encoder, gflops

Clips = Mapping[str, tf.Tensor]  # {view: [B, S, *view_shape]}

# The M axis has this order in every tensor of the package.
MODALITIES = ('rgb', 'flow', 'audio', 'motion')

# Key of a batch: [B], 1e9 multiply-adds that each video may cost.
BUDGET = 'budget_gflops'


class Recognition(NamedTuple):
  """What a model says of a batch; all that losses and metrics may read.

  Attributes:
    logits: [B, C] of the whole video.
    gates: [B, S, M] in [0, 1].
    ran: [B, S, M] 0/1; computation is charged on this.
    extras: further tensors by name, such as 'gate_logits' [B, S, M, 2] and
      'segment_logits' [B, S, C]. 'awake' [B, S] 0/1: segments whose overhead was spent;
      all that are present, if a model does not say.
  """

  logits: tf.Tensor
  gates: tf.Tensor
  ran: tf.Tensor
  extras: Mapping[str, tf.Tensor]


class SegmentCost(NamedTuple):
  """Multiply-adds of one segment and of a whole video, counted from the graph.

  Attributes:
    modality: {modality: cost of one encoder row and its classifier}.
    overhead: cost of every present segment whatever the gates say (the policy).
    once: cost of a video, however many segments it has.
  """

  modality: Mapping[str, gflops.MacCount]
  overhead: gflops.MacCount
  once: gflops.MacCount = gflops.MacCount()


def in_canonical_order(names) -> tuple[str, ...]:
  """Modality names in the order of the M axis; ValueError on an unknown one."""
  unknown = sorted(set(names) - set(MODALITIES))
  if unknown:
    raise ValueError(f'unknown modality {unknown[0]!r}; known are {MODALITIES}.')
  return tuple(m for m in MODALITIES if m in names)


class GatedMultimodalModel(tf.keras.Model, abc.ABC):
  """Whoever wants features buys them with a gate.

  The papers disagree about order (gate before encoding, after it, or in turns), so
  the base fixes the currency and not the order. A paper writes `recognize`.

  Attributes:
    encoders: {modality: GatedEncoder}.
    modalities: order of the M axis.
    num_classes: C.
    temperature: variable that training anneals, or None.
    cost_convention: which sum of a `MacCount` the paper of the model reports: 'papers'
      (AdaMML's) or 'total'.
  """

  cost_convention = 'papers'

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               num_classes: int):
    # Backbones may compute in bfloat16; gates, logits and losses stay float32.
    super().__init__(dtype='float32')
    # No class attribute: Keras would not track what a subclass puts in its place.
    self.temperature: tf.Variable | None = None
    if not encoders:
      raise ValueError('a model needs at least one encoder; encoders is empty.')
    if num_classes < 2:
      raise ValueError(f'num_classes is {num_classes}; it must be 2 or more.')
    self.modalities = in_canonical_order(encoders)
    self.encoders = {m: encoders[m] for m in self.modalities}
    self.num_classes = num_classes

  @abc.abstractmethod
  def recognize(self, clips: Clips, present: tf.Tensor, *,
                training: Mapping[str, bool], seed: tf.Tensor | None) -> Recognition:
    """All that a paper must write.

    Args:
      clips: {view: [B, S, *view_shape]}, and what there is of `optional_specs`.
      present: [B, S, M] 0/1.
      training: {variable group: whether its layers run in training mode}.
      seed: int64 [2] from which everything random is folded; None at inference.
    """

  def call(self, inputs, training=False, frozen=(), seed=None) -> Recognition:
    """Checks the inputs, then recognizes.

    Args:
      inputs: a batch: {view: [B, S, ...]} and 'present' [B, S, M]; other keys are
        ignored.
      training: whether this is a training step.
      frozen: names of variable groups that run in inference mode although `training`
        is set, so that their batch statistics stay.
      seed: int64 [2], required in training.
    """
    clips, present = self._checked(inputs)
    groups = tuple(self.variable_groups())
    unknown = sorted(set(frozen) - set(groups))
    if unknown:
      raise ValueError(f'frozen names {unknown[0]!r}; the groups are {groups}.')
    if training and seed is None:
      raise ValueError('training needs seed=int64 [2]; it is None.')
    modes = {g: bool(training) and g not in frozen for g in groups}
    return self.recognize(clips, present, training=modes, seed=seed)

  def _checked(self, inputs) -> tuple[Clips, tf.Tensor]:
    specs = self.input_specs()
    missing = [k for k in (*specs, 'present') if k not in inputs]
    if missing:
      raise ValueError(
          f'the batch lacks {missing[0]!r}; this model reads {[*specs, "present"]} '
          f'and was given {sorted(inputs)}.')
    specs |= {k: spec for k, spec in self.optional_specs().items() if k in inputs}
    for view, spec in specs.items():
      value = inputs[view]
      if value.dtype != spec.dtype or not spec.shape.is_compatible_with(value.shape):
        raise ValueError(
            f'view {view!r} is {value.dtype.name} {value.shape}; this model reads '
            f'{spec.dtype.name} {spec.shape}.')
    present = tf.cast(inputs['present'], tf.float32)
    if not present.shape.is_compatible_with([None, None, len(self.modalities)]):
      raise ValueError(
          f'present is {present.shape}; its last axis must be the '
          f'{len(self.modalities)} modalities {self.modalities}.')
    return {view: inputs[view] for view in specs}, present

  def encode(self, clips: Clips, modality: str, gate: tf.Tensor,
             training: bool = False) -> tf.Tensor:
    """Buys the features of every segment: gate [B, S] -> [B, S, D]."""
    return encode_segments(self.encoders[modality], clips, gate, training)

  def stream(self, clips: Clips, modality: str, training: bool = False
             ) -> Callable[[int, tf.Tensor], tf.Tensor]:
    """Buys features one segment at a time: at(t, gate [B]) -> [B, D]."""
    return stream_segments(self.encoders[modality], clips, training)

  def variable_groups(self) -> dict[str, list[tf.Variable]]:
    """{group: trainable variables}; a training phase moves some of the groups."""
    return {'recognition': list(self.trainable_variables)}

  def input_specs(self) -> dict[str, tf.TensorSpec]:
    """{view: spec of [B, S, *view_shape]} of everything that the model reads."""
    return {e.view: batched_spec(e.row_spec) for e in self.encoders.values()}

  def joint_parts(self) -> dict[str, dict[str, tf.Module]]:
    """{name: {attribute: layers}} that a run with `name` hands on beside encoders."""
    return {}

  def least_budget(self) -> float | None:
    """The smallest 'budget_gflops' of use, 1e9 multiply-adds; None: it reads none."""
    return None

  def optional_specs(self) -> dict[str, tf.TensorSpec]:
    """{key: spec} of what the model reads if a batch has it."""
    return {}

  def segment_cost(self) -> SegmentCost:
    """Cost of one segment; see `SegmentCost`."""
    return SegmentCost(
        {m: gflops.count_macs(self._row_function(m), one_row(e.row_spec))
         for m, e in self.encoders.items()}, self._overhead())

  def _row_function(self, modality: str):
    backbone = self.encoders[modality].backbone
    return lambda rows: backbone(rows, training=False)

  def _overhead(self) -> gflops.MacCount:
    return gflops.MacCount()

  def gated_encoders(self) -> list[gated_encoder.GatedEncoder]:
    """All that skip computation."""
    return list(self.encoders.values())

  @property
  def skip(self) -> str:
    """'mask' or 'gather', for all encoders; set it before tracing."""
    return self.gated_encoders()[0].skip

  @skip.setter
  def skip(self, mode: str):
    for encoder in self.gated_encoders():
      encoder.skip = mode


def encode_segments(encoder: gated_encoder.GatedEncoder, clips: Clips, gate: tf.Tensor,
                    training: bool = False) -> tf.Tensor:
  """Features of every segment: gate [B, S] -> [B, S, D]."""
  view = clips[encoder.view]
  batch, segments = tf.shape(gate)[0], tf.shape(gate)[1]
  # [B, S, *row] -> [B * S, *row]
  rows = tf.reshape(view, tf.concat([[-1], tf.shape(view)[2:]], 0))
  rows = tf.ensure_shape(rows, [None, *view.shape[2:]])
  features = encoder(rows, tf.reshape(gate, [-1]), training=training)
  # [B * S, D] -> [B, S, D]
  return tf.reshape(features, [batch, segments, encoder.feature_dim])


def stream_segments(encoder: gated_encoder.GatedEncoder, clips: Clips,
                    training: bool = False) -> Callable[[int, tf.Tensor], tf.Tensor]:
  """Features of one segment at a time: at(t, gate [B]) -> [B, D]."""
  view = clips[encoder.view]
  return lambda t, gate: encoder(view[:, t], gate, training=training)


def batched_spec(row: tf.TensorSpec) -> tf.TensorSpec:
  """Spec of one row -> spec of [B, S, *row]."""
  return tf.TensorSpec([None, None, *row.shape], row.dtype)


def one_row(row: tf.TensorSpec) -> tf.TensorSpec:
  """Spec of one row -> spec of a batch of exactly one, for counting."""
  return tf.TensorSpec([1, *row.shape], row.dtype)
