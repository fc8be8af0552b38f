"""AdaMML's decisions, fusion, loss and gradients against the same maths in PyTorch.

Backbones are single matrix products, so that all that is compared is what the paper
adds: the policy with and without its LSTM, straight-through gates, gated logits, the
ways to fuse, the mean over all segments and Eq. 4. Skipped without PyTorch.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import gated_encoder, gumbel
from tfmm.losses import efficiency, recognition
from tfmm.models import adamml, fusion

torch = pytest.importorskip('torch')
F = torch.nn.functional

VIDEOS, SEGMENTS, CLASSES, TEMPERATURE = 6, 4, 3, 5.
WEIGHTS = {'rgb': 1., 'audio': .05}
GAMMA = 10.


class Product(tf.keras.layers.Layer):
  """A backbone of one matrix: rows [N, 7] -> [N, feature_dim]."""

  def __init__(self, feature_dim):
    super().__init__()
    self.row_spec = tf.TensorSpec([7], tf.float32)
    self.feature_dim = feature_dim
    self.kernel = self.add_weight('kernel', [7, feature_dim], initializer='normal')

  def call(self, rows, training=False):
    return tf.matmul(rows, self.kernel)


def encoders():
  return {'rgb': gated_encoder.GatedEncoder(Product(6), view='look'),
          'audio': gated_encoder.GatedEncoder(Product(5), view='sound')}


def shaken(model):
  """The model with all its weights moved, also those that start at zero."""
  rng = np.random.default_rng(0)
  for variable in model.trainable_variables:
    variable.assign_add(rng.normal(scale=.3, size=variable.shape))
  return model


def make_model(*, lstm_units=5, feed_back_logits=True, **options):
  tf.keras.utils.set_random_seed(3)
  recognition_encoders = encoders()
  policy = functools.partial(
      adamml.Policy, joint_dim=8, lstm_units=lstm_units,
      feed_back_logits=feed_back_logits,
      encoders={'look': Product(4), 'sound': Product(3)})
  return shaken(adamml.AdaMML(
      encoders=recognition_encoders, policy=policy, num_classes=CLASSES, dropout=0.,
      initial_temperature=TEMPERATURE, **options))


def decide(look, sound, noise, w):
  """The released policy: [B, S, ...] views -> gates [B, S, 2], logits [B, S, 2, 2].

  With heads for one decision it is made once for both modalities.
  """
  joint = torch.cat([look @ w['look'], sound @ w['sound']], -1)
  joint = F.relu(F.relu(joint @ w['k0'] + w['b0']) @ w['k1'] + w['b1'])
  decisions = w['heads'].shape[1] // 2
  step = functools.partial(lstm_step, w=w) if 'input' in w else no_lstm_step
  logits, state = torch.zeros(VIDEOS, 2 * decisions), None
  gates, scores = [], []
  for t in range(SEGMENTS):
    hidden, state = step(joint[:, t], logits, state)
    # One head of (skip, run) per decision, next to each other.
    logits = hidden @ w['heads'] + w['heads_bias']
    pairs = logits.view(VIDEOS, decisions, 2)
    noisy = (pairs + noise[:, t]) / TEMPERATURE
    soft = noisy.softmax(-1)
    hard = F.one_hot(noisy.argmax(-1), 2).float()
    gates.append((hard - soft.detach() + soft)[..., -1].expand(VIDEOS, 2))
    scores.append(pairs.expand(VIDEOS, 2, 2))
  return torch.stack(gates, 1), torch.stack(scores, 1)


def no_lstm_step(joint, logits, state):
  del logits
  return joint, state


def lstm_step(joint, logits, state, w):
  """One LSTMCell of (joint features, previous logits if they are fed back)."""
  x, weight_ih = joint, w['input']
  if 'feedback' in w:
    x = torch.cat([joint, logits], -1)
    weight_ih = torch.cat([w['input'], w['feedback']])
  cell = torch.nn.LSTMCell(x.shape[-1], w['recurrent'].shape[0])
  state = torch.func.functional_call(cell, {
      'weight_ih': weight_ih.T, 'weight_hh': w['recurrent'].T, 'bias_ih': w['bias'],
      'bias_hh': torch.zeros_like(w['bias'])}, (x, state))
  return state[0], state


def recognize(look, sound, gates, w, kind='weighted'):
  rgb = (look @ w['rgb'] @ w['rgb_fc'] + w['rgb_bias']) * gates[..., :1]
  audio = (sound @ w['audio'] @ w['audio_fc'] + w['audio_bias']) * gates[..., 1:]
  if kind == 'max':
    is_open = gates > 0
    both = torch.stack([rgb, audio], 2).masked_fill(~is_open[..., None], -torch.inf)
    fused = both.amax(2).where(is_open.any(-1, keepdim=True), torch.tensor(0.))
  elif kind == 'average':
    fused = (rgb + audio) / 2
  else:  # [1] or [1, C]: what the first modality has, the second one lacks
    fused = rgb * w['free'] + audio * (1 - w['free'])
  return fused.mean(1)


def penalty(gates, logits, label, kind='squared', place='official'):
  """`compute_policy_loss` of the authors' utils.py; Eq. 4 as printed for 'paper'."""
  correct = (logits.detach().argmax(-1) == label).float()
  used = gates.mean(1)
  if kind == 'mean':
    return sum(weight * used[:, m].mean() for m, weight in enumerate(WEIGHTS.values()))
  wrong = (1 - correct) * GAMMA
  if place == 'paper':
    return sum(weight * (correct * used[:, m] ** 2 + wrong).mean()
               for m, weight in enumerate(WEIGHTS.values()))
  return wrong.mean() + sum(weight * (correct * used[:, m] ** 2).mean()
                            for m, weight in enumerate(WEIGHTS.values()))


