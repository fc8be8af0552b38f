"""Engines other than Beam's own in-process one: the same shards, or a plain refusal."""

import ast
import contextlib
import json
import os
from pathlib import Path
import re
import signal
import socket
import subprocess
import sys
import time
import uuid

from absl import flags
from absl.testing import flagsaver
import apache_beam as beam
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability import portable_runner
import pytest

from beam_pipelines import config
from beam_pipelines import job as job_lib
from beam_pipelines import prepare_videos
from beam_pipelines import runner
from beam_pipelines import transforms
from tests import tiny_videos
from tfmm import schema

_ROOT = Path(__file__).resolve().parents[2]
_SMALL = ('--frame_rate=10', '--short_side=36', '--sample_rate=8000', '--num_shards=2')
_WATCHDOG_SECONDS = 120.0
_BUCKETS = ('--temp_location=gs://some-bucket/tmp',
            '--staging_location=gs://some-bucket/staging')
_OPENCV = 'opencv-contrib-python-headless'
_IMAGE = 'europe-docker.pkg.dev/some-project/tfmm/beam:0.1'


# --- A job service and a worker pool, each a process of its own ----------------------


class _Processes:
  """Child processes that all end, with all that they started, whatever happens."""

  def __init__(self, folder: Path):
    self._folder = folder
    self._mark = f'TFMM_ENGINES_TEST={uuid.uuid4().hex}'
    self._deadline = time.monotonic() + _WATCHDOG_SECONDS
    self._started = []
    name, value = self._mark.split('=')
    # The pool starts `python` from PATH; decoders and Beam leave files in TMPDIR.
    self._environment = {
        **os.environ, name: value, 'TMPDIR': str(folder), 'PYTHONPATH': str(_ROOT),
        'PATH': os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']])}

  def left(self) -> float:
    """Seconds until the watchdog."""
    return max(0.1, self._deadline - time.monotonic())

  def start(self, name: str, *arguments: str) -> subprocess.Popen:
    """Starts `python -m ...` in a session of its own; its output goes to a file."""
    with open(self._folder / f'{name}.log', 'wb') as log:
      process = subprocess.Popen(
          [sys.executable, '-m', *arguments], cwd=self._folder, stdout=log, stderr=log,
          env=self._environment, start_new_session=True)
    self._started.append(process)
    return process

  def log(self, name: str) -> str:
    return (self._folder / f'{name}.log').read_text(errors='replace')

  def wait_for(self, name: str, process: subprocess.Popen, port: int):
    while process.poll() is None and self.left() > 0.1:
      with contextlib.suppress(OSError):
        socket.create_connection(('localhost', port), 1).close()
        return
      time.sleep(0.1)
    pytest.fail(f'{name} does not listen: {self.log(name)[-2000:]}')

  def marked(self) -> list[int]:
    """Ids of all living processes that inherited this object's mark."""
    found = []
    for entry in Path('/proc').iterdir():
      with contextlib.suppress(OSError):
        if entry.name.isdigit() and self._mark.encode() in (
            entry / 'environ').read_bytes().split(b'\0'):
          found.append(int(entry.name))
    return found

  def close(self):
    for process in self._started:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
      process.wait()
    deadline = time.monotonic() + 10
    while self.marked() and time.monotonic() < deadline:
      time.sleep(0.1)  # a decoder leaves when its parent has gone
    left = self.marked()
    for pid in left:
      os.kill(pid, signal.SIGKILL)
    assert not left, f'{len(left)} processes outlived the engine'


@pytest.fixture(name='processes')
def _processes(tmp_path):
  if not os.path.isdir('/proc'):
    pytest.skip('looks for what is left behind in /proc')
  (tmp_path / 'engine').mkdir()
  processes = _Processes(tmp_path / 'engine')
  try:
    yield processes
  finally:
    processes.close()


def _free_ports(count):
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for one in sockets:
      one.bind(('localhost', 0))
    return [one.getsockname()[1] for one in sockets]


def _checksums(out):
  """{shard: sha256 of its sidecar}, and rejected.csv."""
  shards = {p.name: json.loads(p.read_text())['sha256']
            for p in sorted(out.glob('*-of-*.json'))}
  return shards, (out / schema.REJECTED).read_text()


@pytest.mark.slow
def test_worker_pool_in_its_own_process_makes_the_same_shards(tmp_path, processes):
  manifest = tiny_videos.make_set(tmp_path, num_videos=6, seconds=.5)
  (tmp_path / 'videos' / 'v3.mp4').write_text('no film')
  job, pool = _free_ports(2)
  services = {
      'job service': (job, processes.start(
          'job service', 'apache_beam.runners.portability.local_job_service_main',
          '--port', str(job))),
      'worker pool': (pool, processes.start(
          'worker pool', 'apache_beam.runners.worker.worker_pool_main',
          f'--service_port={pool}'))}
  prepare = ('beam_pipelines.prepare_videos', '--manifest', manifest, *_SMALL)
  here = processes.start('here', *prepare, f'--output_dir={tmp_path / "here"}',
                         '--direct_running_mode=in_memory', '--direct_num_workers=1')
  for name, (port, process) in services.items():
    processes.wait_for(name, process, port)
  there = processes.start(
      'there', *prepare, f'--output_dir={tmp_path / "there"}',
      '--runner=PortableRunner', f'--job_endpoint=localhost:{job}',
      '--environment_type=EXTERNAL', f'--environment_config=localhost:{pool}')
  for name, process in (('here', here), ('there', there)):
    try:
      code = process.wait(processes.left())
    except subprocess.TimeoutExpired:
      code = 'watchdog'
    assert code == 0, ''.join(map(processes.log, (name, *services)))
  assert 'Starting worker with command' in processes.log('worker pool')

  shards, rejected = _checksums(tmp_path / 'here')
  assert len(shards) == 4 and 'v3.mp4' in rejected
  assert _checksums(tmp_path / 'there') == (shards, rejected)
  for name in (schema.DATASET_INFO, schema.COMPLETED):
    assert ((tmp_path / 'there' / name).read_text()
            == (tmp_path / 'here' / name).read_text())
  assert 'Traceback' not in processes.log('there')

  processes.close()
  for port in (job, pool):
    with socket.socket() as one:
      one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      one.bind(('localhost', port))


# --- Jobs that are built and not run --------------------------------------------------


def _environments(pipeline_proto):
  return list(pipeline_proto.components.environments.values())


def _build_on_dataflow(tmp_path, monkeypatch, *arguments):
  """The job's proto; the command itself must succeed."""
  pytest.importorskip('apache_beam.runners.dataflow.internal.clients.dataflow')
  results, run = [], beam.Pipeline.run
  monkeypatch.setattr(beam.Pipeline, 'run', lambda *a, **k: results.append(
      run(*a, **k)) or results[0])
  manifest = tiny_videos.make_set(tmp_path / 'set', num_videos=1, seconds=.2)
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(manifest=manifest, output_dir=str(tmp_path / 'data')):
    code = prepare_videos.main([
        'prepare_videos', '--runner=DataflowRunner', '--dry_run=True', '--no_auth',
        '--project=some-project', '--region=europe-west4', *_BUCKETS, *arguments])
  assert code == 0
  assert not list((tmp_path / 'data').glob('*.tfrecord'))
  return results[0].job.proto_pipeline


def test_dataflow_takes_the_workers_from_the_container(tmp_path, monkeypatch):
  proto = _build_on_dataflow(
      tmp_path, monkeypatch, f'--sdk_container_image={_IMAGE}',
      '--sdk_location=container', '--no_save_main_session',
      '--number_of_worker_harness_threads=1')
  environment, = _environments(proto)
  assert environment.urn == 'beam:env:docker:v1'
  payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
  assert payload.container_image == _IMAGE
  # Neither our package nor Beam nor this process's globals are sent along.
  staged = b' '.join(d.role_payload for d in environment.dependencies)
  for name in (b'.tar.gz', b'.whl', b'pickled_main_session', b'requirements.txt'):
    assert name not in staged


def test_flink_is_given_the_external_worker_pool():
  arguments = ['--runner=FlinkRunner', '--flink_master=flink.example:8081',
               '--flink_job_server_jar=/opt/beam/flink-job-server.jar',
               '--environment_type=EXTERNAL', '--environment_config=pool.example:50000',
               '--parallelism=4']
  pipeline, is_dry_run = runner.make_pipeline('prepare_videos', arguments)
  assert not is_dry_run
  assert type(pipeline.runner).__name__ == 'FlinkRunner'
  job = job_lib.Job(
      manifest_path='m.csv', output_dir='out', labels=('a',), num_shards={'train': 2},
      config=config.PrepareConfig())
  _ = pipeline | transforms.PrepareShards(job)
  proto = portable_runner.PortableRunner.get_proto_pipeline(
      pipeline, pipeline.options)
  environment, = _environments(proto)
  assert environment.urn == 'beam:env:external:v1'
  payload = beam_runner_api_pb2.ExternalPayload.FromString(environment.payload)
  assert payload.endpoint.url == 'pool.example:50000'


# --- The container of the workers ----------------------------------------------------


def _pins():
  lines = (_ROOT / 'constraints.txt').read_text().splitlines()
  return dict(line.split('==') for line in lines if re.match(r'[\w.-]+==', line))


def _dockerfile():
  """The instructions, each on one line."""
  text = (_ROOT / 'tools' / 'beam.Dockerfile').read_text().replace('\\\n', ' ')
  return [' '.join(line.split()) for line in text.splitlines()
          if line and not line.startswith('#')]


def _imported_by_workers():
  """Top-level names of other packages that the workers' modules import."""
  code = ('import sys, beam_pipelines.transforms, beam_pipelines.worker\n'
          'print(*(m.__file__ for n, m in sorted(sys.modules.items())\n'
          '        if n.split(".")[0] in ("tfmm", "beam_pipelines")))')
  done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=_ROOT,
                        capture_output=True, text=True, check=True)
  found = set()
  for path in done.stdout.split():
    for node in ast.walk(ast.parse(Path(path).read_text())):
      if isinstance(node, ast.Import):
        found |= {alias.name for alias in node.names}
      elif isinstance(node, ast.ImportFrom):
        found.add(node.module)
  return {name for name in found if name.split('.')[0] not in (
      *sys.stdlib_module_names, 'tfmm', 'beam_pipelines')}


