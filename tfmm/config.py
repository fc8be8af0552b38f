"""The only module that imports gin: files and overrides in, calls out, typos found.

Gin lets several kinds of typos pass in silence. Here each is an error: a macro that
nothing refers to, a scope that nothing enters, a binding that nothing reads.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gin

from tfmm import value_types

_MACRO = 'gin.macro'
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

# What files in a folder `data` set, {(scope, configurable, parameter): value}. They
# describe a corpus for every recipe, so that a recipe need not read all of it.
_optional: dict[tuple[str, str, str], Any] = {}


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
    raise _in_one_line(error) from error


def call(configurable: Callable, **kwargs) -> Any:
  """Calls a function with what is bound for it."""
  return gin.get_configurable(configurable)(**kwargs)


def recipe() -> str:
  """The configuration that took effect, as text; to be called when all is built.

  Raises:
    ValueError: a macro, scope or binding had no effect.
  """
  unused = list(unused_bindings())
  if unused:
    more = f' (and {len(unused) - 3} more)' if len(unused) > 3 else ''
    raise ValueError('the configuration sets what nothing reads: '
                     + '; '.join(unused[:3]) + more + '.')
  return gin.operative_config_str()


def unused_bindings() -> Iterator[str]:
  """What is configured and had no effect, each with its nearest match."""
  configured, operative = gin.config._CONFIG, gin.config._OPERATIVE_CONFIG
  for (scope, name), parameters in configured.items():
    if name == _MACRO:
      if scope not in _referenced and not _is_optional(scope, name, 'value'):
        others = {s for s, n in configured if n == _MACRO} - {scope}
        names = _referenced | others
        yield f'macro {scope!r} is never used{_nearest(scope, names)}'
      continue
    for parameter in parameters:
      if not (_is_used(scope, name, parameter, operative)
              or _is_optional(scope, name, parameter)):
        yield _describe_unused(scope, name, parameter, operative)


def _is_used(scope, name, parameter, operative) -> bool:
  return any(
      n == name and parameter in read
      and (not scope or s == scope or s.startswith(f'{scope}/'))
      for (s, n), read in operative.items())


def _is_optional(scope, name, parameter) -> bool:
  """Whether a binding is as a data file has it; what replaces it must be read."""
  key = (scope, name, parameter)
  return key in _optional and (
      _optional[key] == gin.config._CONFIG[scope, name][parameter])


def _describe_unused(scope, name, parameter, operative) -> str:
  short = '.'.join(name.split('.')[-2:])
  entered = {s for s, n in operative if n == name}
  if scope and entered and scope not in entered:
    scopes = {part for s in entered for part in (s, s.split('/')[0]) if part}
    return (f'scope {scope!r} of {short}.{parameter} is never entered'
            f'{_nearest(scope, scopes)}')
  names = {'.'.join(n.split('.')[-2:]) for _, n in operative if n != _MACRO}
  if entered:
    return f'{short}.{parameter} is given by the caller, so a binding has no effect'
  return f'{short}.{parameter} is never read{_nearest(short, names - {short})}'


def load_run(model_dir: str, checkpoint: str = 'last', *, data_dir: str | None = None):
  """Rebuilds a trained run from its directory.

  Args:
    model_dir: of a run of `tfmm.train`.
    checkpoint: 'last', or 'best' for the best validated one of its last stage.
    data_dir: if the data is elsewhere now.

  Returns:
    `tfmm.training.checkpoints.Run`.

  Raises:
    ValueError, OSError: it is no run, or has no checkpoint.
  """
  import tensorflow as tf
  from tfmm.training import checkpoints
  from tfmm.training import loop
  path = checkpoints.find_checkpoint(model_dir, checkpoint)
  config = os.path.join(model_dir, checkpoints.CONFIG_FILE)
  info = checkpoints.read_json(os.path.join(model_dir, checkpoints.RUN_FILE))
  if info is None or not tf.io.gfile.exists(config):
    raise ValueError(
        f'{model_dir} has checkpoints but no {checkpoints.CONFIG_FILE} and '
        f'{checkpoints.RUN_FILE}; only a directory of tfmm.train can be used.')
  missing = {'labels', 'num_classes', 'data_dir', 'data_options'} - set(info)
  if missing:
    raise ValueError(
        f'{model_dir}/{checkpoints.RUN_FILE} has no entry {min(missing)!r}; it is not '
        'what this tfmm.train writes. Train again, or put a copy of it back.')
  if data_dir:
    info = {**info, 'data_dir': data_dir}
  load(config, configurable=loop.train)
  bound = gin.get_bindings(loop.train, resolve_references=False)
  parts = {name: copy.deepcopy(bound[name]) for name in ('model', 'dataset')}
  model = parts['model'](num_classes=info['num_classes'])
  checkpoints.restore_model(model, path)
  return checkpoints.Run(
      model_dir=model_dir, model=model, dataset=parts['dataset'], info=info,
      checkpoint=path, step=int(re.search(r'-(\d+)$', path).group(1)))


class _ConfigError(ValueError):
  """Already told in one line."""


def _in_one_line(error: Exception) -> Exception:
  """The error of a parse: 'file:line: what (nearest match)'."""
  if isinstance(error, _ConfigError):
    return error
  if isinstance(error, SyntaxError):
    place = f'{error.filename}:{error.lineno}: ' if error.filename else ''
    return _ConfigError(f'{place}{_reworded(str(error.msg), {})} (in: '
                        f'{(error.text or "").strip()})')
  text = str(error)
  place = re.search(r'\n  In file "(.*?)", line (\d+)\n\s*(.*)', text)
  imported = _imported(place[1] if place else None)
  message = _reworded(' '.join(text.split('\n  In ')[0].split()), imported)
  if place:
    message = f'{place[1]}:{place[2]}: {message} (in: {place[3]})'
  return OSError(message) if isinstance(error, OSError) else _ConfigError(message)


def _reworded(message: str, imported: Mapping[str, str]) -> str:
  """Gin's words for the usual mistakes in shorter ones, with the nearest match."""
  found = re.search(r"'([\w./]+)' doesn't have a parameter named '(\w+)'", message)
  if found:
    near = _nearest(found[2], _parameters(found[1]))
    return f'{found[1]!r} has no parameter {found[2]!r}{near}'
  found = re.search(r"selector ([\w.]+);.* has no attribute (\w+)", message)
  if found:
    near = _nearest(found[2], _siblings(found[1], imported))
    return f'there is no {found[1]!r}{near}'
  found = re.search(r"'(\w+)' was not provided by an import", message)
  if found:
    return f'{found[1]!r} is not imported{_nearest(found[1], imported)}'
  found = re.search(r"Failed to parse token '(.*?)'", message)
  if found:
    return f'{found[1]} is no value; strings stand in quotes'
  if 'EOF in multi-line' in message:
    return 'a bracket is not closed'
  return message


