"""Tests of beam_pipelines.tfrecord against TensorFlow's own reader and writer."""

import hashlib

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


def test_abort_leaves_nothing(tmp_path):
  writer = tfrecord.ShardWriter(str(tmp_path), 's.tfrecord')
  writer.write(b'x')
  writer.abort()
  assert not (tmp_path / 's.tfrecord').exists()
  assert storage.list_names(str(tmp_path / storage.TEMPORARY)) == []
