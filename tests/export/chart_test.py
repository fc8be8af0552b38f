"""The text of a decision."""

import dataclasses

import numpy as np

from tfmm.export import chart
from tfmm.export import predictor


def test_describe():
  answer = predictor.Answer(
      labels=('a', 'b', 'c'), modalities=('rgb', 'audio'),
      probabilities=np.array([0.2, 0.7, 0.1], np.float32),
      gates=np.array([[1, 0], [0, 0], [1, 0]], np.float32),
      ran=np.array([[1, 0], [0, 0], [1, 0]], np.float32),
      present=np.array([[1, 1], [1, 1], [1, 0]], np.float32),
      segment_times=np.array([[0, 3.2], [3.4, 6.6], [6.8, 10]], np.float32),
      gflops=32.04, gflops_all_modalities=145.0)
  assert chart.describe('x.mp4', answer, top_k=2).splitlines() == [
      'x.mp4',
      '  0.700  b',
      '  0.200  a',
      '  from s   0.0  3.4  6.8',
      '  to s     3.2  6.6 10.0',
      '  rgb      #    .    #    2 of 3',
      '  audio    .    .         0 of 2',
      '  32 GFLOPs, against 145.0 with every modality everywhere (22 %)',
  ]
  silent = dataclasses.replace(answer, present=answer.present * [1, 0])
  assert chart.describe('x', silent).splitlines()[-2].endswith('not there')
