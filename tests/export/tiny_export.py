"""One small AdaMML, exported once for all tests of a session."""

import functools
import types

import av
import numpy as np
import tensorflow as tf

from tests import tiny_models
from tfmm.data import dataset
from tfmm.export import preprocessing
from tfmm.export import samples
from tfmm.export import saved_model
from tfmm.export import signatures

OPTIONS = {'frame_rate': 10.0, 'short_side': 36, 'sample_rate': 8000}
LABELS = tuple(f'label {i}' for i in range(tiny_models.NUM_CLASSES))
FRAMES = dataset.RgbFrames(
    num_frames=2, stride=2, size=32, short_side=36, scale_range=(36, 40))
# 1280 samples, 32 bins, 32 frames.
SOUND = dataset.LogSpectrogram(
    sample_rate=8000, seconds=0.16, n_fft=63, window=60, hop=40)


def dataset_spec():
  preview = dataset.RgbPreview(frames=(0, 1), size=16)
  return dataset.DatasetSpec(
      views=(FRAMES, preview, SOUND), modalities=('rgb', 'audio'), num_segments=2,
      eval_segments=4)


def unimodal_spec(modality):
  return dataset.DatasetSpec(
      views=(FRAMES if modality == 'rgb' else SOUND,), modalities=(modality,),
      num_segments=2, eval_segments=4, segment_frames=4)


def set_threshold(model, batch):
  """Moves the policy's biases so that about half of the batch's gates are open."""
  present = tf.cast(batch['present'] > 0, tf.float32)
  logits = signatures.recognize(model, batch, present).extras['gate_logits'].numpy()
  margin = np.median(logits[..., 1] - logits[..., 0], axis=(0, 1))  # [M]
  kernel, bias = model.policy.heads.get_weights()
  bias = bias.reshape([-1, 2])
  bias[:, 1] -= margin
  model.policy.heads.set_weights([kernel, bias.reshape([-1])])


def exported(tmp_path_factory):
  """`model`, `spec`, `inputs`, `record`, `report`, `directory`, `version_dir`."""
  return _export(str(tmp_path_factory.getbasetemp() / 'tiny_export' / 'SM'))


@functools.lru_cache(maxsize=None)
def _export(directory):
  tf.keras.utils.set_random_seed(3)
  model, spec = tiny_models.ada_mml(), dataset_spec()
  # Without feedback the bias moves all margins alike, so the threshold is exact.
  model.policy.cell.feedback_kernel.assign(
      tf.zeros_like(model.policy.cell.feedback_kernel))
  inputs = preprocessing.ServedInputs.of(model, spec)
  record = saved_model.make_record(model, spec, inputs, LABELS, OPTIONS)
  request = next(samples.requests(record))
  views = inputs.decoded_clips(request, tf.constant(request['present']))
  set_threshold(model, {**views, 'present': request['present']})
  report = saved_model.export(
      model, spec, directory, labels=LABELS, options=OPTIONS)
  return types.SimpleNamespace(
      model=model, spec=spec, inputs=inputs, record=report.record, report=report,
      directory=directory, version_dir=report.version_dir, request=request)


def write_gif(path, frames=3):
  """Writes a short animation."""
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('gif', rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, 'rgb8'
    for k in range(frames):
      picture = np.full([48, 64, 3], 40 + 60 * k, np.uint8)
      frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
      container.mux(stream.encode(frame.reformat(format='rgb8')))
    container.mux(stream.encode())
  return str(path)