def test_container_has_what_workers_import_and_the_pinned_versions():
  names = {'apache_beam': 'apache-beam[gcp]', 'google.protobuf': 'protobuf',
           'google_crc32c': 'google-crc32c', 'absl': 'absl-py',
           'cv2': _OPENCV}
  lines = _dockerfile()
  installed = [word for line in lines if line.startswith('RUN pip install')
               for word in line.split()[3:] if not word.startswith('-')]
  needed = {next((names[n] for n in names if f'{name}.'.startswith(f'{n}.')),
                 name.split('.')[0]) for name in _imported_by_workers()}
  assert {'av', 'scipy', _OPENCV} <= needed <= set(installed)
  assert lines[0] == f'FROM apache/beam_python3.11_sdk:{_pins()["apache-beam"]}'
  for word in set(installed) - {'constraints.txt', '.'}:
    assert word.partition('[')[0] in _pins(), word
  # OpenCV comes last, without its dependencies, and is looked at afterwards.
  opencv = next(k for k, line in enumerate(lines) if 'opencv' in line)
  assert not any('pip install' in line for line in lines[opencv + 1:])
  assert '--no-deps' in lines[opencv] and "check('tvl1')" in lines[-1]
  for line in lines:
    if line.startswith('COPY'):
      assert all((_ROOT / word).exists() for word in line.split()[1:-1]), line


@pytest.mark.parametrize('name', [
    'DaskRunner', 'daskrunner', 'apache_beam.runners.dask.dask_runner.DaskRunner'])
def test_dask_is_refused_with_the_reason(name):
  for arguments in ([f'--runner={name}'], ['--runner', name]):
    with pytest.raises(ValueError, match=f'{re.escape(name)} is refused: of several '
                       'outputs .* writes only one and reports success'):
      runner.make_pipeline('prepare_videos', arguments)
