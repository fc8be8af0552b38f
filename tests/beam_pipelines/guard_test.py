"""Tests of beam_pipelines.guard: hangs and crashes cost one video."""

import os
import sys
import time

import pytest

from beam_pipelines import guard
from tfmm.media import MediaError

_CHILD = """
import json, os, signal, sys, time
def answer(payload=b'', **fields):
  line = json.dumps({**fields, 'bytes': len(payload)}).encode()
  sys.stdout.buffer.write(line + b'\\n' + payload); sys.stdout.flush()
answer(kind='ready')
for line in sys.stdin:
  request = json.loads(line)
  for k in range(request.get('clips', 0)):
    time.sleep(request.get('sleep', 0))
    answer(bytes([k]) * 300000, kind='clip', k=k)
  todo = request.get('todo')
  if todo == 'hang':
    while True: pass
  if todo == 'crash': os.kill(os.getpid(), signal.SIGSEGV)
  if todo == 'raise': raise RuntimeError('a bug')
  if todo == 'reject': answer(kind='rejected', reason='open', detail='bad')
  else: answer(kind='done')
"""


@pytest.fixture
def child():
  child = guard.Child(1.0, (sys.executable, '-c', _CHILD))
  yield child
  child.close()


def test_clips_come_whole_and_the_child_is_kept(child):
  for _ in range(2):
    out = list(child.run({'clips': 3}))
    assert [(len(p), p[0], s) for p, s in out] == [(300000, k, {'k': k})
                                                   for k in range(3)]
  process = child._process
  list(child.run({}))
  assert child._process is process


def test_ctrl_c_in_a_terminal_does_not_reach_the_child(child):
  list(child.run({}))
  assert os.getpgid(child._process.pid) != os.getpgrp()


@pytest.mark.parametrize('todo, reason, says', [
    ('hang', 'timeout', 'within 1 s'), ('crash', 'crashed', 'SIGSEGV'),
    ('raise', 'crashed', 'RuntimeError: a bug'), ('reject', 'open', 'bad')])
def test_a_bad_video_does_not_harm_the_next_one(child, todo, reason, says):
  got = []
  with pytest.raises(MediaError) as error:
    for payload, _ in child.run({'clips': 1, 'todo': todo}):
      got.append(payload)
  assert len(got) == 1
  assert error.value.reason == reason and says in error.value.detail
  assert len(list(child.run({'clips': 2}))) == 2


def test_time_limit_is_for_each_clip(child):
  begin = time.monotonic()
  assert len(list(child.run({'clips': 3, 'sleep': 0.5}))) == 3
  assert time.monotonic() - begin > 1.4


def test_leaving_in_the_middle_starts_anew(child):
  for _ in child.run({'clips': 5}):
    break
  assert [s['k'] for _, s in child.run({'clips': 2})] == [0, 1]


def test_child_that_does_not_start_is_not_the_videos_fault():
  child = guard.Child(1.0, (sys.executable, '-c', 'raise SystemExit("no such thing")'))
  with pytest.raises(RuntimeError, match='does not start.*no such thing'):
    list(child.run({}))
