"""What is wrong with a configuration: one line each, with the nearest match."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

# The configurable that holds a macro's value, in a scope of the macro's name.
MACRO = 'gin.macro'
# {(scope, configurable): {parameter: value}}, as gin keeps it.
_Bindings = Mapping[tuple[str, str], Mapping[str, Any]]


class ConfigError(ValueError):
  """Already told in one line."""


def in_one_line(error: Exception, imported: Mapping[str, str],
                configurables: Mapping[str, Callable]) -> Exception:
  """The error of a parse: 'file:line: what (nearest match)'.

  Args:
    error: what gin raised.
    imported: {name: module} of what was imported before.
    configurables: {selector: function or class}.
  """
  if isinstance(error, ConfigError):
    return error
  if isinstance(error, SyntaxError):
    place = f'{error.filename}:{error.lineno}: ' if error.filename else ''
    return ConfigError(f'{place}{_reworded(str(error.msg), {}, {})} (in: '
                       f'{(error.text or "").strip()})')
  text = str(error)
  place = re.search(r'\n  In file "(.*?)", line (\d+)\n\s*(.*)', text)
  imported = {**imported, **_imported_by(place[1] if place else None)}
  message = _reworded(
      ' '.join(text.split('\n  In ')[0].split()), imported, configurables)
  if place:
    message = f'{place[1]}:{place[2]}: {message} (in: {place[3]})'
  return OSError(message) if isinstance(error, OSError) else ConfigError(message)


def _reworded(message: str, imported: Mapping[str, str],
              configurables: Mapping[str, Callable]) -> str:
  """Gin's words for the usual mistakes in shorter ones, with the nearest match."""
  found = re.search(r"'([\w./]+)' doesn't have a parameter named '(\w+)'", message)
  if found:
    near = nearest(found[2], _parameters(found[1], configurables))
    return f'{found[1]!r} has no parameter {found[2]!r}{near}'
  found = re.search(r"selector ([\w.]+);.* has no attribute (\w+)", message)
  if found:
    near = nearest(found[2], _siblings(found[1], imported))
    return f'there is no {found[1]!r}{near}'
  found = re.search(r"'(\w+)' was not provided by an import", message)
  if found:
    return f'{found[1]!r} is not imported{nearest(found[1], imported)}'
  found = re.search(r"Failed to parse token '(.*?)'", message)
  if found:
    return f'{found[1]} is no value; strings stand in quotes'
  if 'EOF in multi-line' in message:
    return 'a bracket is not closed'
  return message


def _imported_by(gin_file: str | None) -> dict[str, str]:
  """{name: module} of what a file imports."""
  imported = {}
  if gin_file and os.path.isfile(gin_file):
    with open(gin_file) as file:
      for package, module in re.findall(
          r'^(?:from +([\w.]+) +)?import +([\w.]+)', file.read(), re.MULTILINE):
        imported[module] = f'{package}.{module}' if package else module
  return imported


def _siblings(selector: str, imported: Mapping[str, str]) -> list[str]:
  """Public names of the module in which an unknown one was looked for."""
  module = sys.modules.get(imported.get(selector.split('.', maxsplit=1)[0], ''))
  return [n for n in dir(module) if not n.startswith('_')] if module else []


def _parameters(name: str, configurables: Mapping[str, Callable]) -> list[str]:
  """Parameters of a configurable, by its last two names."""
  for selector, function in configurables.items():
    if selector == name or selector.endswith(f'.{name}'):
      return list(inspect.signature(function).parameters)
  return []


def nearest(name: str, known) -> str:
  """' (did you mean ...?)', or nothing where no known name is alike."""
  near = difflib.get_close_matches(name, sorted(set(known)), 1, .5)
  return f' (did you mean {near[0]!r}?)' if near else ''


def unused_bindings(configured: _Bindings, operative: _Bindings,
                    referenced: Collection[str],
                    optional: Collection[tuple[str, str, str]]) -> Iterator[str]:
  """What is configured and had no effect, each with its nearest match.

  Args:
    configured: as gin was given it.
    operative: what was read, by callers in their scopes.
    referenced: macros that something refers to.
    optional: (scope, configurable, parameter) that need not be read.
  """
  for (scope, name), parameters in configured.items():
    if name == MACRO:
      if scope not in referenced and (scope, name, 'value') not in optional:
        others = {s for s, n in configured if n == MACRO} - {scope}
        names = referenced | others
        yield f'macro {scope!r} is never used{nearest(scope, names)}'
      continue
    for parameter in parameters:
      if not (is_used(scope, name, parameter, operative)
              or (scope, name, parameter) in optional):
        yield _describe_unused(scope, name, parameter, operative)


def is_used(scope: str, name: str, parameter: str, operative: _Bindings) -> bool:
  """Whether a binding was read, in its scope or in one inside of it."""
  return any(
      n == name and parameter in read
      and (not scope or s == scope or s.startswith(f'{scope}/'))
      for (s, n), read in operative.items())


def _describe_unused(scope, name, parameter, operative) -> str:
  short = '.'.join(name.split('.')[-2:])
  entered = {s for s, n in operative if n == name}
  if scope and entered and scope not in entered:
    scopes = {part for s in entered for part in (s, s.split('/')[0]) if part}
    return (f'scope {scope!r} of {short}.{parameter} is never entered'
            f'{nearest(scope, scopes)}')
  names = {'.'.join(n.split('.')[-2:]) for _, n in operative if n != MACRO}
  if entered:
    return f'{short}.{parameter} is given by the caller, so a binding has no effect'
  return f'{short}.{parameter} is never read{nearest(short, names - {short})}'
