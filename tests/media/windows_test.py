"""Tests of tfmm.media.windows: where windows lie, against the reader's own maths."""

import itertools

import numpy as np
import pytest

from tfmm.media import windows


def test_dense_spans_have_no_gap():
  spans = list(itertools.islice(windows.dense(7), 4))
  assert [(s.first, s.last) for s in spans] == [(0, 7), (7, 14), (14, 21), (21, 28)]
  assert not any(s.windows for s in spans)


@pytest.mark.parametrize('seed', range(20))
def test_every_window_lies_in_one_span_where_the_reader_would_look(seed):
  from tfmm.data import segments  # TensorFlow; the workers do without it
  rng = np.random.default_rng(seed)
  total, count = int(rng.integers(1, 400)), int(rng.integers(1, 12))
  window, margin = int(rng.integers(1, 40)), int(rng.integers(0, 15))
  clip = window + int(rng.integers(0, 200))
  spans = windows.spread(total, num_windows=count, window_frames=window,
                         margin_frames=margin, clip_frames=clip)
  window = min(window, total)
  found = [s.first + a for s in spans for a, _ in s.windows]
  np.testing.assert_array_equal(found, segments.window_starts(total, window, count))
  for span in spans:
    assert 0 <= span.first < span.last <= total
    assert span.last - span.first <= max(clip, window + 2 * margin)
    for a, b in span.windows:
      assert b - a + 1 == window
      first, last = span.first + a, span.first + b + 1
      assert first - span.first >= min(margin, first)
      assert span.last - last >= min(margin, total - last)
  for one, other in zip(spans, spans[1:]):
    assert one.first < other.first
