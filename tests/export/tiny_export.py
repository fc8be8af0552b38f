"""Small models, each exported once for all tests of a session."""

import functools
import types

import av
import numpy as np
import tensorflow as tf

from tests import tiny_models
from tests.models import quick_models
from tests.training import tiny_run
from tfmm.data import dataset
from tfmm.encoders import cached
from tfmm.export import preprocessing
from tfmm.export import samples
from tfmm.export import saved_model
from tfmm.export import signatures
from tfmm.layers import gated_encoder
from tfmm.models import adamml
from tfmm.models import fusion
from tfmm.models import hms

OPTIONS = {
    'frame_rate': 10.0, 'short_side': 36, 'sample_rate': 8000, 'flow': 'dis_fast'}
LABELS = tuple(f'label {i}' for i in range(tiny_models.NUM_CLASSES))
FRAMES = dataset.RgbFrames(
    num_frames=2, stride=2, size=32, short_side=36, scale_range=(36, 40))
# 1280 samples, 32 bins, 32 frames.
SOUND = dataset.LogSpectrogram(
    sample_rate=8000, seconds=0.16, n_fft=63, window=60, hop=40)
# Other frames, on which an encoder of its own looks for motion.
CLIP = dataset.RgbFrames(
    name='clip', modality='motion', num_frames=3, stride=1, size=24, short_side=32,
    scale_range=(32, 32))
# Scaled at test time, and of runs that reach behind the segment.
_STACKS = dict(num_frames=2, stride=2, fields=3, size=24, short_side=32,
               scale_range=(32, 32))
FLOW = dataset.FlowFrames(**_STACKS)
DIFFERENCES = dataset.RgbDifferences(**_STACKS)
PREVIEW = dataset.RgbPreview(frames=(0, 1), size=16)
FLOW_PREVIEW = dataset.FlowPreview(frames=(0,), fields=3, size=12)
DIFFERENCE_PREVIEW = dataset.RgbDifferencePreview(
    frames=(1,), stride=2, fields=3, crop=24, size=12, short_side=32,
    scale_range=(32, 32))
# What the encoders read, and what the policy looks at.
KINDS = {
    'flow': ([FRAMES, FLOW], [PREVIEW, FLOW_PREVIEW]),
    'difference': ([FRAMES, FLOW], [PREVIEW, DIFFERENCE_PREVIEW]),
    'motion': ([DIFFERENCES], []),
    'clip': ([FRAMES, CLIP], []),
}


def dataset_spec():
  return dataset.DatasetSpec(
      views=(FRAMES, PREVIEW, SOUND), modalities=('rgb', 'audio'), num_segments=2,
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


def model_of_kind(name):
  """A model of backbones of two layers, and its dataset spec."""
  whole, looked_at = KINDS[name]
  modalities = tuple(view.modality for view in whole)
  spec = dataset.DatasetSpec(
      views=(*whole, *looked_at), modalities=modalities, num_segments=2,
      eval_segments=4)
  options = dict(encoders={view.modality: tiny_run.gated(view) for view in whole},
                 num_classes=len(LABELS))
  if not looked_at:
    return fusion.LateFusion(**options), spec
  policy = functools.partial(
      adamml.Policy, joint_dim=8, lstm_units=4, encoders={
          view.name: tiny_run.Backbone(row_spec=view.spec()) for view in looked_at})
  return adamml.AdaMML(policy=policy, **options), spec


def steps_model():
  """An HMS that hears and then looks, and its dataset spec."""
  spec = dataset.DatasetSpec(
      views=(tiny_run.FRAMES, tiny_run.SOUND), modalities=('rgb', 'audio'),
      num_segments=2, eval_segments=4)
  return quick_models.hms(), spec


def features_model():
  """An HMS on features, their spec, and the options of extract_features."""
  dims = {'audio': 6, 'rgb': 7}
  encoders = {m: gated_encoder.GatedEncoder(
      cached.CachedFeatures(feature_dim=d, gflops_per_row=g), view=m)
              for (m, d), g in zip(dims.items(), (.07, .99))}
  model = hms.HMS(encoders=encoders, num_classes=len(LABELS), levels=[
      hms.LevelSpec(reads='audio', projection_dim=4, units=3),
      hms.LevelSpec(reads='rgb', projection_dim=5, units=5)])
  spec = dataset.FeatureSpec(dims=dims, modalities=('rgb', 'audio'), eval_segments=4)
  options = {
      m: {'name': m.upper(), 'dimensions': d, 'steps': 4} for m, d in dims.items()}
  return model, spec, options


def open_half(model, batch):
  """Moves the gate of an HMS of two levels so that half of the batch's steps look."""
  gate, state = model.levels[1].gate, 2 * model.levels[1].units
  # It reads what is heard and not the state, so the threshold is exact; and two-layer
  # backbones hear small differences.
  kernel = 100. * gate.kernel.numpy()
  kernel[-state:] = 0
  gate.kernel.assign(kernel)
  scores = signatures.recognize(model, batch, batch['present']).extras['gate_logits']
  margins = scores[..., 0, 1] - scores[..., 0, 0]
  gate.bias.assign_add([0., -np.median(margins)])


def exported(tmp_path_factory, kind='sound'):
  """`model`, `spec`, `inputs`, `record`, `report`, `directory`, `version_dir`.

  Args:
    tmp_path_factory: of pytest.
    kind: one of `KINDS`; 'sound': `tiny_models.ada_mml`; 'steps': `steps_model`;
      'features': `features_model`.
  """
  folder = tmp_path_factory.getbasetemp() / 'tiny_export' / kind
  return _export(kind, str(folder / 'SM'))


@functools.lru_cache(maxsize=None)
def _export(kind, directory):
  tf.keras.utils.set_random_seed(3)
  options = OPTIONS
  if kind == 'features':
    model, spec, options = features_model()
  elif kind == 'steps':
    model, spec = steps_model()
  else:
    model, spec = (
        (tiny_models.ada_mml(), dataset_spec()) if kind == 'sound'
        else model_of_kind(kind))
  inputs = None
  if kind != 'features':
    inputs = preprocessing.ServedInputs.of(model, spec)
  record = saved_model.make_record(model, spec, inputs, LABELS, options)
  request = next(samples.requests(record))
  views = request
  if inputs is not None:
    views = inputs.decoded_clips(request, tf.constant(request['present']))
    views = {**views, 'present': request['present']}
  if hasattr(model, 'policy'):
    # Without feedback the bias moves all margins alike, so the threshold is exact.
    model.policy.cell.feedback_kernel.assign(
        tf.zeros_like(model.policy.cell.feedback_kernel))
    set_threshold(model, views)
  if isinstance(model, hms.HMS):
    open_half(model, views)
  report = saved_model.export(
      model, spec, directory, labels=LABELS, options=options)
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
