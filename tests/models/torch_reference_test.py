"""AdaMML's decisions, fusion, loss and gradients against the same maths in PyTorch.

Backbones are single matrix products, so that all that is compared is what the paper
adds: the policy's LSTM with fed-back logits, straight-through gates, gated logits,
learnt fusion, the mean over all segments and Eq. 4. Skipped without PyTorch.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfmm.layers import gated_encoder, gumbel
from tfmm.losses import efficiency, recognition
from tfmm.models import adamml

torch = pytest.importorskip('torch')
F = torch.nn.functional

VIDEOS, SEGMENTS, CLASSES, TEMPERATURE = 6, 4, 3, 5.
WEIGHTS = {'rgb': 1., 'audio': .05}


class Product(tf.keras.layers.Layer):
  """A backbone of one matrix: rows [N, 7] -> [N, feature_dim]."""

  def __init__(self, feature_dim):
    super().__init__()
    self.row_spec = tf.TensorSpec([7], tf.float32)
    self.feature_dim = feature_dim
    self.kernel = self.add_weight('kernel', [7, feature_dim], initializer='normal')

  def call(self, rows, training=False):
    return tf.matmul(rows, self.kernel)


def make_model():
  tf.keras.utils.set_random_seed(3)
  encoders = {'rgb': gated_encoder.GatedEncoder(Product(6), view='look'),
              'audio': gated_encoder.GatedEncoder(Product(5), view='sound')}
  policy = functools.partial(
      adamml.Policy, joint_dim=8, lstm_units=5,
      encoders={'look': Product(4), 'sound': Product(3)})
  model = adamml.AdaMML(
      encoders=encoders, policy=policy, num_classes=CLASSES, dropout=0.,
      initial_temperature=TEMPERATURE)
  rng = np.random.default_rng(0)
  for variable in model.trainable_variables:  # also what starts at zero
    variable.assign_add(rng.normal(scale=.3, size=variable.shape))
  return model


def decide(look, sound, noise, w):
  """The released policy: [B, S, ...] views -> gates [B, S, 2], logits [B, S, 2, 2]."""
  joint = torch.cat([look @ w['look'], sound @ w['sound']], -1)
  joint = F.relu(F.relu(joint @ w['k0'] + w['b0']) @ w['k1'] + w['b1'])
  cell = torch.nn.LSTMCell(joint.shape[-1] + 4, w['recurrent'].shape[0])
  numbers = {'weight_ih': torch.cat([w['input'], w['feedback']]).T,
             'weight_hh': w['recurrent'].T, 'bias_ih': w['bias'],
             'bias_hh': torch.zeros_like(w['bias'])}
  logits, state = torch.zeros(VIDEOS, 4), None
  gates, scores = [], []
  for t in range(SEGMENTS):
    x = torch.cat([joint[:, t], logits], -1)
    state = torch.func.functional_call(cell, numbers, (x, state))
    # One head of (skip, run) per modality, next to each other.
    logits = state[0] @ w['heads'] + w['heads_bias']
    pairs = logits.view(VIDEOS, 2, 2)
    noisy = (pairs + noise[:, t]) / TEMPERATURE
    soft = noisy.softmax(-1)
    hard = F.one_hot(noisy.argmax(-1), 2).float()
    gates.append((hard - soft.detach() + soft)[..., -1])
    scores.append(pairs)
  return torch.stack(gates, 1), torch.stack(scores, 1)


def recognize(look, sound, gates, w):
  rgb = (look @ w['rgb'] @ w['rgb_fc'] + w['rgb_bias']) * gates[..., :1]
  audio = (sound @ w['audio'] @ w['audio_fc'] + w['audio_bias']) * gates[..., 1:]
  fused = rgb * w['free'] + audio * (1 - w['free'])
  return fused.mean(1)


def penalty(gates, logits, label):
  """`compute_policy_loss(penalty_type='blockdrop')` of the authors' utils.py."""
  correct = (logits.detach().argmax(-1) == label).float()
  used = gates.mean(1) ** 2
  loss = sum(weight * (correct * used[:, m]).mean()
             for m, weight in enumerate(WEIGHTS.values()))
  return loss + ((1 - correct) * 10.).mean()


def named(model):
  """{name in the functions above: variable}."""
  policy = model.policy
  names = {'look': policy.encoders['look'].kernel,
           'sound': policy.encoders['sound'].kernel,
           'input': policy.cell.kernel, 'recurrent': policy.cell.recurrent_kernel,
           'bias': policy.cell.bias, 'feedback': policy.cell.feedback_kernel,
           'heads': policy.heads.kernel, 'heads_bias': policy.heads.bias,
           'free': model.fusion.free_weights}
  for i, layer in enumerate(policy.joint):
    names |= {f'k{i}': layer.kernel, f'b{i}': layer.bias}
  for m in WEIGHTS:
    names |= {m: model.encoders[m].backbone.kernel,
              f'{m}_fc': model.classifiers[m].kernel,
              f'{m}_bias': model.classifiers[m].bias}
  return names


def test_gates_logits_loss_and_gradients(monkeypatch):
  model = make_model()
  rng = np.random.default_rng(1)
  look, sound = rng.normal(size=(2, VIDEOS, SEGMENTS, 7)).astype(np.float32)
  label = rng.integers(0, CLASSES, VIDEOS)
  noise = rng.gumbel(size=(VIDEOS, SEGMENTS, 2, 2)).astype(np.float32)
  monkeypatch.setattr(gumbel, 'gumbel_noise', lambda shape, seed: tf.constant(noise))
  batch = {'look': look, 'sound': sound, 'label': tf.constant(label, tf.int32),
           'present': tf.ones([VIDEOS, SEGMENTS, 2])}
  batch = {k: tf.convert_to_tensor(v) for k, v in batch.items()}
  variables = named(model)
  assert len(variables) == len(model.trainable_variables)
  cost = efficiency.SelectionPenalty(weights=WEIGHTS)
  with tf.GradientTape() as tape:
    said = model(batch, training=True, seed=tf.constant([0, 0], tf.int64))
    loss = tf.reduce_mean(recognition.CrossEntropy()(batch, said) + cost(batch, said))
  gradients = tape.gradient(loss, variables)

  w = {k: torch.tensor(v.numpy(), requires_grad=True) for k, v in variables.items()}
  look, sound, label, noise = map(torch.from_numpy, (look, sound, label, noise))
  gates, scores = decide(look, sound, noise, w)
  logits = recognize(look, sound, gates, w)
  expected = F.cross_entropy(logits, label) + penalty(gates, logits, label)
  expected.backward()

  correct = logits.argmax(-1) == label
  assert correct.any() and not correct.all()  # both branches of Eq. 4
  assert 0 < gates.mean() < 1
  np.testing.assert_array_equal(said.ran, gates.detach().round())
  np.testing.assert_allclose(
      said.extras['gate_logits'], scores.detach(), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(said.logits, logits.detach(), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(loss, expected.detach(), rtol=1e-5)
  for name, gradient in gradients.items():
    np.testing.assert_allclose(
        gradient, w[name].grad, rtol=1e-3, atol=1e-5, err_msg=name)
    assert np.abs(gradient).max() > 1e-4, name
