"""What is said of a directory that is no run; `train_test.py` loads real ones."""

import pytest

from tfmm import trained_run


def test_names_what_is_missing(tmp_path):
  with pytest.raises(ValueError, match='has no checkpoint yet'):
    trained_run.load(str(tmp_path))
  with pytest.raises(ValueError, match='neither a run directory nor a checkpoint'):
    trained_run.load(str(tmp_path / 'nothing'))


def test_names_a_damaged_description(tmp_path):
  for name, text in (('ckpt-1.index', ''), ('operative_config.gin', ''),
                     ('run.json', '{}')):
    (tmp_path / name).write_text(text)
  with pytest.raises(ValueError, match="run.json has no entry 'data_dir'"):
    trained_run.load(str(tmp_path))
  (tmp_path / 'run.json').write_text(
      '{"labels": [], "num_classes": 2, "data_dir": "", "data_options": {}}')
  with pytest.raises(ValueError, match='operative_config.gin binds nothing of'):
    trained_run.load(str(tmp_path))
