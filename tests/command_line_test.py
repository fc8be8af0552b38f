import subprocess
import sys

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


def test_ctrl_c_is_one_line(capsys):
  def main(arguments):
    raise KeyboardInterrupt

  assert command_line.guarded('tool', main, ['tool']) == 130
  assert capsys.readouterr().err == '\ntool: interrupted.\n'


def test_a_reader_that_goes_away_costs_no_traceback():
  code = ('from tfmm import command_line\n'
          'command_line.run("tool", lambda a: [print("x" * 99) for _ in range(9999)])')
  with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE) as tool:
    tool.stdout.readline()
    tool.stdout.close()
    assert tool.stderr.read() == b''
  assert tool.returncode == 141


@pytest.mark.parametrize('text, told', [
    ("x is 3;\n use 4.\n  In call to configurable 'train' (<function>)",
     'x is 3; use 4.'),
    ('{{function_node f_device_/job:localhost}} no file\n\t [[{{node a}}]] [Op:Read] '
     'name: ', 'no file'), ('', 'ValueError')])
def test_one_line_drops_accounts_of_calls(text, told):
  assert command_line.one_line(ValueError(text)) == told


def test_mistakes_of_files_are_told_even_if_tensorflow_found_them(tmp_path):
  import tensorflow as tf
  with pytest.raises(command_line.mistakes(), match='nothing'):
    tf.io.read_file(str(tmp_path / 'nothing'))
