import pytest
from absl import flags

from tfmm import command_line


def values():
  made = flags.FlagValues()
  flags.DEFINE_integer('count', None, 'How many.', flag_values=made, lower_bound=1)
  flags.DEFINE_string('path', None, 'Where.', flag_values=made, required=True)
  return made


def test_arguments_that_are_no_flags_are_returned():
  found = values()
  left = command_line.parse('tool', ['tool', '--path=p', '--count=2', 'a.mp4'], found)
  assert left == ['tool', 'a.mp4']
  assert (found.path, found.count) == ('p', 2)


@pytest.mark.parametrize('arguments, says', [
    (['--path=p', '--cuont=2'], 'cuont'), ([], 'path'),
    (['--path=p', '--count=0'], 'count'), (['--path=p', '--count=x'], 'count')])
def test_a_mistake_is_one_line(arguments, says):
  with pytest.raises(SystemExit) as error:
    command_line.parse('tool', ['tool', *arguments], values())
  text = error.value.code  # sys.exit(text) prints it and exits with 1
  assert text.startswith('tool: ') and says in text and '\n' not in text
