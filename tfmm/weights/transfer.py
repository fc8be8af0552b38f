"""Arrays with other programs' names, put into variables; nothing may be left over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf


def as_is(array: np.ndarray) -> np.ndarray:
  return array


def linear(array: np.ndarray) -> np.ndarray:
  """[outputs, inputs] -> [inputs, outputs]."""
  return array.T


def convolution(array: np.ndarray) -> np.ndarray:
  """[out, in, height, width] -> [height, width, in, out]."""
  return array.transpose(2, 3, 1, 0)


def depthwise(array: np.ndarray) -> np.ndarray:
  """[channels, 1, height, width] -> [height, width, channels, 1]."""
  return array.transpose(2, 3, 0, 1)


class Transfer:
  """Moves arrays into variables and keeps account of both.

  Args:
    arrays: {name: array}.
    source: where they are from, for messages.
    mean_filter: whether a first convolution over 3 channels may go into one over
      another number of them: each channel gets the mean of the three filters, as
      AdaMML's authors start flow, RGB differences and sound from ImageNet's weights.
  """

  def __init__(self, arrays: Mapping[str, np.ndarray], source: str, *,
               mean_filter: bool = False):
    self._arrays = arrays
    self._source = source
    self._mean_filter = mean_filter
    self._taken: set[str] = set()
    self._filled: set = set()

  @property
  def names(self) -> tuple[str, ...]:
    """Of all arrays."""
    return tuple(self._arrays)

  @property
  def source(self) -> str:
    return self._source

  def shape(self, name: str) -> tuple[int, ...]:
    """Shape of an array, which does not count as taken."""
    return self._array(name).shape

  def take(self, name: str) -> np.ndarray:
    """An array that the caller puts to use."""
    array = self._array(name)
    self._taken.add(name)
    return array

  def put(self, value: np.ndarray, variable: tf.Variable, name: str):
    """Assigns a value; `name` is where it came from.

    Raises:
      ValueError: the shapes differ.
    """
    if tuple(value.shape) != tuple(variable.shape):
      raise ValueError(
          f'{self._source}: {name} is for a variable of shape {tuple(value.shape)} and '
          f'the recipe has {tuple(variable.shape)}; make sizes, depth and channels of '
          'the recipe those of the file.')
    variable.assign(np.ascontiguousarray(value, variable.dtype.as_numpy_dtype))
    self._filled.add(variable.ref())

  def copy(self, name: str, variable: tf.Variable, layout: Callable = as_is):
    """Takes an array, brings its axes in order and puts it."""
    self.put(layout(self.take(name)), variable, name)

  def copy_stem(self, name: str, variable: tf.Variable):
    """Copies a network's first convolution; see `mean_filter`."""
    kernel = convolution(self.take(name))  # [height, width, in, out]
    channels = variable.shape[2]
    if self._mean_filter and kernel.shape[2] == 3 and channels != 3:
      mean = kernel.astype(np.float32).mean(axis=2, keepdims=True)
      kernel = np.repeat(mean, channels, axis=2)
    self.put(kernel, variable, name)

  def finish(self, variables: Iterable[tf.Variable], *,
             unused: Callable[[str], bool] = lambda name: False):
    """Checks that every variable got a value and every array was taken.

    Args:
      variables: that should have been filled.
      unused: names for which it is true may be left over.

    Raises:
      ValueError: naming the first that was not.
    """
    for variable in variables:
      if variable.ref() not in self._filled:
        raise ValueError(
            f'{self._source} has nothing for {variable.name} of the recipe\'s model.')
    for name in self._arrays:
      if name not in self._taken and not unused(name):
        raise ValueError(
            f'{self._source} holds {name}, which the recipe\'s model has no place for.')

  def _array(self, name: str) -> np.ndarray:
    if name not in self._arrays:
      raise ValueError(
          f'{self._source} has no {name}, which the recipe\'s model needs.')
    return self._arrays[name]
