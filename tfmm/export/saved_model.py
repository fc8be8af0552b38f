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
from tfmm.data import dataset
from tfmm.export import foreign_ops
from tfmm.export import preprocessing
from tfmm.export import record as serving_record
from tfmm.export import samples
from tfmm.export import signatures
from tfmm.export import warmup
from tfmm.models import base

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
    dataset_spec: the `DatasetSpec` that it was trained with, or the `FeatureSpec`: then
      `views` is the only signature.
    output_dir: numbered versions go here; the next free number is taken.
    labels: class names, one per column of the logits.
    options: how the training records were made (`dataset_info.json`'s options):
      `frame_rate` in hertz, `short_side` in pixels, `sample_rate` in hertz,
      `jpeg_quality`, `flow`. Of features: {view: options of extract_features}.
    recipe: text for the record; the model's class if empty.

  Returns:
    An `ExportReport`.

  Raises:
    ValueError: a view cannot be computed in the graph, `options` do not name the flow
      or the features that the model reads, a foreign operation is in the graph, or the
      reloaded model disagrees with the Python one. Nothing is left in `output_dir`
      then.
  """
  if len(labels) != model.num_classes:
    raise ValueError(
        f'{len(labels)} labels for a model of {model.num_classes} classes; they must '
        'be those of the data set that it was trained on')
  inputs = None
  if not isinstance(dataset_spec, dataset.FeatureSpec):
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
  """The `ServingRecord` of a model; arguments as `export` and `ServedModel`."""
  cost = model.segment_cost()
  counts = {**cost.modality, 'overhead': cost.overhead, 'once': cost.once}
  gflops = {k: getattr(count, model.cost_convention) / 1e9
            for k, count in counts.items()}
  reads = (_feature_numbers(model, spec, options) if inputs is None
           else _video_numbers(spec, inputs, options))
  return serving_record.ServingRecord(
      labels=tuple(labels),
      modalities=tuple(model.modalities),
      num_segments=spec.eval_segments,
      gflops=gflops,
      least_budget=model.least_budget(),
      recipe=recipe or type(model).__name__,
      tfmm_version=tfmm.__version__,
      **reads,
  )


def _video_numbers(spec, inputs, options):
  """Fields of the record on pictures and sound."""
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
  return dict(
      sources=inputs.sources, pictures=tuple(pictures), segment_frames=spec.window,
      frame_rate=float(options['frame_rate']), short_side=int(options['short_side']),
      jpeg_quality=int(options.get('jpeg_quality', 90)), **numbers)


def _feature_numbers(model, spec, options):
  """Fields of the record on features; there are no pictures and no sound."""
  if tuple(spec.modalities) != tuple(model.modalities):
    raise ValueError(
        f'the data has modalities {spec.modalities} and the model {model.modalities}; '
        'export with the dataset spec of the run')
  made = {}
  for view, read in model.input_specs().items():
    made[view] = dict(options.get(view) or {})
    if made[view].get('dimensions') != read.shape[-1]:
      raise ValueError(
          f'the model reads features {view!r} of {read.shape[-1]} numbers, and the '
          f'options of its data say {made[view].get("dimensions")}; export with the '
          'options of the run')
  return dict(sources=(), segment_frames=0, frame_rate=0., short_side=0, jpeg_quality=0,
              features=made)


def _verify_and_warm(work, model, inputs, record):
  """Compares the reloaded model with the Python one; writes the warm-up requests."""
  served = tf.saved_model.load(work).signatures
  ask_first = signatures.VIEWS if inputs is None else signatures.SERVING
  views_of = _views_of(inputs)

  def compare(request):
    """Largest difference, and the answer of the signature that is warmed up."""
    tensors = {name: tf.constant(value) for name, value in request.items()}
    given = {signatures.SERVING: tensors, signatures.VIEWS: views_of(tensors)}
    views = given[signatures.VIEWS]
    expected = signatures.recognize(model, views, views['present'])
    got = {name: served[name](**given[name]) for name in served}
    return max(_difference(expected, g) for g in got.values()), got[ask_first]

  worst = 0.0
  ran = np.zeros(len(record.modalities))
  chosen = []
  for request in samples.requests(record):
    difference, outputs = compare(request)
    worst = max(worst, difference)
    if base.BUDGET in request:
      worst = max(worst, compare(samples.limited(request, outputs['gflops']))[0])
    opened = outputs['ran'].numpy().sum((0, 1)) > 0
    closes = request['present'].min() == 0
    if not chosen or closes or (opened & (ran == 0)).any():
      chosen.append(request)
    ran += opened
  if worst > PARITY:
    raise ValueError(
        f'the exported model differs from the Python one by {worst:.2g} (relative, '
        f'logits); at most {PARITY} is rounding, so the export is wrong')
  warmup.write_warmup_requests(work, [
      warmup.predict_request(r, model_name='tfmm', signature_name=ask_first)
      for r in chosen])
  return worst, tuple(m for m, r in zip(record.modalities, ran) if r)


def _views_of(inputs):
  """Function from a request's tensors to those of `views`, all pictures decoded."""
  if inputs is None:
    return lambda tensors: tensors

  @tf.function(reduce_retracing=True)
  def views_of(tensors):
    present = inputs.audible(tensors, tensors['present'])
    views = {**inputs.decoded_clips(tensors, present), 'present': present}
    if base.BUDGET in tensors:
      views[base.BUDGET] = tensors[base.BUDGET]
    return views

  return views_of


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
  """A few lines on an `ExportReport`."""
  record = report.record
  cold = [m for m in record.modalities if m not in report.warmed]
  warm = 'each modality open and closed'
  if cold:
    warm = f'all but an open gate of {", ".join(cold)}, which no sample opened'
  limited = '' if record.least_budget is None else ', also under budgets'
  lines = [
      f'{report.version_dir}: {report.num_bytes / 1e6:.1f} MB, {report.num_nodes} '
      f'nodes of {report.num_ops} operation types, all of core TensorFlow']
  if record.features:
    lines.append(
        f'takes features of {", ".join(record.features)}, by the signature '
        f'{signatures.VIEWS!r} alone; no files of videos')
  if limited:
    least = serving_record.rounded_up(record.least_budget)
    lines.append(f'takes {base.BUDGET}, {least} or more for each video')
  return '\n'.join([
      *lines,
      f'reloaded and compared with the run{limited}: logits differ by '
      f'{report.parity:.1g} (limit {PARITY:.0e})',
      f'warm-up requests: {warm}',
  ])
