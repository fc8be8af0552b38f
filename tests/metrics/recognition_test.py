import numpy as np

from tfmm.metrics import recognition


def test_top_k_by_hand():
  scores = np.array([[.1, .5, .4], [.6, .3, .1], [.2, .2, .6]])
  labels = np.array([2, 0, 0])
  assert recognition.top_k(scores, labels, 1) == 1 / 3
  assert recognition.top_k(scores, labels, 2) == 1.  # a tie goes to the lower index
  assert recognition.top_k(scores, labels, 5) == 1.


def test_top_k_counts_any_of_several_labels():
  scores = np.array([[.1, .5, .4], [.6, .3, .1]])
  assert recognition.top_k(scores, np.array([[0, 1, 1], [0, 1, 1]]), 1) == .5


def test_mean_average_precision_by_hand():
  scores = np.array([[.9, .0], [.8, .1], [.7, .9], [.1, .8]])
  labels = np.array([0, 1, 0, 1])
  # class 0 ranks its videos 1st and 3rd, class 1 ranks its own 2nd and 3rd
  first = (1 / 1 + 2 / 3) / 2
  second = (1 / 2 + 2 / 3) / 2
  np.testing.assert_allclose(
      recognition.mean_average_precision(scores, labels), (first + second) / 2)


def test_classes_that_do_not_occur_are_left_out():
  scores = np.array([[.9, .1, .0], [.2, .8, .0]])
  assert recognition.mean_average_precision(scores, np.array([0, 1])) == 1.