def _imported(gin_file: str | None) -> dict[str, str]:
  """{name: module} of what a file imports, and of what was imported before it."""
  imported = {s.bound_name(): s.module for s in gin.config._IMPORTS}
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


def _parameters(name: str) -> list[str]:
  """Parameters of a configurable, by its last two names."""
  for selector, entry in gin.config._REGISTRY.items():
    if selector == name or selector.endswith(f'.{name}'):
      return list(inspect.signature(entry.wrapped).parameters)
  return []


def _nearest(name: str, known) -> str:
  near = difflib.get_close_matches(name, sorted(set(known)), 1, .5)
  return f' (did you mean {near[0]!r}?)' if near else ''


def _open_remote(path: str):
  import tensorflow as tf
  return tf.io.gfile.GFile(path)


def _is_remote_file(path: str) -> bool:
  import tensorflow as tf
  return '://' in path and tf.io.gfile.exists(path)


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
  included = _parse_in_turn(files)
  _optional.clear()
  data = [path for path in (*included, *files[1:]) if _is_of_data(path)]
  for path in data:
    _parse_in_turn([path])
    for (scope, name), values in gin.config._CONFIG.items():
      for parameter, value in values.items():
        key = (scope, name, parameter)
        if name != _MACRO or path in included or key in _optional:
          _optional[key] = value
  if data:
    _parse_in_turn(files)


def _is_of_data(path: str) -> bool:
  return os.path.basename(os.path.dirname(os.path.abspath(path))) == 'data'


def _parse_in_turn(files: Sequence[str]) -> list[str]:
  """Replaces the configuration; returns the files that were included."""
  gin.clear_config()
  _referenced.clear()
  included = []
  for path in files:
    _add_search_paths(path)
    if not any(os.path.isfile(os.path.join(root, path))
               for root in gin.config._LOCATION_PREFIXES) and '://' not in path:
      raise OSError(f'there is no file {path}; give the path of a recipe, such as '
                    'gin_configs/adamml.gin.')
    included += [entry.filename for entry in gin.parse_config_file(path).includes]
    _note_references()
  return included


def _parse_param(param: str):
  """One --gin_param, read with the imports of the file; it may be an import too."""
  if '=' not in param and not param.startswith(('from ', 'import ')):
    raise _ConfigError(
        f"--gin_param={param}: it must be 'name = value', strings in quotes.")
  imports = gin.config.ImportManager(gin.config._IMPORTS).sorted_imports
  lines = ['from __gin__ import dynamic_registration']
  lines += [s.format() for s in imports if not s.module.startswith('__gin__')]
  try:
    gin.parse_config([*lines, param])
  except Exception as error:
    told = str(_in_one_line(error)).removesuffix(f' (in: {param})')
    raise _ConfigError(f'--gin_param={param}: {told}') from error


def _apply_overrides(gin_file, configurable, overrides: Sequence[Override]):
  entry = gin.config._inverse_lookup(configurable)
  selectors = {selector for _, selector in gin.config._CONFIG}
  if entry is None or entry.selector not in selectors:
    name = f'{configurable.__module__}.{configurable.__name__}'
    raise _ConfigError(f'{gin_file} binds nothing of {name}, so it is no recipe.')
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
    raise _ConfigError(
        f'macro {name!r} is used and never set{_nearest(name, defined)}.')
  flags = {o.macro: o.flag for o in overrides}
  for (scope, name), values in sorted(gin.config._CONFIG.items()):
    value = values.get('value')
    if name == _MACRO and isinstance(value, gin.config.ConfigurableReference) and (
        value.scopes == ['gin.REQUIRED']):
      fix = (f'--{flags[scope]}=...' if scope in flags
             else f'--gin_param="{scope} = ..."')
      raise _ConfigError(f'{scope} is required and not set; pass {fix}')


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
        raise _ConfigError(f'{place}.{parameter} is {_plain_text(value)}; {wrong}.')


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
