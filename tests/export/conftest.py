"""The export that the tests of this room share."""

import pytest
import tensorflow as tf

from tests.export import tiny_export


@pytest.fixture(scope='session')
def exported(tmp_path_factory):
  """`model`, `spec`, `inputs`, `record`, `report`, `directory`, `version_dir`."""
  return tiny_export.exported(tmp_path_factory)


@pytest.fixture(scope='session', params=tiny_export.KINDS)
def kind(request, tmp_path_factory):
  """The same of a model of other pictures: each of `tiny_export.KINDS` in turn."""
  return tiny_export.exported(tmp_path_factory, request.param)


@pytest.fixture(scope='session')
def served(exported):
  """The signatures of the reloaded export."""
  loaded = tf.saved_model.load(exported.version_dir)
  yield loaded.signatures
  del loaded
