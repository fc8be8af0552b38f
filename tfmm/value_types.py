"""Whether a configured value has the kind that a parameter was annotated with.

Without it a wrong kind shows as a TypeError from deep inside, or not at all.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

_WORDS = {int: 'a whole number', float: 'a number', bool: 'True or False',
          str: 'text in quotes', types.NoneType: 'None', tuple: 'a tuple as (1, 2)',
          list: 'a list', dict: 'a dictionary'}
_SEQUENCES = (tuple, list, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)


@dataclasses.dataclass(frozen=True)
class Reference:
  """A value that is made only when the configuration is used.

  Attributes:
    target: function or class that it names; None if not known.
    called: whether its result is meant and not the thing itself.
  """

  target: Any
  called: bool


def complaint(function: Callable, parameter: str, value: Any) -> str | None:
  """What is wrong with a value for a parameter, or None.

  Args:
    function: a function or class; a parameter without annotation takes the kind of
      its default: text for text, a number for a number.
    parameter: name of one of its parameters.
    value: plain values, `Reference`s, and containers of them.
  """
  hint = _hint(function, parameter)
  if isinstance(value, Reference):
    return _reference_complaint(value, hint)
  if fits(value, hint):
    items = list(_items(value, hint))
    return next(filter(None, (_reference_complaint(*item) for item in items)), None)
  return f'it must be {_words(hint)}'


def fits(value: Any, hint: Any) -> bool:
  """Whether a value is of the kind; References are, and all is of an unknown one."""
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if hint is Any or isinstance(value, Reference):
    return True
  if origin in (typing.Union, types.UnionType):
    return any(fits(value, arg) for arg in args)
  if origin is typing.Literal:
    return value in args
  if origin in _SEQUENCES or hint in _SEQUENCES:
    if isinstance(value, str) or not isinstance(value, (tuple, list)):
      return False
    return all(fits(item, kind) for item, kind in _items(value, hint))
  if origin in _MAPPINGS or hint in _MAPPINGS:
    return isinstance(value, dict) and all(
        fits(item, kind) for item, kind in _items(value, hint))
  if origin is collections.abc.Callable or hint in (Callable, collections.abc.Callable):
    return callable(value)
  if hint is float:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
  if hint is int:
    return isinstance(value, int) and not isinstance(value, bool)
  return isinstance(value, hint) if isinstance(hint, type) else True


def _hint(function, parameter):
  """The annotation, else the kind of the default, else Any."""
  owner = function.__init__ if inspect.isclass(function) else function
  try:
    hints = typing.get_type_hints(owner)
  except (NameError, TypeError, AttributeError):
    hints = {}
  if parameter in hints:
    return hints[parameter]
  found = inspect.signature(function).parameters.get(parameter)
  default = found.default if found else None
  if isinstance(default, str):
    return str | None
  if isinstance(default, bool):
    return bool
  if isinstance(default, (int, float)):
    return float | tuple | None  # a size may be a pair, a number may be left out
  return Any


def _items(value, hint):
  """(item, its hint) of a container, as far as the hint tells."""
  args = typing.get_args(hint)
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    hint = next((a for a in args if fits(value, a)), Any)
    args = typing.get_args(hint)
  if isinstance(value, dict) and len(args) == 2:
    return [(item, args[1]) for item in value.values()]
  if isinstance(value, (tuple, list)) and args:
    if len(args) == 1 or args[1] is Ellipsis:
      return [(item, args[0]) for item in value]
    return list(zip(value, args))
  return []


def _reference_complaint(value, hint):
  """A pair of brackets too few or too many."""
  if not isinstance(value, Reference) or value.target is None:
    return None
  makes = typing.get_args(hint)[-1:]
  if typing.get_origin(hint) is collections.abc.Callable:
    made = makes[0] if makes else None
    if (value.called and inspect.isclass(value.target) and isinstance(made, type)
        and issubclass(value.target, made)):
      return 'write it without the brackets ()'
  elif isinstance(hint, type) and not value.called and not issubclass(hint, type):
    return 'write it with brackets: ()'
  return None


def _words(hint) -> str:
  args = typing.get_args(hint)
  origin = typing.get_origin(hint)
  if origin in (typing.Union, types.UnionType):
    return ' or '.join(map(_words, args))
  if hint in _WORDS or origin in _WORDS:
    inner = args[0] if origin is tuple and args[1:] == (Ellipsis,) else Any
    return _WORDS[origin or hint] if inner is Any else (
        f'a tuple, each item {_words(inner)}')
  if origin is collections.abc.Sequence:
    return f'a tuple, each item {_words(args[0])}'
  if origin is collections.abc.Mapping:
    return f'a dictionary, each value {_words(args[1])}'
  if origin is collections.abc.Callable:
    return 'a function or class, as @name'
  if not isinstance(hint, type):
    return str(hint)
  article = 'an' if hint.__name__[0] in 'AEIOU' else 'a'
  return f'{article} {hint.__name__}, as @name()'
