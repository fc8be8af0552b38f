"""Hierarchical modality selection: a cheap LSTM wakes dearer ones, step by step.

Weng et al. 2021, "HMS: Hierarchical Modality Selection for Efficient Video
Recognition": sound in every step, pictures where a gate opens, motion where the gate
above it opens. LiteEval (Wu et al. 2019) is the case of two levels, the lower one of
which looks at small pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfmm.layers import budget as budget_lib
from tfmm.layers import fusion, gated_encoder, gflops, gumbel, hierarchy, randomness
from tfmm.models import base

COPIES = ('hidden_and_cell', 'hidden')
ABOVE_CLOSED = ('closed', 'zeros')
TEST_GATES = ('argmax', 'sample')
_GUMBEL_SALT = 107


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelSpec:
  """One LSTM of the hierarchy.

  Attributes:
    reads: a modality of the model. The lowest level may read a view of
      `HMS.previews` instead, which is looked at in every step.
    projection_dim: length to which features are projected.
    units: of the LSTM.
  """

  reads: str
  projection_dim: int
  units: int

  def __post_init__(self):
    for field in ('projection_dim', 'units'):
      if getattr(self, field) < 1:
        raise ValueError(
            f'{field} of level {self.reads!r} is {getattr(self, field)}; it must be 1 '
            'or more.')


class State(NamedTuple):
  """What the past of some videos leaves behind.

  Attributes:
    hidden: [B, units] of each level.
    cell: [B, units] of each level.
    spent: int64 [B], multiply-adds so far and those of the answer.
    ended: [B], 1 where the budget did not allow what was wanted; nothing is bought
      there any more.
  """

  hidden: tuple[tf.Tensor, ...]
  cell: tuple[tf.Tensor, ...]
  spent: tf.Tensor
  ended: tf.Tensor


class HMS(base.GatedMultimodalModel):
  """LSTMs of increasing cost, each gated by what the ones below it see (section 3).

  The lowest level moves in every step. A gate above it reads the projected features of
  the levels below and its own level's state. Where it opens, the level's encoder runs
  and its LSTM moves on the features of all levels up to it. Where it is closed, the
  LSTM rests and the state of the level below overrides its first entries, so that the
  top level knows what all have seen. The top level's hidden state is classified.

  A batch may have 'budget_gflops' [B]: a video ends where what it wants next would
  exceed its budget, and is classified as it stands (section 4.2.2). The budget counts
  convolutions and all products, the answer's included.

  Args:
    encoders: {modality: GatedEncoder}.
    num_classes: C.
    levels: from the lowest to the top; each modality is read by one.
    previews: {view: backbone}, for a lowest level that reads no modality.
    projection: see `hierarchy.Level`.
    copies: a level that rests takes 'hidden_and_cell' from below, as LiteEval's code
      does, or 'hidden' alone, to the letter of section 3.2.
    above_closed: a gate above a closed one is 'closed' too, or it decides by itself and
      reads 'zeros' of what was not computed. The paper leaves it open.
    test_gate: 'argmax', or 'sample', which needs a seed.
    initial_temperature: of the Gumbel-softmax; training anneals it.
  """

  cost_convention = 'total'

  def __init__(self, *, encoders: Mapping[str, gated_encoder.GatedEncoder],
               num_classes: int, levels: Sequence[LevelSpec],
               previews: Mapping[str, tf.keras.layers.Layer] | None = None,
               projection: str = 'linear', copies: str = 'hidden_and_cell',
               above_closed: str = 'closed', test_gate: str = 'argmax',
               initial_temperature: float = 1.):
    super().__init__(encoders=encoders, num_classes=num_classes)
    for name, value, choices in (
        ('copies', copies, COPIES), ('above_closed', above_closed, ABOVE_CLOSED),
        ('test_gate', test_gate, TEST_GATES)):
      if value not in choices:
        raise ValueError(f'{name} is {value!r}; it must be one of {choices}.')
    if not initial_temperature > 0:
      raise ValueError(
          f'initial_temperature is {initial_temperature}; it must be above 0, since '
          'gradients are divided by it.')
    self.previews = {
        view: gated_encoder.GatedEncoder(backbone, view=view)
        for view, backbone in (previews or {}).items()}
    self.specs = tuple(levels)
    _check_levels(self.specs, self.modalities, tuple(self.previews))
    self.copies = copies
    self.above_closed = above_closed
    self.test_gate = test_gate
    self.temperature = tf.Variable(
        initial_temperature, trainable=False, name='temperature',
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
    self.levels, below_dim = [], 0
    for spec in self.specs:
      self.levels.append(hierarchy.Level(
          feature_dim=self._encoder(spec).feature_dim, below_dim=below_dim,
          projection_dim=spec.projection_dim, units=spec.units, projection=projection,
          name=f'{spec.reads}_level'))
      below_dim += spec.projection_dim
    self.classifier = fusion.linear(
        num_classes, input_dim=self.specs[-1].units, name='classifier')
    self._prices = None

  def recognize(self, clips, present, *, training, seed):
    sampled = self._sampled(training, seed)
    gathered = self.skip == 'gather' and not any(training.values())
    budget = _budget(clips)
    prices = budget_lib.FREE if budget is None else self.prices()
    buyers = self._buyers(clips, present, training, gathered)
    segments = present.shape[1] or tf.shape(present)[1]
    modalities = len(self.modalities)

    def move(t, state, gates, scores, awake):
      state, opened, scored, moved = self._step(
          state, present[:, t], [lambda gate, buy=buy: buy(t, gate) for buy in buyers],
          gathered=gathered, budget=budget, prices=prices,
          seed=randomness.fold_seed(seed, _GUMBEL_SALT, t) if sampled else None)
      return (t + 1, state, gates.write(t, opened), scores.write(t, scored),
              awake.write(t, moved))

    arrays = [tf.TensorArray(tf.float32, segments, element_shape=[None, *shape])
              for shape in ([modalities], [modalities, 2], [])]
    state = self._first_state(tf.shape(present)[0], prices, budget)
    _, state, gates, scores, awake = tf.while_loop(
        lambda t, *_: t < segments, move, (0, state, *arrays),
        maximum_iterations=segments)
    gates = tf.ensure_shape(_batch_major(gates), present.shape)
    return base.Recognition(
        self.answer(state), gates, tf.cast(gates > 0, tf.float32),
        {'gate_logits': _batch_major(scores), 'awake': _batch_major(awake)})

  def initial_state(self, batch_size, budget_gflops: tf.Tensor | None = None) -> State:
    """The state of videos of which nothing was seen, for `step`.

    Args:
      batch_size: B.
      budget_gflops: [B], what each video may cost in all.
    """
    budget = None if budget_gflops is None else budget_lib.in_macs(budget_gflops)
    return self._first_state(batch_size, self.prices(), budget)

  def step(self, clips: base.Clips, present: tf.Tensor, state: State, *,
           seed: tf.Tensor | None = None) -> tuple[State, tf.Tensor]:
    """The next step of videos that are still going on, at inference.

    Args:
      clips: {view: [B, *view_shape]} of this step, and 'budget_gflops' [B] if there is
        one, the same in every step. What is not bought is not read.
      present: [B, M] 0/1.
      state: `initial_state`, or that of the step before.
      seed: int64 [2] for test_gate='sample', another one in every step.

    Returns:
      The next state, and gates [B, M]. `answer` classifies a state.
    """
    self._sampled({}, seed)
    budget = _budget(clips)
    rows = {view: x[:, tf.newaxis] for view, x in clips.items() if view != base.BUDGET}
    buyers = [base.stream_segments(self._encoder(spec), rows) for spec in self.specs]
    state, gates, *_ = self._step(
        state, present, [lambda gate, buy=buy: buy(0, gate) for buy in buyers],
        gathered=True, budget=budget, prices=self.prices(), seed=seed)
    return state, gates

  def answer(self, state: State) -> tf.Tensor:
    """Logits [B, C] of videos as far as they were seen."""
    return self.classifier(state.hidden[-1])

  def _step(self, state, present, buy, *, gathered, budget, prices, seed):
    """One step of all levels.

    Args:
      state: `State`.
      present: [B, M].
      buy: for each level, gate [B] -> features where the gate is open, if `gathered`;
        else the projected features of all rows.
      gathered: whether what rests is not computed.
      budget: int64 [B] multiply-adds, or None.
      prices: `budget.Prices`.
      seed: int64 [2] of this step if gates are drawn, else None.

    Returns:
      The next state, gates [B, M], scores [B, M, 2] of (rest, move), and whether the
      lowest level moved [B].
    """
    purse = budget_lib.Purse(state.spent, state.ended, budget)
    lowest, level = self.specs[0], self.levels[0]
    there = self._there(present, lowest)  # [B]
    awake = purse.pay(
        tf.reduce_max(present, -1),
        prices.step + tf.cast(there, tf.int64) * prices.modality(lowest.reads))
    gate = awake * there
    seen = buy[0](gate)
    if gathered:
      seen = level.project(seen)
    below = [seen * gate[:, tf.newaxis]]
    old = state.hidden[0], state.cell[0]
    moved = [level.move([], below[0], old, old, awake)]
    gates, scores = {lowest.reads: gate}, {lowest.reads: tf.zeros_like(present[:, :2])}
    gate = awake
    for k in range(1, len(self.specs)):
      spec, level = self.specs[k], self.levels[k]
      old = state.hidden[k], state.cell[k]
      score = level.score(below, old)
      wanted = self._decide(score, seed, k) * self._there(present, spec) * awake
      if self.above_closed == 'closed':
        wanted *= gate
      gate = purse.pay(wanted, prices.modality(spec.reads))
      rest = self._rest(old, moved[-1])
      if gathered:
        seen, new = level.move_gathered(below, buy[k](gate), old, rest, gate)
      else:
        seen = buy[k](gate)
        new = level.move(below, seen, old, rest, gate)
        seen *= gate[:, tf.newaxis]
      below.append(seen)
      moved.append(new)
      gates[spec.reads], scores[spec.reads] = gate, score
    stays = awake[:, tf.newaxis] == 0  # padding, or the budget is spent
    hidden, cell = (
        tuple(tf.where(stays, old, new[i]) for old, new in zip(olds, moved))
        for i, olds in enumerate((state.hidden, state.cell)))
    return (State(hidden, cell, purse.spent, purse.ended),
            tf.stack([gates[m] for m in self.modalities], 1),
            tf.stack([scores[m] for m in self.modalities], 1), awake)

  def _rest(self, state, below):
    """(hidden, cell) of a level that rests, given those of the one below."""
    hidden, cell = state
    hidden = hierarchy.override(hidden, below[0])
    if self.copies == 'hidden_and_cell':
      cell = hierarchy.override(cell, below[1])
    return hidden, cell

  def _decide(self, score, seed, k):
    if seed is None:
      return gumbel.argmax_gate(score)
    return gumbel.sample_gate(score, self.temperature, randomness.fold_seed(seed, k))

  def _sampled(self, training, seed):
    """Whether gates are drawn."""
    sampled = training.get('recognition', False) or self.test_gate == 'sample'
    if sampled and seed is None:
      raise ValueError("test_gate='sample' needs seed=int64 [2]; it is None.")
    return sampled

  def _there(self, present, spec):
    """[..., M] -> [...]: whether there is something to read.

    A preview comes with any modality.
    """
    if spec.reads in self.previews:
      return tf.reduce_max(present, -1)
    return present[..., self.modalities.index(spec.reads)]

  def _encoder(self, spec) -> gated_encoder.GatedEncoder:
    return self.previews.get(spec.reads) or self.encoders[spec.reads]

  def gated_encoders(self):
    return [*super().gated_encoders(), *self.previews.values()]

  def _buyers(self, clips, present, training, gathered) -> list[Callable]:
    """For each level (t, gate [B]) -> what `_step` buys of it in segment t."""
    buyers = []
    for k, (spec, level) in enumerate(zip(self.specs, self.levels)):
      encoder = self._encoder(spec)
      if not gathered:
        buyers.append(self._buyer_of_all(clips, spec, level, training))
      elif k == 0 and base.BUDGET not in clips:
        # It runs in every step, and larger batches take less time.
        features = base.encode_segments(encoder, clips, self._there(present, spec))
        buyers.append(lambda t, gate, features=features: features[:, t])
      else:
        buyers.append(base.stream_segments(encoder, clips))
    return buyers

  def _buyer_of_all(self, clips, spec, level, training):
    """(t, gate) -> projected features of all rows, whatever the gate."""
    encoder = self._encoder(spec)
    everything = tf.ones(tf.shape(clips[encoder.view])[:2])
    features = base.encode_segments(
        encoder, clips, everything, training=training.get('encoders', False))
    # All segments at once: batch statistics are those of the whole batch.
    projected = level.project(
        tf.reshape(features, [-1, encoder.feature_dim]),
        training=training['recognition'])
    projected = tf.reshape(
        projected, [*tf.unstack(tf.shape(everything)), spec.projection_dim])
    return lambda t, gate: projected[:, t]

  def variable_groups(self):
    encoders = [v for layer in (*self.encoders.values(), *self.previews.values())
                for v in layer.trainable_variables]
    theirs = {v.ref() for v in encoders}
    groups = {
        'recognition': [v for v in self.trainable_variables if v.ref() not in theirs]}
    return {**groups, 'encoders': encoders} if encoders else groups

  def input_specs(self):
    specs = {view: base.batched_spec(e.row_spec) for view, e in self.previews.items()}
    return {**specs, **super().input_specs()}

  def joint_parts(self):
    return {'levels': {'levels': self.levels, 'classifier': self.classifier}}

  def optional_specs(self):
    return {base.BUDGET: tf.TensorSpec([None])}

  def least_budget(self):
    """One step in which only the lowest level moves, and the answer."""
    prices = self.prices()
    step = prices.step + prices.modality(self.specs[0].reads)
    return budget_lib.in_gflops(step + prices.answer)

  def segment_cost(self):
    """A modality's encoder, with projection and LSTM above the lowest level.

    The overhead of a step is the lowest level and all gates; the classifier is charged
    once.
    """
    modality, overhead, below = {}, gflops.MacCount(), []
    for spec, level in zip(self.specs, self.levels):
      cost = self._encoder(spec).backbone.row_macs()
      if below:
        cost += level.move_macs(below)
        overhead += level.gate_macs(below)
      else:
        overhead += level.move_macs(below)
      if spec.reads in self.previews:
        overhead += cost
      else:
        modality[spec.reads] = cost
      below.append(spec.projection_dim)
    answer = gflops.count_macs(
        self.classifier, tf.TensorSpec([1, self.specs[-1].units]))
    return base.SegmentCost(
        {m: modality[m] for m in self.modalities}, overhead, answer)

  def prices(self) -> budget_lib.Prices:
    """Whole multiply-adds of what a budget pays for."""
    if self._prices is None:
      with tf.init_scope():
        cost = self.segment_cost()
      self._prices = budget_lib.Prices(
          {m: count.total for m, count in cost.modality.items()},
          cost.overhead.total, cost.once.total)
    return self._prices

  def _first_state(self, batch_size, prices, budget):
    zeros = tuple(tf.zeros([batch_size, spec.units]) for spec in self.specs)
    purse = budget_lib.Purse(
        tf.zeros([batch_size], tf.int64), tf.zeros([batch_size]), budget)
    purse.pay(tf.ones([batch_size]), prices.answer)
    return State(zeros, zeros, purse.spent, purse.ended)


def _budget(clips):
  """int64 [B] multiply-adds, or None."""
  if base.BUDGET not in clips:
    return None
  return budget_lib.in_macs(clips[base.BUDGET])


def _batch_major(array):
  """TensorArray of S times [B, ...] -> [B, S, ...]."""
  steps = array.stack()
  return tf.transpose(steps, [1, 0, *range(2, steps.shape.rank)])


def _check_levels(specs, modalities, previews):
  if len(specs) < 2:
    raise ValueError(f'a hierarchy needs 2 levels or more; levels has {len(specs)}.')
  read = [spec.reads for spec in specs]
  wrong = set(read) ^ {*modalities, *previews} or len(set(read)) < len(read)
  if wrong or len(previews) > 1 or (previews and read[0] not in previews):
    raise ValueError(
        f'levels read {read}, the model has modalities {modalities} and previews '
        f'{previews}; each is read by one level, and a preview by the lowest.')
  for below, above in zip(specs, specs[1:]):
    if above.units <= below.units:
      raise ValueError(
          f'level {above.reads!r} has {above.units} units and the level below it '
          f'{below.units}; it must have more, since it takes over their state.')
