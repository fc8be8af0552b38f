"""Short sounds, for tests."""

import numpy as np
import scipy.signal


def varied(samples, rate, seed=0):
  """Chirp, tone, noise and a silent stretch.

  Args:
    samples: how many.
    rate: hertz.
    seed: of the noise.

  Returns:
    float32 [samples].
  """
  t = np.arange(samples) / rate
  x = .3 * scipy.signal.chirp(t, 50, t[-1], rate * .45) + .2 * np.sin(900 * t)
  x += np.random.default_rng(seed).normal(0, .02, samples)
  x[samples // 3:samples // 2] = 0
  return x.astype(np.float32)
