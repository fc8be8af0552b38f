"""Which variables move when, on which loss, at which rate and temperature.

A plan is a list of epochs; a phase is what is in force during one of them. Given the
number of steps in an epoch, a plan becomes spans of global steps, so that everything
about a step is a pure function of its number and a killed run resumes where it was.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LossTerm = Callable[[Mapping[str, Any], Any], Any]  # (batch, Recognition) -> [B]

LR_DECAYS = ('paper', 'official')
TEMPERATURE_SCHEDULES = ('official', 'paper', 'constant')
BATCH_STATISTICS = ('frozen', 'update')
STARTS = ('best', 'last')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
  """What is in force during a span of steps.

  Attributes:
    name: unique in a plan; one graph is traced per name.
    moves: the variable groups whose variables are trained.
    losses: {name: term}; a term is (batch, Recognition) -> [B], and the loss is the
      sum over terms of their mean over the videos.
    frozen: groups that run in inference mode, so that their batch statistics stay.
    validates: whether an epoch of this phase ends with a validation.
  """

  name: str
  moves: tuple[str, ...]
  losses: Mapping[str, LossTerm]
  frozen: tuple[str, ...] = ()
  validates: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epoch:
  """One pass over the training split.

  Attributes:
    phase: what is in force.
    stage: the part of the recipe that this epoch belongs to.
    number: of the epoch in its stage, from 0. Epochs of several phases can share one
      (AdaMML moves one network, then the other).
    rate: multiplies every learning rate.
    temperature: of the gates; None leaves it alone.
    begins: whether the optimisers of `phase.moves` start afresh here.
    starts_from_best: stage whose best checkpoint is restored first, or None.
  """

  phase: Phase
  stage: str
  number: int
  rate: float = 1.
  temperature: float | None = None
  begins: bool = False
  starts_from_best: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
  """An epoch as global steps [start, end)."""

  epoch: Epoch
  start: int
  end: int
  stage_epochs: int

  @property
  def phase(self) -> Phase:
    return self.epoch.phase

  @property
  def label(self) -> str:
    """For people: 'alternating policy 3/20'."""
    return f'{self.phase.name} {self.epoch.number + 1}/{self.stage_epochs}'


@dataclasses.dataclass(frozen=True)
class Plan:
  """All epochs of a run, in order."""

  epochs: tuple[Epoch, ...]

  def __post_init__(self):
    if not self.epochs:
      raise ValueError('the plan has 0 epochs; give at least one phase an epoch.')
    by_name: dict[str, Phase] = {}
    for epoch in self.epochs:
      known = by_name.setdefault(epoch.phase.name, epoch.phase)
      if known is not epoch.phase:
        raise ValueError(
            f'two phases are named {epoch.phase.name!r}; names must be unique.')

  def phases(self) -> tuple[Phase, ...]:
    """Distinct phases in the order in which they first occur."""
    return tuple({e.phase.name: e.phase for e in self.epochs}.values())

  def groups(self) -> tuple[str, ...]:
    """Variable groups that move at some time, in that order."""
    return tuple(dict.fromkeys(g for p in self.phases() for g in p.moves))

  def spans(self, steps_per_epoch: int) -> tuple[Span, ...]:
    """Global steps of every epoch."""
    if steps_per_epoch < 1:
      raise ValueError(
          f'steps_per_epoch is {steps_per_epoch}; it must be 1 or more. Lower the '
          'batch size to at most the number of training videos.')
    stage_epochs = {e.stage: 0 for e in self.epochs}
    for e in self.epochs:
      stage_epochs[e.stage] = max(stage_epochs[e.stage], e.number + 1)
    return tuple(
        Span(epoch=e, start=i * steps_per_epoch, end=(i + 1) * steps_per_epoch,
             stage_epochs=stage_epochs[e.stage])
        for i, e in enumerate(self.epochs))


def span_at(spans: Sequence[Span], step: int) -> Span:
  """The span that the step with this number (from 0) belongs to."""
  if not 0 <= step < spans[-1].end:
    raise ValueError(
        f'step {step} is outside the run; it has steps 0 to {spans[-1].end - 1}.')
  return spans[bisect.bisect_right([s.end for s in spans], step)]


def step_decay(epoch: int, epochs: Sequence[int], factor: float) -> float:
  """factor ** (how many of `epochs` have been reached)."""
  return factor ** sum(epoch >= e for e in epochs)


def single_phase(
    *, loss: LossTerm, epochs: int = 60, decay_epochs: Sequence[int] = (20, 40, 50),
    decay_factor: float = .1) -> Plan:
  """One phase in which everything moves: unimodal models and fusion.

  Args:
    loss: the only loss term.
    epochs: passes over the training split. 60 for one modality of AdaMML, 70 on
      ActivityNet (the authors' README, and an answer of theirs).
    decay_epochs: before these epochs (from 0), rates are multiplied by
      `decay_factor`.
    decay_factor: see there.
  """
  _check_count('epochs', epochs)
  phase = Phase(name='train', moves=('recognition',), losses={_term_name(loss): loss})
  return Plan(tuple(
      Epoch(phase=phase, stage='train', number=i,
            rate=step_decay(i, decay_epochs, decay_factor), begins=i == 0)
      for i in range(epochs)))


def gated_phases(
    *, loss: LossTerm, penalty: LossTerm, epochs: int = 60, rate_factor: float = .92,
    decay_epochs: Sequence[int] = (), decay_factor: float = .1,
    moves: Sequence[str] = ('recognition',), frozen: Sequence[str] = (),
    initial_temperature: float = 1., temperature_factor: float = .982,
    final_temperature: float = .5) -> Plan:
  """One phase in which recognition and gates learn together (HMS, section 3.3).

  Args:
    loss: of recognition.
    penalty: of usage.
    epochs: passes over the training split; the paper does not say.
    rate_factor: multiplies every rate after each epoch (HMS: .92).
    decay_epochs: before these epochs (from 0), rates are multiplied by `decay_factor`
      (LiteEval: 40 and 80).
    decay_factor: see there.
    moves: variable groups: 'recognition', and 'encoders' to fine-tune them.
    frozen: groups that run in inference mode, whether or not they move: with 'encoders'
      their batch statistics stay.
    initial_temperature: of the Gumbel-softmax in the first epoch.
    temperature_factor: multiplies it after each epoch. LiteEval's code has
      max(.5, exp(-1e-4 * step)); .982 is that with the 178 steps of an epoch of FCVID
      at its batch of 256.
    final_temperature: it never goes below this.
  """
  _check_count('epochs', epochs)
  for name, value in (('rate_factor', rate_factor), ('decay_factor', decay_factor),
                      ('temperature_factor', temperature_factor)):
    if not 0 < value <= 1:
      raise ValueError(f'{name} is {value}; it must be above 0 and at most 1.')
  for name, value in (('initial_temperature', initial_temperature),
                      ('final_temperature', final_temperature)):
    if not value > 0:
      raise ValueError(f'{name} is {value}; it must be above 0, since gradients are '
                       'divided by the temperature.')
  phase = Phase(name='train', moves=tuple(moves), frozen=tuple(frozen), losses={
      _term_name(loss): loss, _term_name(penalty): penalty})
  return Plan(tuple(
      Epoch(phase=phase, stage='train', number=i, begins=i == 0,
            rate=rate_factor ** i * step_decay(i, decay_epochs, decay_factor),
            temperature=max(
                initial_temperature * temperature_factor ** i, final_temperature))
      for i in range(epochs)))


def adamml_phases(
    *, loss: LossTerm, penalty: LossTerm, warm_up_epochs: int = 5,
    alternating_epochs: int = 20, fine_tune_epochs: int = 10,
    decay_epochs: Sequence[int] = (10, 15), decay_factor: float = .1,
    lr_decay: str = 'paper', initial_temperature: float = 5.,
    temperature_factor: float = .965, final_temperature: float = .1,
    temperature_schedule: str = 'official', frozen_batch_statistics: str = 'frozen',
    start: str = 'best', fine_tune_rate: float = 1.) -> Plan:
  """AdaMML's three stages (Panda et al., section 4.1, and the authors' code).

  1. Warm-up: the recognition network moves, gates come from the untrained policy.
  2. Alternating: each epoch is one pass that moves the recognition network on `loss`
     and one that moves the policy on `loss` + `penalty`.
  3. Fine-tuning: the recognition network moves, the policy is fixed.

  Args:
    loss: of recognition, in every phase.
    penalty: of selection, when the policy moves.
    warm_up_epochs: of stage 1.
    alternating_epochs: of stage 2; each is two passes over the data.
    fine_tune_epochs: of stage 3.
    decay_epochs: epochs of stage 2 (from 0) before which both rates are multiplied by
      `decay_factor`.
    decay_factor: see there.
    lr_decay: 'paper' decays; 'official' never does, as happens in an uninterrupted
      run of the authors' code (its schedulers stay bound to optimisers that were
      replaced).
    initial_temperature: of the Gumbel-softmax.
    temperature_factor: per epoch of stage 2, for 'official'.
    final_temperature: at the end of stage 2, for 'paper'. No schedule goes below it,
      so initial temperatures and factors down to 0 may be tried (section 4.3).
    temperature_schedule: 'official' multiplies by `temperature_factor` each epoch (5
      becomes 2.45); 'paper' anneals geometrically to `final_temperature`, since the
      text says "a small non-zero value"; 'constant' stays. Held after stage 2.
    frozen_batch_statistics: whether a network that does not move runs in inference
      mode ('frozen', fixed as the text says), or in training mode ('update', where
      its batch statistics go on changing, as in the authors' code).
    start: stage 3 starts from the stage-2 checkpoint with the best validation top-1
      ('best'), or goes on from the 'last'.
    fine_tune_rate: multiplies the rate in stage 3.
  """
  counts = {'warm_up_epochs': warm_up_epochs, 'alternating_epochs': alternating_epochs,
            'fine_tune_epochs': fine_tune_epochs}
  for name, count in counts.items():
    _check_count(name, count)
  _check_choice('lr_decay', lr_decay, LR_DECAYS)
  _check_choice('temperature_schedule', temperature_schedule, TEMPERATURE_SCHEDULES)
  _check_choice(
      'frozen_batch_statistics', frozen_batch_statistics, BATCH_STATISTICS)
  _check_choice('start', start, STARTS)
  if not initial_temperature >= 0:
    raise ValueError(
        f'initial_temperature is {initial_temperature}; it must be 0 or more.')
  if not 0 <= temperature_factor <= 1:
    raise ValueError(
        f'temperature_factor is {temperature_factor}; it must be in [0, 1], since the '
        'temperature is annealed.')
  if not final_temperature > 0:
    raise ValueError(
        f'final_temperature is {final_temperature}; it must be above 0, since '
        'gradients are divided by the temperature.')
  fixed = frozen_batch_statistics == 'frozen'
  recognize = {_term_name(loss): loss}

  def phase(name, moves, rests, losses, validates=True):
    return Phase(name=name, moves=(moves,), losses=losses, validates=validates,
                 frozen=(rests,) if fixed else ())

  warm_up = phase('warm-up', 'recognition', 'policy', recognize)
  main = phase('alternating recognition', 'recognition', 'policy', recognize,
               validates=False)
  policy = phase('alternating policy', 'policy', 'recognition',
                 {**recognize, _term_name(penalty): penalty})
  fine_tune = phase('fine-tuning', 'recognition', 'policy', recognize)

  first_temperature = max(initial_temperature, final_temperature)

  def temperature(epochs_done):
    if temperature_schedule == 'constant' or not alternating_epochs:
      return first_temperature
    if temperature_schedule == 'official':
      annealed = initial_temperature * temperature_factor ** epochs_done
      return max(annealed, final_temperature)
    ratio = final_temperature / first_temperature
    return first_temperature * ratio ** (epochs_done / alternating_epochs)

  epochs = [
      Epoch(phase=warm_up, stage='warm-up', number=i, begins=i == 0,
            temperature=first_temperature) for i in range(warm_up_epochs)]
  for i in range(alternating_epochs):
    rate = step_decay(i, decay_epochs, decay_factor) if lr_decay == 'paper' else 1.
    epochs.extend(
        Epoch(phase=p, stage='alternating', number=i, rate=rate, begins=i == 0,
              temperature=temperature(i)) for p in (main, policy))
  use_best = start == 'best' and alternating_epochs > 0
  epochs.extend(
      Epoch(phase=fine_tune, stage='fine-tuning', number=i, rate=fine_tune_rate,
            temperature=temperature(alternating_epochs), begins=i == 0,
            starts_from_best='alternating' if use_best and i == 0 else None)
      for i in range(fine_tune_epochs))
  return Plan(tuple(epochs))


def _term_name(term: LossTerm) -> str:
  """CrossEntropy() -> 'cross_entropy'; the name under which a term is logged."""
  name = getattr(term, '__name__', type(term).__name__).strip('<>')
  return ''.join(
      f'_{c.lower()}' if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _check_count(name: str, value: int):
  if not isinstance(value, int) or value < 0:
    raise ValueError(f'{name} is {value!r}; it must be a whole number, 0 or more.')


def _check_choice(name: str, value: str, choices: Sequence[str]):
  if value not in choices:
    raise ValueError(f'{name} is {value!r}; it must be one of {tuple(choices)}.')
