"""HMS: the laws, the equations in NumPy, budgets, and one step at a time."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_models
from tests.models import conformance, quick_models
from tfmm.encoders import cached
from tfmm.layers import gated_encoder
from tfmm.metrics import compute
from tfmm.models import base, hms

DIMS = {'audio': 6, 'rgb': 7, 'motion': 9}
PRICES = {'audio': .07, 'rgb': .99, 'motion': 65.7}  # section 4.1.3
LEVELS = tuple(
    hms.LevelSpec(reads=name, projection_dim=size, units=units)
    for name, size, units in (('audio', 4, 3), ('rgb', 5, 5), ('motion', 6, 8)))


def on_features(names=('audio', 'rgb', 'motion'), seed=5, prices=PRICES, **options):
  """HMS on extracted features; its gates are open about half of the time."""
  if seed is not None:
    tf.keras.utils.set_random_seed(seed)
  model = hms.HMS(
      encoders={m: gated_encoder.GatedEncoder(
          cached.CachedFeatures(feature_dim=DIMS[m], gflops_per_row=prices[m]), view=m)
                for m in names},
      num_classes=4, levels=[s for s in LEVELS if s.reads in names], **options)
  for level in model.levels[1:]:
    level.gate.kernel.assign(level.gate.kernel * 8.)
    level.gate.bias.assign([0., 2.])
  return model


def features(videos=6, steps=7, names=('audio', 'rgb', 'motion'), seed=0):
  rng = np.random.default_rng(seed)
  batch = {m: tf.constant(rng.normal(size=[videos, steps, DIMS[m]]), tf.float32)
           for m in names}
  return {**batch, 'present': tf.ones([videos, steps, len(names)])}


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def numpy_lstm(cell, x, h, c):
  z = x @ cell.kernel.numpy() + h @ cell.recurrent_kernel.numpy() + cell.bias.numpy()
  i, f, g, o = np.split(z, 4)
  c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
  return sigmoid(o) * np.tanh(c), c


def numpy_hms(model, batch, video):
  """Equations 3 to 7 and "Fusing hidden states", one video; gates by the larger score.

  Returns logits [C] and gates [S, 3] in the order of the levels.
  """
  states = [(np.zeros(s.units), np.zeros(s.units)) for s in LEVELS]
  opened = []
  for t in range(batch['audio'].shape[1]):
    seen, row = [], []
    for k, (spec, level) in enumerate(zip(LEVELS, model.levels)):
      h, c = states[k]
      gate = True
      if k:
        score = np.concatenate([*seen, h, c]) @ level.gate.kernel.numpy()
        score += level.gate.bias.numpy()
        gate = score[1] > score[0] and (row[-1] or model.above_closed == 'zeros')
      x = np.zeros(spec.projection_dim)
      if gate:
        x = batch[spec.reads][video, t].numpy() @ level.projection.kernel.numpy()
        x += level.projection.bias.numpy()
        states[k] = numpy_lstm(level.cell, np.concatenate([*seen, x]), h, c)
      else:
        h_below, c_below = states[k - 1]
        states[k] = (np.concatenate([h_below, h[len(h_below):]]),
                     np.concatenate([c_below, c[len(c_below):]])
                     if model.copies == 'hidden_and_cell' else c)
      seen.append(x)
      row.append(bool(gate))
    opened.append(row)
  logits = states[-1][0] @ model.classifier.kernel.numpy()
  return logits + model.classifier.bias.numpy(), np.array(opened)


def in_level_order(gates, model):
  return tf.gather(gates, [model.modalities.index(s.reads) for s in LEVELS], axis=-1)


@pytest.mark.parametrize('options', [
    {}, {'copies': 'hidden'}, {'above_closed': 'zeros'}], ids=str)
def test_equations(options):
  model, batch = on_features(**options), features()
  for mode in ('mask', 'gather'):
    model.skip = mode
    result = model(batch)
    gates = in_level_order(result.gates, model).numpy()
    for video in range(6):
      logits, opened = numpy_hms(model, batch, video)
      np.testing.assert_array_equal(gates[video], opened)
      np.testing.assert_allclose(result.logits[video], logits, rtol=1e-4, atol=1e-5)
  assert .2 < gates[..., 1].mean() < .8 and .05 < gates[..., 2].mean() < .8
  above_closed = (gates[..., 2] > gates[..., 1]).any()
  assert above_closed == (options.get('above_closed') == 'zeros')


def preview_model(**options):
  """Two levels as in LiteEval: small pictures always, large ones if need be."""
  preview = quick_models.encoders()['audio'].backbone
  return hms.HMS(
      encoders=quick_models.encoders(('rgb',)), num_classes=quick_models.CLASSES,
      previews={'spectrogram': preview}, projection='mlp', levels=(
          hms.LevelSpec(reads='spectrogram', projection_dim=4, units=3),
          hms.LevelSpec(reads='rgb', projection_dim=4, units=5)), **options)


@pytest.mark.parametrize('make_model', [
    quick_models.hms, preview_model,
    # No graph holds what the features have cost.
    lambda: on_features(seed=None, prices=dict.fromkeys(DIMS, 0.))])
def test_conforms(make_model, tmp_path):
  conformance.check_model(make_model, tmp_path)


def test_sampled_gates_conform(tmp_path):
  conformance.check_model(
      lambda: quick_models.hms(test_gate='sample'), tmp_path, seed=tiny_models.SEED)


def test_one_step_at_a_time():
  """Online use: state in, state out; and what is not bought need not be known."""
  model, batch = on_features(), features()
  model.skip = 'gather'
  for budget in (None, tf.constant([9., 70., 80., 130., 1e9, float('inf')])):
    limit = {} if budget is None else {base.BUDGET: budget}
    whole = model({**batch, **limit})
    state = model.initial_state(6, budget)
    gates = []
    for t in range(7):
      rows = {m: batch[m][:, t] for m in DIMS}
      answered = model.answer(state)
      before = state
      state, gate = model.step({**rows, **limit}, batch['present'][:, t], before)
      unread = {m: tf.where(gate[:, model.modalities.index(m), tf.newaxis] > 0,
                            rows[m], float('nan')) for m in DIMS}
      again, _ = model.step({**unread, **limit}, batch['present'][:, t], before)
      tf.nest.map_structure(np.testing.assert_array_equal, again, state)
      assert answered.shape == [6, 4]
      gates.append(gate)
    np.testing.assert_array_equal(tf.stack(gates, 1), whole.gates)
    np.testing.assert_allclose(model.answer(state), whole.logits, rtol=1e-5, atol=1e-6)


def spent(model, result):
  awake = result.extras['awake'].numpy()[..., np.newaxis]
  return compute.video_gflops(
      result.ran.numpy(), awake, model.segment_cost(), model.modalities, 'total')


@pytest.mark.parametrize('mode', ['mask', 'gather', 'graph'])
def test_budget_is_never_exceeded(mode):
  model = on_features()
  videos = 40
  batch = features(videos)
  model.skip = 'mask' if mode == 'mask' else 'gather'
  call = tf.function(model) if mode == 'graph' else model
  free = model(batch)
  everything = spent(model, free)
  budgets = np.linspace(.08, everything.max() + 1, videos).astype('float32')
  result = call({**batch, base.BUDGET: tf.constant(budgets)})
  ran, awake = result.ran.numpy(), result.extras['awake'].numpy()
  assert (spent(model, result) <= budgets).all()
  ended = everything > budgets
  assert ended.any() and not ended.all()
  same = np.flatnonzero(~ended)
  np.testing.assert_allclose(
      result.logits.numpy()[same], free.logits.numpy()[same], rtol=1e-5, atol=1e-6)
  # Up to its end a video is spent on as if there were no limit; then nothing is.
  for video in np.flatnonzero(ended):
    last = int(awake[video].sum())  # first step that was not begun
    np.testing.assert_array_equal(
        ran[video, :last - 1], free.ran.numpy()[video, :last - 1])
    assert (ran[video, :last] <= free.ran.numpy()[video, :last]).all()
    assert not ran[video, last:].any() and not awake[video, last:].any()


def test_a_budget_ends_where_the_next_purchase_does_not_fit():
  """One video by hand: prices are whole multiply-adds, and an exact sum fits."""
  model, batch = on_features(), features(1, 3)
  for level in model.levels[1:]:
    level.gate.kernel.assign(tf.zeros_like(level.gate.kernel))
    level.gate.bias.assign([0., 1.])  # always wanted
  prices = model.prices()
  step = prices.step + prices.modality('audio')
  levels = [step, prices.modality('rgb'), prices.modality('motion')]
  total = prices.answer
  for number, price in enumerate(levels * 3):
    total += price
    for more, bought in ((0, number + 1), (-1000, number)):  # float32 has 24 bits
      budget = np.nextafter(np.float32(total / 1e9), np.float32(9e9)) if not more else (
          np.float32((total - max(1000, total * 1e-6)) / 1e9))
      ran = model({**batch, base.BUDGET: tf.constant([budget])}).ran.numpy()
      assert ran.sum() == bought, (number, more)


def test_an_unread_budget_is_an_error_of_type():
  model, batch = on_features(), features()
  with pytest.raises(ValueError, match='budget_gflops'):
    model({**batch, base.BUDGET: tf.ones([6, 2])})


@pytest.mark.parametrize('change, words', [
    ({'levels': LEVELS[:1]}, '2 levels or more'),
    ({'levels': LEVELS[:2]}, 'each is read by one level'),
    ({'levels': [*LEVELS, LEVELS[2]]}, 'each is read by one level'),
    ({'levels': LEVELS[::-1]}, 'must have more'),
    ({'copies': 'all'}, "copies is 'all'"),
    ({'above_closed': 'open'}, "above_closed is 'open'"),
    ({'projection': 'deep'}, "projection is 'deep'"),
    ({'test_gate': 'random'}, "test_gate is 'random'"),
    ({'initial_temperature': 0.}, 'must be above 0'),
], ids=lambda value: value if isinstance(value, str) else '')
def test_mistakes(change, words):
  with pytest.raises(ValueError, match=words):
    quick = {m: gated_encoder.GatedEncoder(
        cached.CachedFeatures(feature_dim=d, gflops_per_row=1.), view=m)
             for m, d in DIMS.items()}
    hms.HMS(encoders=quick, num_classes=4, **{'levels': LEVELS, **change})
  with pytest.raises(ValueError, match='units'):
    hms.LevelSpec(reads='rgb', projection_dim=4, units=0)


def test_sampling_needs_a_seed():
  with pytest.raises(ValueError, match='needs seed'):
    on_features(test_gate='sample')(features())
