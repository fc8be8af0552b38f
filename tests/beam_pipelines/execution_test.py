"""Tests of beam_pipelines.execution."""

import sys
import time
import types

from absl import flags
import apache_beam as beam
from apache_beam.runners.portability import portable_runner
import pytest

from beam_pipelines import execution
from beam_pipelines import runner
from beam_pipelines import watchdog


@pytest.fixture(autouse=True)
def parsed_flags_fixture():
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


class _FakePipeline:
  """A pipeline whose job is what was given."""

  def __init__(self, result):
    self._result = result

  def __or__(self, transform):
    return transform

  def run(self):
    print('an engine talks', file=sys.stderr)
    return self._result


def _run(tmp_path, pipeline, *, transform=None, dry_run=False, timeout_seconds=0.5):
  return execution.run(pipeline, transform, output_dir=str(tmp_path), videos={'s': 3},
                       timeout_seconds=timeout_seconds, dry_run=dry_run)


def test_a_transform_runs_to_its_end(tmp_path, capsys):
  def work(name):
    print('a worker talks', file=sys.stderr)
    beam.metrics.Metrics.counter('here', 'calls').inc()
    (tmp_path / name).write_text('done')

  class Write(beam.PTransform):

    def expand(self, pbegin):
      return pbegin | beam.Create(['a', 'b']) | beam.Map(work)

  pipeline, dry_run = runner.make_pipeline('x', ['--direct_running_mode=in_memory'])
  result = _run(tmp_path, pipeline, transform=Write(), dry_run=dry_run)
  assert {p.name for p in tmp_path.iterdir()} == {'a', 'b'}
  [counter] = result.metrics().query(
      beam.metrics.MetricsFilter().with_namespace('here'))['counters']
  assert counter.result == 2
  assert capsys.readouterr().err == ''


def test_a_dry_run_runs_nothing(tmp_path, capsys):
  components = types.SimpleNamespace(transforms=['one', 'two'])
  job = types.SimpleNamespace(
      proto_pipeline=types.SimpleNamespace(components=components))
  result = types.SimpleNamespace(
      job=job, wait_until_finish=lambda: pytest.fail('was waited for'))
  assert _run(tmp_path, _FakePipeline(result), dry_run=True) is None
  assert capsys.readouterr().err == (
      'dry run: the job is valid and has 2 transforms; nothing was run.\n')


def test_absent_workers_are_told(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(watchdog, '_NOTE_SECONDS', 0.2)
  monkeypatch.setattr(watchdog, '_GRACE_SECONDS', 1.0)
  result = portable_runner.PipelineResult.__new__(portable_runner.PipelineResult)

  result.wait_until_finish = lambda: time.sleep(60)
  with pytest.raises(OSError, match='no worker has begun for '):
    _run(tmp_path, _FakePipeline(result))
  err = capsys.readouterr().err
  assert err.startswith('note: no worker has begun yet')
  assert 'talks' not in err
