"""The words of mistakes; that gin's own lead to them is tested with tfmm.config."""

import pytest

from tfmm import config_messages


def _build(width, depth=1):
  del width, depth


def _one_line(error):
  return config_messages.in_one_line(
      error, {'os': 'os', 'loop': 'tfmm.training.loop'}, {'tfmm.x.build': _build})


@pytest.mark.parametrize('text, expected', [
    ("Configurable 'x.build' doesn't have a parameter named 'widht'.",
     "'x.build' has no parameter 'widht' (did you mean 'width'?)"),
    ("Couldn't resolve selector os.getcdw; os has no attribute getcdw.",
     "there is no 'os.getcdw' (did you mean 'getcwd'?)"),
    ("'lop' was not provided by an import statement.",
     "'lop' is not imported (did you mean 'loop'?)"),
    ("Failed to parse token 'test' (line: 1)",
     'test is no value; strings stand in quotes'),
    ('something\n  quite   different', 'something quite different'),
])
def test_words_and_nearest_match(text, expected):
  assert str(_one_line(ValueError(text))) == expected


def test_the_innermost_place_is_named_first():
  error = ValueError('bad\n  In file "data.gin", line 3\n    a = b\n'
                     '  In file "recipe.gin", line 9\n    include \'data.gin\'')
  assert str(_one_line(error)) == 'data.gin:3: bad (in: a = b)'
  error = SyntaxError('EOF in multi-line statement', ('x.gin', 4, 1, ' a = (1,'))
  assert str(_one_line(error)) == 'x.gin:4: a bracket is not closed (in: a = (1,)'


def test_kinds_of_errors_are_kept():
  told = config_messages.ConfigError('once\n  In file "x.gin", line 3\n  told')
  assert _one_line(told) is told
  assert isinstance(_one_line(OSError('gone')), OSError)
  assert isinstance(_one_line(KeyError('x')), config_messages.ConfigError)


def _unused(scope, name, parameter, operative, referenced=('SIZE',), optional=()):
  configured = {(scope, name): {parameter: 1}}
  return list(config_messages.unused_bindings(
      configured, operative, set(referenced), set(optional)))


def test_what_has_no_effect():
  read = {('', 'a.b.build'): {'width': 1}, ('small', 'a.b.build'): {'depth': 1}}
  assert _unused('', 'a.b.build', 'width', read) == []
  assert _unused('', 'a.b.build', 'depth', read) == []  # read in a scope
  assert _unused('small', 'a.b.build', 'width', read) == [
      'b.build.width is given by the caller, so a binding has no effect']
  assert _unused('smal', 'a.b.build', 'width', read) == [
      "scope 'smal' of b.build.width is never entered (did you mean 'small'?)"]
  assert _unused('', 'a.b.biuld', 'width', read) == [
      "b.biuld.width is never read (did you mean 'b.build'?)"]
  macro = ('SIEZ', config_messages.MACRO, 'value')
  assert _unused(*macro, read) == [
      "macro 'SIEZ' is never used (did you mean 'SIZE'?)"]
  assert _unused(*macro, read, referenced=['SIEZ']) == []
  assert _unused(*macro, read, optional=[macro]) == []
