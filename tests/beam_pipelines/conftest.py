"""What the tests of extraction read: made once, changed by none of them."""

import pytest


@pytest.fixture(scope='session', name='data_dir')
def data_dir_fixture(tmp_path_factory):
  """Prepared shards of 12 videos."""
  from tests.beam_pipelines import tiny_extraction  # loads TensorFlow
  return tiny_extraction.write_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='session', name='looker')
def looker_fixture(tmp_path_factory):
  """A SavedModel that reads pictures."""
  from tests.beam_pipelines import tiny_encoders
  return tiny_encoders.looker(
      tmp_path_factory.mktemp('looker') / 'model', signature=False)
