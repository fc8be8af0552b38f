"""Warm-up requests survive the file, bytes and all."""

import numpy as np
import pytest

from tfmm.export import warmup


def test_requests_read_back(tmp_path):
  image = np.array([[b'\xff\xd8 with a zero at the end\x00']], dtype=object)
  present = np.array([[1.0, 0.0]], np.float32)
  requests = [
      warmup.predict_request(
          {'image': image, 'present': present * k}, model_name='tfmm')
      for k in (1, 0)]
  path = warmup.write_warmup_requests(str(tmp_path), requests)
  assert path.endswith('assets.extra/tf_serving_warmup_requests')
  answer = warmup.read_warmup_requests(str(tmp_path))
  assert [name for name, _ in answer] == ['serving_default'] * 2
  np.testing.assert_array_equal(answer[0][1]['image'], image)
  np.testing.assert_array_equal(answer[1][1]['present'], present * 0)
  assert answer[0][1]['present'].dtype == np.float32


def test_arrays_that_lose_trailing_zeros_are_refused():
  with pytest.raises(ValueError, match="input 'image'.*dtype=object"):
    warmup.predict_request({'image': np.array([b'jpeg\x00'])}, model_name='tfmm')
