"""Every test starts from the same random state, whatever ran before it."""

import random
import sys

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def same_random_state():
  random.seed(0)
  np.random.seed(0)
  if 'tensorflow' in sys.modules:  # not imported for tests that do without it
    sys.modules['tensorflow'].keras.utils.set_random_seed(0)