def of_recognition(model):
  names = {m: model.encoders[m].backbone.kernel for m in WEIGHTS}
  if isinstance(model, fusion.FeatureFusion):
    return names | of_layers(model.joint) | {
        'fc': model.classifier.kernel, 'bias': model.classifier.bias}
  for m, classifier in model.classifiers.items():
    names |= {f'{m}_fc': classifier.kernel, f'{m}_bias': classifier.bias}
  if model.fusion.free_weights is not None:
    names['free'] = model.fusion.free_weights
  return names


def of_layers(layers):
  return {f'{letter}{i}': v for i, layer in enumerate(layers)
          for letter, v in (('k', layer.kernel), ('b', layer.bias))}


def of_policy(policy):
  names = of_layers(policy.joint) | {
      'look': policy.encoders['look'].kernel, 'sound': policy.encoders['sound'].kernel,
      'heads': policy.heads.kernel, 'heads_bias': policy.heads.bias}
  if policy.cell is not None:
    names |= {'input': policy.cell.kernel, 'recurrent': policy.cell.recurrent_kernel,
              'bias': policy.cell.bias}
    if policy.cell.feedback_kernel is not None:
      names['feedback'] = policy.cell.feedback_kernel
  return names


def in_torch(variables):
  return {k: torch.tensor(v.numpy(), requires_grad=True) for k, v in variables.items()}


def data():
  """look, sound [B, S, 7], label [B] and a batch of them."""
  rng = np.random.default_rng(1)
  look, sound = rng.normal(size=(2, VIDEOS, SEGMENTS, 7)).astype(np.float32)
  label = rng.integers(0, CLASSES, VIDEOS)
  batch = {'look': look, 'sound': sound, 'label': tf.constant(label, tf.int32),
           'present': tf.ones([VIDEOS, SEGMENTS, 2])}
  batch = {k: tf.convert_to_tensor(v) for k, v in batch.items()}
  return rng, batch, *map(torch.from_numpy, (look, sound, label))


