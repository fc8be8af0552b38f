import numpy as np
import pytest
import tensorflow as tf

from tfmm.losses import recognition
from tfmm.models import base

LOGITS = np.array([[2., -1., .5], [0., 3., 1.]])


def said(logits=LOGITS):
  gates = tf.ones([len(logits), 1, 1])
  return base.Recognition(tf.constant(logits, tf.float32), gates, gates, {})


def log_softmax(x):
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_cross_entropy_of_indices_in_numpy():
  loss = recognition.CrossEntropy()({'label': tf.constant([0, 2])}, said())
  np.testing.assert_allclose(loss, -log_softmax(LOGITS)[[0, 1], [0, 2]], rtol=1e-5)


def test_several_labels_share_the_target():
  label = tf.constant([[1., 0., 1.], [0., 1., 0.]])
  loss = recognition.CrossEntropy()({'label': label}, said())
  log_p = log_softmax(LOGITS)
  np.testing.assert_allclose(
      loss, [-.5 * (log_p[0, 0] + log_p[0, 2]), -log_p[1, 1]], rtol=1e-5)


def test_label_smoothing_in_numpy():
  loss = recognition.CrossEntropy(label_smoothing=.3)({'label': tf.constant([0, 2])},
                                                      said())
  target = .7 * np.eye(3)[[0, 2]] + .1
  np.testing.assert_allclose(loss, -(target * log_softmax(LOGITS)).sum(1), rtol=1e-5)


def test_is_correct_for_both_kinds_of_label():
  np.testing.assert_array_equal(
      recognition.is_correct({'label': tf.constant([0, 2])}, said()), [1, 0])
  multi = tf.constant([[0., 1., 1.], [1., 1., 0.]])
  np.testing.assert_array_equal(
      recognition.is_correct({'label': multi}, said()), [0, 1])


def test_bad_smoothing_is_refused():
  with pytest.raises(ValueError, match='1.5'):
    recognition.CrossEntropy(label_smoothing=1.5)
