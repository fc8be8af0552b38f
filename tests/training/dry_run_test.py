"""One step of each phase, and what is said of it."""

import types

import pytest
import tensorflow as tf

from tests.training import tiny_run
from tfmm.training import dry_run, loop


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tiny_run.make_data(tmp_path_factory.mktemp('data'), [('validation', 2)])


def test_dry_run_takes_a_step_of_each_phase_and_saves_nothing(
    data_dir, tmp_path, capsys):
  run = tmp_path / 'run'
  result = loop.train(**tiny_run.adamml_options(
      data_dir=data_dir, model_dir=str(run), dry_run=True))
  assert set(result['phases']) == {
      'warm-up', 'alternating recognition', 'alternating policy', 'fine-tuning'}
  assert result['parameters']['policy'] > 0 and result['peak_memory_bytes'] > 2 ** 20
  assert set(result['gflops_per_segment']) == {
      'rgb recognition', 'audio recognition', 'policy'}
  out = capsys.readouterr().out
  assert 'alternating policy: one step of 2 videos' in out and 'GFLOPs' in out
  assert not run.exists()


def test_the_recipe_is_asked_for_once_when_all_is_built(data_dir):
  asked = []
  result = loop.train(**tiny_run.unimodal_options(
      data_dir=data_dir, model_dir='', dry_run=True,
      recipe=lambda: asked.append(1) or ''))
  assert asked == [1] and list(result['phases']) == ['train']


def test_no_data_at_all_is_refused():
  info = types.SimpleNamespace(
      data_dir='here', splits={'train': {'num_videos': 0}, 'test': {}})
  with pytest.raises(ValueError, match='here has no videos; a dry run needs one'):
    dry_run.run(make_state=None, plan=None, info=info, batch_size=4, init_from=None,
                strategy=tf.distribute.get_strategy(), recipe=None)
