"""Tests of tfmm.schema."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import beam_pipelines
from tfmm import media
from tfmm import schema


def test_shard_names():
  name = schema.shard_name('train', 3, 12)
  assert name == 'train-00003-of-00012.tfrecord'
  assert schema.sidecar_name(name) == 'train-00003-of-00012.json'


@pytest.mark.parametrize('split, index, count, says', [
    ('val', 0, 1, 'val'), ('test', 2, 2, r'\[0, 2\)')])
def test_shard_name_refuses(split, index, count, says):
  with pytest.raises(ValueError, match=says):
    schema.shard_name(split, index, count)


@pytest.mark.parametrize('seconds, rate, frames', [
    (.25, 25, 7), (.24, 25, 6), (.2, 10., 2), (0., 30, 0), (.3, 10, 3),
    (.01, 29.97, 1)])
def test_a_margin_is_whole_frames_rounded_up(seconds, rate, frames):
  assert schema.margin_frames(seconds, rate) == frames


def test_every_key_has_a_kind():
  keys = {value for name, value in vars(schema).items()
          if isinstance(value, str) and '/' in value and not name.startswith('__')}
  keys |= set(schema.LOG_MEL_KEYS.values())
  assert keys == set(schema.CONTEXT_KINDS) | set(schema.LIST_KINDS)
  assert not set(schema.CONTEXT_KINDS) & set(schema.LIST_KINDS)
  kinds = {*schema.CONTEXT_KINDS.values(), *schema.LIST_KINDS.values()}
  assert kinds == {'bytes', 'int64', 'float'}


def test_reasons_of_the_sources_are_the_fixed_list():
  used = set()
  for package in (media, beam_pipelines):
    for file in Path(package.__file__).parent.glob('*.py'):
      used |= set(re.findall(r"MediaError\(\s*'(\w+)'", file.read_text('utf-8')))
  assert used == set(schema.REJECT_REASONS)


def test_import_is_light():
  code = ("import sys; import tfmm, tfmm.schema; "
          "print([m for m in ('tensorflow', 'numpy', 'av') if m in sys.modules])")
  out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       check=True).stdout
  assert out.strip() == '[]'
