import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import fusion

B, S, M, C = 2, 3, 3, 4
WEIGHTED = ('average', 'weighted', 'class_weighted')


def numbers(seed=0):
  """Logits [B, S, M, C], multiplied by gates [B, S, M]; one segment is shut."""
  rng = np.random.default_rng(seed)
  gates = (rng.random([B, S, M]) > .4).astype(np.float32)
  gates[0, 0], gates[0, 1], gates[1, 2] = 0, 1, [0, 1, 0]
  logits = rng.normal(size=[B, S, M, C]).astype(np.float32) * gates[..., None]
  return logits, gates


def make(kind, modalities=M):
  return fusion.LogitFusion(kind, num_modalities=modalities, num_classes=C)


@pytest.mark.parametrize('kind', WEIGHTED)
def test_weights_start_equal_and_always_add_up_to_one(kind):
  layer = make(kind)
  weights = layer.weights_per_modality().numpy()
  assert weights.shape == ((M, C) if kind == 'class_weighted' else (M,))
  np.testing.assert_allclose(weights, np.full_like(weights, 1 / M), rtol=1e-6)
  for free in layer.trainable_variables:
    free.assign_add(tf.random.stateless_normal(free.shape, [1, 2]))
    weights = layer.weights_per_modality().numpy()
    np.testing.assert_array_equal(weights[:M - 1], free)
    np.testing.assert_allclose(weights.sum(0), np.ones_like(weights[0]), rtol=1e-5)


@pytest.mark.parametrize('kind, shapes', [
    ('average', []), ('weighted', [(M - 1,)]), ('class_weighted', [(M - 1, C)]),
    ('max', [])])
def test_what_is_learnt(kind, shapes):
  assert [tuple(v.shape) for v in make(kind).trainable_variables] == shapes


@pytest.mark.parametrize('kind', fusion.FUSIONS)
def test_one_modality_passes_unchanged(kind):
  layer = make(kind, modalities=1)
  logits, gates = (x[:, :, :1] for x in numbers())
  assert 0 < gates.mean() < 1
  np.testing.assert_allclose(layer(logits, gates), logits[:, :, 0], rtol=1e-6)
  assert not layer.trainable_variables


def test_weighted_in_numpy():
  logits, gates = numbers()
  layer = make('weighted')
  layer.free_weights.assign([.9, .4])
  expected = sum(w * logits[:, :, m] for m, w in enumerate([.9, .4, -.3]))
  np.testing.assert_allclose(layer(logits, gates), expected, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(
      make('average')(logits, gates), logits.mean(2), rtol=1e-4, atol=1e-6)


def test_class_weighted_in_numpy():
  logits, gates = numbers()
  layer = make('class_weighted')
  free = np.random.default_rng(1).normal(size=[M - 1, C])
  layer.free_weights.assign(free)
  expected = np.zeros([B, S, C])
  for c in range(C):
    weights = [*free[:, c], 1 - free[:, c].sum()]
    expected[..., c] = sum(w * logits[:, :, m, c] for m, w in enumerate(weights))
  np.testing.assert_allclose(layer(logits, gates), expected, rtol=1e-4, atol=1e-5)


def test_max_in_numpy_is_over_open_modalities_alone():
  logits, gates = numbers()
  logits -= 2 * gates[..., None]  # below the zeros of those that are closed
  fused = make('max')(logits, gates).numpy()
  for b in range(B):
    for s in range(S):
      open_ones = logits[b, s][gates[b, s] > 0]
      expected = open_ones.max(0) if len(open_ones) else np.zeros(C)
      np.testing.assert_array_equal(fused[b, s], expected)
  assert not fused[0, 0].any() and (fused[1, 2] < 0).any()


def test_max_moves_the_winner_alone():
  logits, gates = map(tf.constant, numbers())
  layer = make('max')
  with tf.GradientTape() as tape:
    tape.watch(logits)
    total = tf.reduce_sum(layer(logits, gates))
  gradient = tape.gradient(total, logits).numpy()
  is_open = gates.numpy().any(2)
  np.testing.assert_array_equal(gradient.sum(2), np.repeat(is_open[..., None], C, 2))
  assert set(np.unique(gradient)) == {0., 1.}
  assert not gradient[gates.numpy() == 0].any()


def test_max_has_no_weights():
  with pytest.raises(ValueError, match='no weights'):
    make('max').weights_per_modality()


@pytest.mark.parametrize('kind, options, message', [
    ('wieghted', {}, "fusion is 'wieghted'"),
    ('class_weighted', {}, 'num_classes is None'),
    ('class_weighted', {'num_classes': 0}, 'num_classes is 0')])
def test_bad_options_are_refused(kind, options, message):
  with pytest.raises(ValueError, match=message):
    fusion.LogitFusion(kind, num_modalities=2, **options)


def test_linear_layers_start_as_pytorchs():
  layer = fusion.linear(50, input_dim=16, name='linear')
  for values in (layer.kernel.numpy(), layer.bias.numpy()):
    assert .2 < np.abs(values).max() <= .25  # uniform in +-16 ** -0.5
    assert values.std() == pytest.approx(.25 / 3 ** .5, rel=.3)


def test_joint_layers_in_numpy():
  layers = fusion.joint_layers(5, input_dim=7)
  x = np.random.default_rng(0).normal(size=[6, 7]).astype(np.float32)
  joint, expected = x, x
  for layer in layers:
    joint = layer(joint)
    expected = np.maximum(expected @ layer.kernel.numpy() + layer.bias.numpy(), 0)
  assert joint.shape == (6, 5)
  np.testing.assert_allclose(joint, expected, rtol=1e-4, atol=1e-6)


def test_joint_layers_of_no_width_are_refused():
  with pytest.raises(ValueError, match='joint_dim is 0'):
    fusion.joint_layers(0, input_dim=7)
