"""Writes a trained run as `OUTPUT/<version>/` and checks what it wrote.

A version directory appears under its number in one rename, complete, so that a
server which polls the directory never sees half of one.
"""

import dataclasses
import os
import shutil
import tempfile

import numpy as np
import tensorflow as tf

import tfmm
from tfmm import directory_lock
from tfmm.export import foreign_ops
from tfmm.export import preprocessing
from tfmm.export import record as serving_record
from tfmm.export import samples
from tfmm.export import signatures
from tfmm.export import warmup

# Of logits, relative to the largest one (or to 1): mask against gather, eager against
# graph, differ by float32 rounding.
PARITY = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportReport:
  """What was written.

  Attributes:
    version_dir: the directory of this version.
    num_bytes: of all its files.
    num_nodes: nodes of the graph and its functions.
    num_ops: different operation types, all of core TensorFlow.
    parity: largest |difference| of logits between the Python model and the reloaded
      SavedModel over the samples, relative to the largest logit (at least 1).
    warmed: modalities that ran in some warm-up request.
    record: the `ServingRecord` beside the graph.
  """

  version_dir: str
  num_bytes: int
  num_nodes: int
  num_ops: int
  parity: float
  warmed: tuple[str, ...]
  record: serving_record.ServingRecord


def export(model, dataset_spec, output_dir, *, labels, options, recipe=''):
  """Exports a model in gather mode.

  Args:
    model: a `GatedMultimodalModel` with its trained values.
    dataset_spec: the `DatasetSpec` that it was trained with.
    output_dir: numbered versions go here; the next free number is taken.
    labels: class names, one per column of the logits.
    options: how the training records were made (`dataset_info.json`'s options):
      `frame_rate` in hertz, `short_side` in pixels, `sample_rate` in hertz,
      `jpeg_quality`, `flow`.
    recipe: text for the record; the model's class if empty.

  Returns:
    An `ExportReport`.

  Raises:
    ValueError: a view cannot be computed in the graph, `options` do not name the flow
      that the model reads, a foreign operation is in the graph, or the reloaded model
      disagrees with the Python one. Nothing is left in `output_dir` then.
  """
  if len(labels) != model.num_classes:
    raise ValueError(
        f'{len(labels)} labels for a model of {model.num_classes} classes; they must '
        'be those of the data set that it was trained on')
  inputs = preprocessing.ServedInputs.of(model, dataset_spec)
  record = make_record(model, dataset_spec, inputs, labels, options, recipe)
  num_segments = record.num_segments
  served = signatures.ServedModel(model, inputs, num_segments=num_segments)
  directory_lock.make(output_dir, '--output_dir')
  # A server skips names that are no numbers.
  work = tempfile.mkdtemp(prefix='unfinished-', dir=output_dir)
  try:
    tf.saved_model.save(served, work, signatures=served.signatures)
    places, num_nodes = foreign_ops.op_places(work)
    foreign_ops.refuse_foreign_ops(work)
    parity, warmed = _verify_and_warm(work, model, inputs, record)
    serving_record.write(work, record)
    os.chmod(work, 0o755)  # mkdtemp's 0o700 would keep a server of another user out
    version_dir = _publish(work, output_dir)
  finally:
    shutil.rmtree(work, ignore_errors=True)
  return ExportReport(
      version_dir=version_dir, num_bytes=_num_bytes(version_dir), num_nodes=num_nodes,
      num_ops=len(places), parity=parity, warmed=warmed, record=record)