def assert_same_gradients(gradients, w):
  for name, gradient in gradients.items():
    np.testing.assert_allclose(
        gradient, w[name].grad, rtol=1e-3, atol=1e-5, err_msg=name)
    assert np.abs(gradient).max() > 1e-4, name


@pytest.mark.parametrize('options, losses', [
    ({}, {}),
    ({'feed_back_logits': False, 'fusion': 'average'}, {'kind': 'mean'}),
    ({'lstm_units': None}, {'place': 'paper'}),
    ({'decisions': 'joint', 'fusion': 'class_weighted'}, {}),
    ({'decisions': 'joint', 'lstm_units': None, 'fusion': 'max'}, {'kind': 'mean'}),
    ({'fusion': 'max'}, {'place': 'paper'}),
], ids=str)
def test_gates_logits_loss_and_gradients(options, losses, monkeypatch):
  model = make_model(**options)
  rng, batch, look, sound, label = data()
  noise = rng.gumbel(size=(VIDEOS, SEGMENTS, model.num_decisions, 2)).astype(np.float32)
  monkeypatch.setattr(gumbel, 'gumbel_noise', lambda shape, seed: tf.constant(noise))
  variables = of_policy(model.policy) | of_recognition(model)
  assert len(variables) == len(model.trainable_variables)
  cost = efficiency.SelectionPenalty(
      weights=WEIGHTS, wrong_penalty=GAMMA,
      penalty_type=losses.get('kind', 'squared'),
      wrong_penalty_place=losses.get('place', 'official'))
  with tf.GradientTape() as tape:
    said = model(batch, training=True, seed=tf.constant([0, 0], tf.int64))
    loss = tf.reduce_mean(recognition.CrossEntropy()(batch, said) + cost(batch, said))
  gradients = tape.gradient(loss, variables)

  w = in_torch(variables)
  gates, scores = decide(look, sound, torch.from_numpy(noise), w)
  logits = recognize(look, sound, gates, w, options.get('fusion', 'weighted'))
  expected = F.cross_entropy(logits, label) + penalty(gates, logits, label, **losses)
  expected.backward()

  correct = logits.argmax(-1) == label
  assert correct.any() and not correct.all()  # both branches of Eq. 4
  assert 0 < gates.mean() < 1
  np.testing.assert_array_equal(said.ran, gates.detach().round())
  np.testing.assert_allclose(
      said.extras['gate_logits'], scores.detach(), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(said.logits, logits.detach(), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(loss, expected.detach(), rtol=1e-5)
  assert_same_gradients(gradients, w)


@pytest.mark.parametrize('kind', ['average', 'class_weighted', 'max', 'features'])
def test_fusion_of_what_is_always_there(kind):
  tf.keras.utils.set_random_seed(3)
  options = {'encoders': encoders(), 'num_classes': CLASSES, 'dropout': 0.}
  model = shaken(fusion.FeatureFusion(joint_dim=8, **options) if kind == 'features'
                 else fusion.LateFusion(fusion=kind, **options))
  _, batch, look, sound, label = data()
  variables = of_recognition(model)
  assert len(variables) == len(model.trainable_variables)
  with tf.GradientTape() as tape:
    said = model(batch, training=True, seed=tf.constant([0, 0], tf.int64))
    loss = tf.reduce_mean(recognition.CrossEntropy()(batch, said))
  gradients = tape.gradient(loss, variables)

  w = in_torch(variables)
  if kind == 'features':  # fusion_point other than 'logits' in the authors' code
    joint = torch.cat([look @ w['rgb'], sound @ w['audio']], -1)
    joint = F.relu(F.relu(joint @ w['k0'] + w['b0']) @ w['k1'] + w['b1'])
    logits = (joint @ w['fc'] + w['bias']).mean(1)
  else:
    logits = recognize(look, sound, torch.ones(VIDEOS, SEGMENTS, 2), w, kind)
  F.cross_entropy(logits, label).backward()
  np.testing.assert_allclose(said.logits, logits.detach(), rtol=1e-4, atol=1e-5)
  assert_same_gradients(gradients, w)
