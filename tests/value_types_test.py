from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import pytest

from tfmm import value_types


@dataclasses.dataclass
class Part:
  size: int = 3
  names: tuple[str, ...] = ()


def build(*, count: int, rate: float, part: Part, make: Callable[..., Part],
          parts: Mapping[str, Part], places: Sequence[str] = (),
          limit: int | None = None, kind='plain', depth=18, fast=False, free=None):
  """Something to configure."""


def say(parameter, value, function=build):
  return value_types.complaint(function, parameter, value)


def ref(called=True, target=Part):
  return value_types.Reference(target, called)


@pytest.mark.parametrize('parameter, value', [
    ('count', 3), ('rate', 3), ('rate', .5), ('limit', None), ('limit', 3),
    ('places', ('a',)), ('places', []), ('kind', 'other'), ('kind', None),
    ('depth', 34), ('depth', (3, 4)), ('fast', True), ('free', 3), ('free', 'x'),
    ('part', ref()), ('make', ref(called=False)), ('parts', {'a': ref()}),
    ('count', value_types.Reference(None, True))])
def test_right_kinds(parameter, value):
  assert say(parameter, value) is None


@pytest.mark.parametrize('parameter, value, says', [
    ('count', 'three', 'a whole number'), ('count', 1.5, 'a whole number'),
    ('count', True, 'a whole number'), ('rate', 'high', 'a number'),
    ('limit', 'x', 'a whole number or None'), ('places', 'one', 'a tuple, each item'),
    ('places', (1,), 'each item text in quotes'), ('kind', 3, 'text in quotes'),
    ('depth', 'deep', 'a number'), ('fast', 1, 'True or False'),
    ('part', 3, 'a Part, as @name()'), ('make', 3, 'as @name'),
    ('parts', 3, 'a dictionary'), ('parts', {'a': 3}, 'each value a Part'),
    ('part', ref(called=False), 'write it with brackets'),
    ('parts', {'a': ref(called=False)}, 'write it with brackets'),
    ('make', ref(), 'without the brackets')])
def test_wrong_kinds(parameter, value, says):
  assert says in say(parameter, value)


def test_dataclasses():
  assert 'a whole number' in say('size', '3', Part)
  assert 'a tuple, each item text' in say('names', 'ab', Part)
  assert say('names', ('ab',), Part) is None
