"""The only module that imports gin: files and overrides in, calls out, typos found.

Gin lets several kinds of typos pass in silence. Here each is an error: a macro that
nothing refers to, a scope that nothing enters, a binding that nothing reads.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gin

from tfmm import config_messages as messages
from tfmm import value_types

_MACRO = messages.MACRO
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclasses.dataclass(frozen=True)
class Override:
  """A command-line flag that stands for a parameter.

  Attributes:
    flag: as typed, with dashes.
    macro: set if the configuration defines it, else `parameter` is.
    parameter: of the configurable, its last part.
    value: what to set; None leaves the configuration alone.
  """

  flag: str
  macro: str
  parameter: str
  value: Any


# Macros that the loaded configuration refers to, whether or not an override has taken
# the place of the reference.
_referenced: set[str] = set()

# Folders whose files describe a corpus, or a choice that only some recipes have: a
# recipe need not read all that they set.
_OPTIONAL_FOLDERS = ('data', 'variants')
# What they set, {(scope, configurable, parameter): value}. What replaces one of these
# must be read.
_optional: dict[tuple[str, str, str], Any] = {}
# What each file of a choice sets, {path: keys as above}; one of them must be read.
_variants: dict[str, list[tuple[str, str, str]]] = {}


def load(gin_file: str | Sequence[str], gin_params: Sequence[str] = (), *,
         configurable: Callable | None = None, overrides: Sequence[Override] = ()):
  """Replaces the configuration in force.

  Args:
    gin_file: path, or several of which later ones are stronger; relative ones, and
      includes, are looked up in the working directory, in the repository of the file
      and in this one.
    gin_params: 'name = value' each, with the names that the file itself uses.
    configurable: what will be called; the file must bind something of it.
    overrides: flags, stronger than `gin_params`.

  Raises:
    ValueError, OSError: in one line, naming the place and the nearest match.
  """
  files = [gin_file] if isinstance(gin_file, str) else list(gin_file)
  try:
    _parse_files(files)
    for param in gin_params:
      _parse_param(param)
    _note_references()
    if configurable is not None:
      _apply_overrides(files[0], configurable, overrides)
    _check_macros(overrides)
    _check_types()
    gin.finalize()
  except Exception as error:
    raise _told(error) from error


def call(configurable: Callable, **kwargs) -> Any:
  """Calls a function with what is bound for it."""
  return gin.get_configurable(configurable)(**kwargs)


def text() -> str:
  """All that is bound, as text that can be loaded again."""
  return gin.config_str()


def make_parts(configurable: Callable, *names: str) -> list[Any]:
  """New values of parameters, made as the configuration says.

  Raises:
    ValueError: nothing is bound for one of them.
  """
  references = gin.get_bindings(configurable, resolve_references=False)
  for name in names:
    if name not in references:
      raise ValueError(f'nothing sets {configurable.__module__.split(".")[-1]}.'
                       f'{configurable.__name__}.{name}; give a recipe of gin_configs.')
  return [copy.deepcopy(references[name]) for name in names]


def bound(configurable: Callable, parameter: str) -> Any:
  """What is bound for a parameter, its macros followed; None if nothing is."""
  bindings = gin.get_bindings(configurable, resolve_references=False)
  return _plain(bindings.get(parameter))


def find_file(gin_file: str) -> str:
  """The path of a file that the loaded recipe names, from the working directory.

  Raises:
    OSError: there is none.
  """
  found = _find(gin_file)
  if found is None:
    raise OSError(f'there is no file {gin_file}, which the recipe names.')
  return found[0]


def is_of_data(gin_file: str) -> bool:
  """Whether a file describes a corpus, for every recipe."""
  return _folder(gin_file) == 'data'


def recipe() -> str:
  """The configuration that took effect, as text; to be called when all is built.

  Raises:
    ValueError: a macro, scope or binding had no effect.
  """
  configured = gin.config._CONFIG
  as_in_data = {
      (scope, name, parameter) for (scope, name, parameter), value in _optional.items()
      if configured.get((scope, name), {}).get(parameter) == value}
  check_used(as_in_data)
  for path, keys in _variants.items():
    if not any(messages.is_used(*key, gin.config._OPERATIVE_CONFIG) for key in keys):
      raise ValueError(f'{path} has no effect: this recipe reads nothing that it sets.')
  return gin.operative_config_str()


def check_used(optional):
  """Raises ValueError if a binding had no effect yet that is not `optional`.

  Args:
    optional: of (scope, configurable, parameter).
  """
  unused = list(messages.unused_bindings(
      gin.config._CONFIG, gin.config._OPERATIVE_CONFIG, _referenced, optional))
  if unused:
    more = f' (and {len(unused) - 3} more)' if len(unused) > 3 else ''
    raise ValueError('the configuration sets what nothing reads: '
                     + '; '.join(unused[:3]) + more + '.')


def all_bindings() -> Iterator[tuple[tuple[str, str, str], str]]:
  """All that is bound: ((scope, configurable, parameter), value as text)."""
  for (scope, name), parameters in gin.config._CONFIG.items():
    for parameter, value in parameters.items():
      yield (scope, name, parameter), repr(value)


def _told(error: Exception) -> Exception:
  return messages.in_one_line(
      error, {s.bound_name(): s.module for s in gin.config._IMPORTS},
      {name: entry.wrapped for name, entry in gin.config._REGISTRY.items()})


def _open_remote(path: str):
  import tensorflow as tf
  return tf.io.gfile.GFile(path)


def _is_remote_file(path: str) -> bool:
  if '://' not in path:
    return False
  import tensorflow as tf
  return tf.io.gfile.exists(path)


def _add_search_paths(gin_file: str):
  # Gin's own second reader looks for files inside Python packages; it fails on
  # directories that are no package, such as gin_configs.
  gin.config._FILE_READERS[:] = [
      (open, os.path.isfile), (_open_remote, _is_remote_file)]
  roots = [_ROOT]
  path = os.path.abspath(gin_file)
  while os.path.dirname(path) != path:
    path, name = os.path.split(path)
    if name == 'gin_configs':
      roots.insert(0, path)
  for root in roots:
    if root not in gin.config._LOCATION_PREFIXES:
      gin.add_config_file_search_path(root)


def _parse_files(files: Sequence[str]):
  """Parses a recipe and what is given beside it, and notes what need not be read.

  A macro of a data file need not be read if a file that the recipe includes sets it,
  too. One that is only in a file beside the recipe may be a typo.
  """
  included = [path for file in files for path in _includes(file)]
  _optional.clear()
  _variants.clear()
  for path in (*included, *files[1:]):
    if _folder(path) in _OPTIONAL_FOLDERS:
      gin.clear_config()
      gin.parse_config_file(path)
      for (scope, name), values in gin.config._CONFIG.items():
        for parameter, value in values.items():
          key = (scope, name, parameter)
          if name != _MACRO or path in included or key in _optional:
            _optional[key] = value
          if not is_of_data(path):
            _variants.setdefault(path, []).append(key)
  gin.clear_config()
  _referenced.clear()
  for path in files:
    gin.parse_config_file(path)
    _note_references()


def _includes(gin_file: str) -> list[str]:
  """What a file includes, as far as it is there; gin tells of the rest."""
  _add_search_paths(gin_file)
  text = _read(gin_file)
  if text is None:
    raise OSError(f'there is no file {gin_file}; give the path of a recipe, such as '
                  'gin_configs/adamml.gin.')
  paths = re.findall(r'^include +[\'"](.+?)[\'"]', text, re.MULTILINE)
  return [path for path in paths if _read(path) is not None]


def _read(gin_file: str) -> str | None:
  """The text of a file, looked up as gin does; None: there is none."""
  found = _find(gin_file)
  if found is None:
    return None
  path, reader = found
  with reader(path) as file:
    return file.read()


def _find(gin_file: str) -> tuple[str, Callable] | None:
  """The path of a file, looked up as gin does, and what opens it."""
  for root in gin.config._LOCATION_PREFIXES:
    path = os.path.join(root, gin_file)
    for reader, exists in gin.config._FILE_READERS:
      if exists(path):
        return path, reader
  return None


def _folder(gin_file: str) -> str:
  """The name of the folder that a file is in."""
  return os.path.basename(os.path.dirname(os.path.abspath(gin_file)))


def _parse_param(param: str):
  """One --gin_param, read with the imports of the file; it may be an import too."""
  if '=' not in param and not param.startswith(('from ', 'import ')):
    raise messages.ConfigError(
        f"--gin_param={param}: it must be 'name = value', strings in quotes.")
  imports = gin.config.ImportManager(gin.config._IMPORTS).sorted_imports
  lines = ['from __gin__ import dynamic_registration']
  lines += [s.format() for s in imports if not s.module.startswith('__gin__')]
  try:
    gin.parse_config([*lines, param])
  except Exception as error:
    told = str(_told(error)).removesuffix(f' (in: {param})')
    raise messages.ConfigError(f'--gin_param={param}: {told}') from error


def _apply_overrides(gin_file, configurable, overrides: Sequence[Override]):
  entry = gin.config._inverse_lookup(configurable)
  selectors = {selector for _, selector in gin.config._CONFIG}
  if entry is None or entry.selector not in selectors:
    name = f'{configurable.__module__}.{configurable.__name__}'
    raise messages.ConfigError(
        f'{gin_file} binds nothing of {name}, so it is no recipe.')
  for override in overrides:
    if override.value is None:
      continue
    if (override.macro, _MACRO) in gin.config._CONFIG:
      gin.bind_parameter((override.macro, _MACRO, 'value'), override.value)
    else:
      gin.bind_parameter(('', entry.selector, override.parameter), override.value)


def _note_references():
  macro = gin.get_configurable(gin.config.macro)
  for reference in gin.config.iterate_references(gin.config._CONFIG, to=macro):
    _referenced.add('/'.join(reference.scopes))


def _check_macros(overrides: Sequence[Override]):
  """Every macro that is referred to is set, and to something."""
  defined = {scope for scope, name in gin.config._CONFIG if name == _MACRO}
  for name in sorted(_referenced - defined):
    raise messages.ConfigError(
        f'macro {name!r} is used and never set{messages.nearest(name, defined)}.')
  flags = {o.macro: o.flag for o in overrides}
  for (scope, name), values in sorted(gin.config._CONFIG.items()):
    value = values.get('value')
    if name == _MACRO and isinstance(value, gin.config.ConfigurableReference) and (
        value.scopes == ['gin.REQUIRED']):
      fix = (f'--{flags[scope]}=...' if scope in flags
             else f'--gin_param="{scope} = ..."')
      raise messages.ConfigError(f'{scope} is required and not set; pass {fix}')


def _check_types():
  """Every value has the kind that its parameter wants."""
  for (scope, name), values in gin.config._CONFIG.items():
    if name == _MACRO or name not in gin.config._REGISTRY:
      continue
    function = gin.config._REGISTRY[name].wrapped
    for parameter, value in values.items():
      wrong = value_types.complaint(function, parameter, _plain(value))
      if wrong:
        place = '/'.join(filter(None, (scope, '.'.join(name.split('.')[-2:]))))
        raise messages.ConfigError(
            f'{place}.{parameter} is {_plain_text(value)}; {wrong}.')


def _plain(value: Any) -> Any:
  """A bound value with its macros followed and its references as `Reference`s."""
  if isinstance(value, gin.config.ConfigurableReference):
    if value.configurable.selector != _MACRO:
      return value_types.Reference(value.configurable.wrapped, value.evaluate)
    macro = gin.config._CONFIG.get(('/'.join(value.scopes), _MACRO), {})
    return _plain(macro.get('value', value_types.Reference(None, True)))
  if isinstance(value, dict):
    return {k: _plain(v) for k, v in value.items()}
  if isinstance(value, (tuple, list)):
    return type(value)(map(_plain, value))
  return value


def _plain_text(value: Any) -> str:
  """The value as the recipe has it, and what its macro stands for."""
  plain = _plain(value)
  if repr(plain) == repr(value) or 'Reference(' in repr(plain):
    return repr(value)
  return f'{plain!r} ({value!r})'
