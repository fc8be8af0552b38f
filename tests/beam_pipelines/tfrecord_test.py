"""Tests of beam_pipelines.tfrecord against TensorFlow's own reader and writer."""

import hashlib

import pytest

from beam_pipelines import storage
from beam_pipelines import tfrecord

_RECORDS = [b'', b'a', bytes(range(256)) * 40]


def test_framing_equals_tensorflow(tmp_path):
  import tensorflow as tf
  path = str(tmp_path / 'tf.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    for record in _RECORDS:
      writer.write(record)
  with open(path, 'rb') as file:
    assert file.read() == b''.join(map(tfrecord.frame, _RECORDS))


def test_writer_and_rollback(tmp_path):
  import tensorflow as tf
  writer = tfrecord.ShardWriter(str(tmp_path), 's.tfrecord')
  writer.write(_RECORDS[1])
  writer.mark()
  writer.write(b'to be taken back')
  writer.write(b'and this')
  writer.rollback()
  writer.write(_RECORDS[2])
  assert not (tmp_path / 's.tfrecord').exists()
  size, digest = writer.commit()
  data = (tmp_path / 's.tfrecord').read_bytes()
  assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
  read = [r.numpy() for r in tf.data.TFRecordDataset(str(tmp_path / 's.tfrecord'))]
  assert read == _RECORDS[1:]


def test_an_old_sidecar_goes_before_the_new_shard_comes(tmp_path, monkeypatch):
  (tmp_path / 's.json').write_text('{}')
  (tmp_path / 's.tfrecord').write_text('old')
  publish = storage.publish

  def publish_without_sidecar(staged, final):
    assert not (tmp_path / 's.json').exists()
    assert (tmp_path / 's.tfrecord').read_text() == 'old'
    publish(staged, final)

  monkeypatch.setattr(storage, 'publish', publish_without_sidecar)
  with tfrecord.ShardWriter(str(tmp_path), 's.tfrecord') as writer:
    writer.write(b'x')
    assert (tmp_path / 's.json').exists()  # as long as the old shard may be kept
    writer.commit()
  assert (tmp_path / 's.tfrecord').read_bytes() == tfrecord.frame(b'x')


def test_an_error_leaves_nothing(tmp_path):
  with pytest.raises(RuntimeError, match='no worker'):
    with tfrecord.ShardWriter(str(tmp_path), 's.tfrecord') as writer:
      writer.write(b'x')
      raise RuntimeError('no worker')
  assert not (tmp_path / 's.tfrecord').exists()
  assert storage.list_names(str(tmp_path / storage.TEMPORARY)) == []


def test_reading(tmp_path):
  import tensorflow as tf
  path = tmp_path / 'tf.tfrecord'
  with tf.io.TFRecordWriter(str(path)) as writer:
    for record in _RECORDS:
      writer.write(record)
  assert list(tfrecord.read(str(path))) == _RECORDS
  path.write_bytes(b'')
  assert not list(tfrecord.read(str(path)))


@pytest.mark.parametrize('harm, says', [
    (lambda data: data[:-7], 'record 1: it is cut or damaged'),
    (lambda data: data[:500] + b'!' + data[501:], 'record 0: it is cut or damaged'),
    (lambda data: data[:5] + b'!' + data[6:], 'record 0: it is cut or damaged'),
    (lambda data: b'one line of text\n' * 9, 'this is no TFRecord file'),
    (lambda data: b'abc', 'this is no TFRecord file'),
    (lambda data: b'\x1f\x8b' + data, 'is compressed; unpack it with gunzip')])
def test_damaged_files(tmp_path, harm, says):
  path = tmp_path / 'x'
  path.write_bytes(harm(tfrecord.frame(bytes(1000)) * 2))
  with pytest.raises(ValueError) as error:
    list(tfrecord.read(str(path)))
  assert says in str(error.value) and str(path) in str(error.value)
