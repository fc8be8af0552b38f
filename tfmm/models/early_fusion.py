"""LSTMs over all modalities at once: the baselines of HMS (section 4.2.1, Table 1)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfmm.layers import fusion, gated_encoder, gflops, lstm, randomness
from tfmm.models import base

LAYOUTS = ('table', 'text')
TABLE_UNITS = 1024
# Section 4.1.3: length of projected features, and units of a modality's LSTM.
TEXT_PROJECTIONS = {'audio': 512, 'rgb': 1024, 'motion': 2048}
TEXT_UNITS = {'audio': 128, 'rgb': 512, 'motion': 2048}
_DROPOUT_SALT = 109


class EarlyFusionLSTM(base.GatedMultimodalModel):
  """Features of all modalities are joined in every segment; an LSTM reads the segments.

  What is present runs: nothing is decided. An absent modality adds zeros, a segment
  with nothing in it leaves the state alone, and the last state is classified.

  The paper does not say of what its baselines consist. There are two layouts:

  * 'table': found by fitting it to the GFLOPs of Table 1, of which it gives all 14. One
    modality of D features passes two fully connected layers of D with ReLU and an LSTM
    of D units: 10 * D^2 multiply-adds per segment. Several modalities are concatenated
    as they are and pass two LSTMs of 1024 units.
  * 'text': what section 4.1.3 says of HMS. Each modality is projected, and one LSTM
    reads the concatenation.

  Args:
    encoders: {modality: GatedEncoder}.
    num_classes: C.
    layout: 'table' or 'text'.
    units: of each LSTM, and width of the fully connected layers. None is the layout's
      own: D or 1024 of 'table'; of 'text' 128, 512 or 2048 for audio, rgb and motion,
      the largest of those that are there.
    projection_dims: {modality: length} of 'text', where it shall not be 512, 1024 or
      2048 for audio, rgb and motion.
    dropout: rate before the classifier; the paper names none.
  """

  cost_convention = 'total'

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               num_classes: int, layout: str = 'table', units: int | None = None,
               projection_dims: Mapping[str, int] | None = None, dropout: float = 0.):
    super().__init__(encoders=encoders, num_classes=num_classes)
    if layout not in LAYOUTS:
      raise ValueError(f'layout is {layout!r}; it must be one of {LAYOUTS}.')
    if units is not None and units < 1:
      raise ValueError(
          f'units is {units}; it must be 1 or more, or None for those of the layout.')
    self.layout = layout
    dims = {m: e.feature_dim for m, e in self.encoders.items()}
    self.projections, self.joint, num_cells = {}, [], 1
    if layout == 'text':
      units = units or max(_of_the_paper(m, TEXT_UNITS, 'units') for m in dims)
      lengths = self._projection_lengths(projection_dims or {})
      self.projections = {
          m: gated_encoder.GatedDense(
              lengths[m], input_dim=dims[m], name=f'{m}_projection') for m in dims}
      joint_dim = sum(lengths.values())
    else:
      if projection_dims:
        raise ValueError(
            f"projection_dims is {dict(projection_dims)}; layout 'table' projects "
            "nothing: leave it out, or use layout='text'.")
      joint_dim = sum(dims.values())
      if len(dims) == 1:
        units = units or joint_dim
        self.joint = fusion.joint_layers(units, input_dim=joint_dim)
        joint_dim = units
      else:
        units, num_cells = units or TABLE_UNITS, 2
    self.cells = [
        lstm.LSTMCell(units, input_dim=dim, name=f'lstm_{i}')
        for i, dim in enumerate([joint_dim, units][:num_cells])]
    self.classifier = fusion.linear(num_classes, input_dim=units, name='classifier')
    self.dropout = randomness.SeededDropout(dropout)

  def recognize(self, clips, present, *, training, seed):
    encoding = training.get('encoders', False)
    features = [self.encode(clips, m, present[:, :, i], encoding)
                for i, m in enumerate(self.modalities)]
    # [B, S, D] -> [B * S, D]: one product of all segments
    features = [tf.reshape(x, [-1, x.shape[-1]]) for x in features]
    joined = self._join(features, tf.reshape(present, [-1, len(self.modalities)]))
    batch, segments = tf.unstack(tf.shape(present)[:2])
    # [B * S, J] -> [B, S, J]
    joined = tf.reshape(joined, [batch, segments, joined.shape[-1]])
    hidden = self._last_hidden(joined, tf.reduce_max(present, 2) > 0)
    if training['recognition']:
      hidden = self.dropout(
          hidden, randomness.fold_seed(seed, _DROPOUT_SALT), training=True)
    return base.Recognition(
        self.classifier(hidden), present, tf.cast(present > 0, tf.float32), {})

  def _join(self, features, gates):
    """[N, D] of each modality, gated, and gates [N, M] -> [N, J], input of the LSTM."""
    if self.projections:
      # An absent modality does not get a bias either.
      features = [self.projections[m](x, gates[:, i]) for i, (m, x) in enumerate(
          zip(self.modalities, features, strict=True))]
    joined = tf.concat(features, -1)
    for layer in self.joint:
      joined = layer(joined)
    return joined

  def _last_hidden(self, joined, held):
    """joined [B, S, J], held [B, S] whether a segment holds anything -> [B, units]."""
    segments = joined.shape[1] or tf.shape(joined)[1]
    # The gradient of a slice would be as large as all of `joined`, in every step.
    inputs = tf.TensorArray(tf.float32, segments).unstack(
        tf.transpose(joined, [1, 0, 2]))

    def move(t, states):
      return t + 1, self._step(inputs.read(t), states, held[:, t, tf.newaxis])

    zeros = [cell.zero_state(tf.shape(joined)[0]) for cell in self.cells]
    _, states = tf.while_loop(
        lambda t, _: t < segments, move, (0, zeros), maximum_iterations=segments)
    return states[-1][0]

  def _step(self, x, states, held):
    """x [B, J], a state (h, c) of each cell, held [B, 1] -> the next states."""
    moved = []
    for cell, old in zip(self.cells, states, strict=True):
      new = cell(x, old)
      x = new[0]
      moved.append(tuple(tf.where(held, n, o) for n, o in zip(new, old)))
    return moved

  def _projection_lengths(self, given):
    unknown = sorted(set(given) - set(self.modalities))
    if unknown:
      raise ValueError(
          f'projection_dims has {unknown[0]!r}; the modalities are {self.modalities}.')
    lengths = {
        m: given[m] if m in given else _of_the_paper(
            m, TEXT_PROJECTIONS, 'projection_dims') for m in self.modalities}
    for modality, length in lengths.items():
      if length < 1:
        raise ValueError(
            f'projection_dims of {modality!r} is {length}; it must be 1 or more.')
    return lengths

  def variable_groups(self):
    encoders = [v for e in self.encoders.values() for v in e.trainable_variables]
    theirs = {v.ref() for v in encoders}
    groups = {
        'recognition': [v for v in self.trainable_variables if v.ref() not in theirs]}
    return {**groups, 'encoders': encoders} if encoders else groups

  def segment_cost(self):
    """A modality is its encoder, the overhead all layers of a step."""
    dims = [e.feature_dim for e in self.encoders.values()]
    features = [tf.TensorSpec([1, n]) for n in dims]
    gates = tf.TensorSpec([1, len(dims)])
    state = tf.TensorSpec([1, self.cells[0].units])
    step = gflops.count_macs(
        lambda features, gates, states: self._step(
            self._join(features, gates), states, gates[:, :1] > 0),
        features, gates, [(state, state) for _ in self.cells])
    return base.SegmentCost(
        {m: e.backbone.row_macs() for m, e in self.encoders.items()}, step,
        gflops.count_macs(self.classifier, state))


def _of_the_paper(modality, values, name):
  if modality not in values:
    raise ValueError(
        f"layout 'text' knows no {name} for {modality!r}, only for {tuple(values)}: "
        f'give {name}.')
  return values[modality]