def make_record(model, spec, inputs, labels, options, recipe=''):
  """The `ServingRecord` of a model; arguments as `export`."""
  cost = model.segment_cost()
  counts = {**cost.modality, 'overhead': cost.overhead, 'once': cost.once}
  gflops = {k: getattr(count, model.cost_convention) / 1e9
            for k, count in counts.items()}
  pictures = [
      serving_record.PictureInput(
          name=source.name, reads=source.view.reads[0], offsets=source.offsets,
          run=source.run)
      for source in inputs.pictures]
  numbers = {}
  if any(source.reads == 'flow' for source in pictures):
    if not options.get('flow'):
      raise ValueError(
          'the model reads optical flow, and the options of its data do not name the '
          "algorithm (flow='dis_fast', ...): train it on shards that were prepared "
          'with --flow')
    numbers['flow'] = options['flow']
  if inputs.sounds:
    sound = inputs.sounds[0]
    numbers.update(
        record_sample_rate=int(options['sample_rate']), sample_rate=sound.sample_rate,
        seconds=sound.seconds, samples=sound.num_samples,
        sound_frame_rate=sound.frame_rate)
  return serving_record.ServingRecord(
      labels=tuple(labels),
      modalities=tuple(model.modalities),
      sources=inputs.sources,
      pictures=tuple(pictures),
      num_segments=spec.eval_segments,
      segment_frames=spec.window,
      frame_rate=float(options['frame_rate']),
      short_side=int(options['short_side']),
      jpeg_quality=int(options.get('jpeg_quality', 90)),
      gflops=gflops,
      recipe=recipe or type(model).__name__,
      tfmm_version=tfmm.__version__,
      **numbers,
  )


def _verify_and_warm(work, model, inputs, record):
  """Compares the reloaded model with the Python one; writes the warm-up requests."""
  served = tf.saved_model.load(work).signatures
  decode = tf.function(inputs.decoded_clips)
  worst = 0.0
  ran = np.zeros(len(record.modalities))
  chosen = []
  for request in samples.requests(record):
    tensors = {name: tf.constant(value) for name, value in request.items()}
    outputs = served[signatures.SERVING](**tensors)
    present = inputs.audible(tensors, tensors['present'])
    views = decode(tensors, present)
    expected = signatures.recognize(model, views, present)
    again = served[signatures.VIEWS](**views, present=present)
    for got in (outputs, again):
      worst = max(worst, _difference(expected, got))
    opened = outputs['ran'].numpy().sum((0, 1)) > 0
    closes = request['present'].min() == 0
    if not chosen or closes or (opened & (ran == 0)).any():
      chosen.append(request)
    ran += opened
  if worst > PARITY:
    raise ValueError(
        f'the exported model differs from the Python one by {worst:.2g} (relative, '
        f'logits); at most {PARITY} is rounding, so the export is wrong')
  warmup.write_warmup_requests(
      work, [warmup.predict_request(r, model_name='tfmm') for r in chosen])
  return worst, tuple(m for m, r in zip(record.modalities, ran) if r)


def _difference(expected, outputs):
  """Largest relative difference of logits; infinite if other gates were opened."""
  if not np.array_equal(expected.ran.numpy(), outputs['ran'].numpy()):
    return float('inf')
  logits = expected.logits.numpy()
  scale = max(1.0, float(np.abs(logits).max()))
  return float(np.abs(logits - outputs['logits'].numpy()).max()) / scale


def _publish(work, output_dir):
  """Renames `work` to the next free version number; returns the new path."""
  taken = [int(n) for n in os.listdir(output_dir) if n.isdecimal()]
  version = max(taken, default=0) + 1
  while True:
    target = os.path.join(output_dir, str(version))
    try:
      os.mkdir(target)  # claims the number: fails if another export took it
    except FileExistsError:
      version += 1
      continue
    os.rename(work, target)  # over the empty directory, in one step
    return target


def _num_bytes(directory):
  return sum(
      os.path.getsize(os.path.join(folder, name))
      for folder, _, names in os.walk(directory) for name in names)


def describe(report):
  """Three lines on an `ExportReport`."""
  cold = [m for m in report.record.modalities if m not in report.warmed]
  warm = 'each modality open and closed'
  if cold:
    warm = f'all but an open gate of {", ".join(cold)}, which no sample opened'
  return '\n'.join([
      f'{report.version_dir}: {report.num_bytes / 1e6:.1f} MB, {report.num_nodes} '
      f'nodes of {report.num_ops} operation types, all of core TensorFlow',
      f'reloaded and compared with the run: logits differ by {report.parity:.1g} '
      f'(limit {PARITY:.0e})',
      f'warm-up requests: {warm}',
  ])
