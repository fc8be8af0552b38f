"""Measuring a trained model on a split: how right, how cheap, how fast."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfmm.data import dataset as dataset_lib
from tfmm.layers import randomness
from tfmm.metrics import compute
from tfmm.metrics import recognition as recognition_metrics
from tfmm.models import base


class Decisions(NamedTuple):
  """What a model said of every video of a split, N videos in stored order."""

  media_id: np.ndarray  # [N] bytes
  label: np.ndarray  # [N], or [N, C] multi-hot
  logits: np.ndarray  # [N, C]
  ran: np.ndarray  # [N, S, M]
  awake: np.ndarray  # [N, S] segments whose overhead was spent
  present: np.ndarray  # [N, S, M]
  segment_times: np.ndarray  # [N, S, 2] seconds


def decide(model: base.GatedMultimodalModel, dataset: Iterable[Mapping],
           *, seed: int = 0, step: Callable | None = None,
           budget_gflops: float | None = None,
           on_batch: Callable[[int], None] = lambda n: None) -> Decisions:
  """Runs the model over a dataset of batches.

  Args:
    model: in either skip mode.
    dataset: batches as `tfmm.data.dataset.make_dataset` gives them.
    seed: of whatever the model draws at test time (`test_gate='sample'`).
    step: an `inference_function` of the model, to trace once for several calls.
    budget_gflops: 1e9 multiply-adds that each video may cost; inf is a limit as well.
    on_batch: called with the number of videos done so far.
  """
  step = step or inference_function(model)
  parts = []
  done = 0
  for index, batch in enumerate(dataset):
    chance = randomness.fold_seed(tf.constant([seed, 0], tf.int64), index)
    numbers = numbers_only(batch)
    if budget_gflops is not None:
      numbers[base.BUDGET] = tf.fill([len(batch['label'])], float(budget_gflops))
    result = step(numbers, chance)
    present = batch['present'].numpy()
    awake = result.extras.get('awake', present.max(axis=2))
    parts.append((
        batch['media_id'].numpy(), batch['label'].numpy(), result.logits.numpy(),
        result.ran.numpy(), np.asarray(awake), present,
        batch['segment_times'].numpy()))
    done += len(parts[-1][0])
    on_batch(done)
  if not parts:
    raise ValueError('the split holds no video; there is nothing to evaluate.')
  return Decisions(*(np.concatenate(p) for p in zip(*parts)))


def numbers_only(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Without names of videos: accelerators take no strings."""
  return {k: v for k, v in batch.items() if v.dtype != tf.string}


def inference_function(model: base.GatedMultimodalModel):
  """(batch, seed) -> Recognition as one graph, in the model's present skip mode."""
  return tf.function(
      lambda batch, seed: model(batch, training=False, seed=seed),
      reduce_retracing=True)


def summarize(decisions: Decisions, model: base.GatedMultimodalModel) -> dict:
  """Metrics of recognition and of computation, as plain numbers."""
  d, names = decisions, model.modalities
  cost = model.segment_cost()
  convention = model.cost_convention
  awake = d.awake[..., np.newaxis]
  spent = compute.video_gflops(d.ran, awake, cost, names, convention)
  dense = compute.all_modalities_gflops(d.present, cost, names, convention)
  complete = compute.video_gflops(d.ran, awake, cost, names, 'total')
  scores = tf.nn.softmax(d.logits).numpy()
  return {
      'num_videos': len(d.label),
      'top1': recognition_metrics.top_k(scores, d.label, 1),
      'top5': recognition_metrics.top_k(scores, d.label, 5),
      'mAP': recognition_metrics.mean_average_precision(scores, d.label),
      'selection_rate': compute.selection_rate(d.ran, d.present, names),
      'gflops_per_video': float(spent.mean()),
      'gflops_all_modalities': float(dense.mean()),
      'gflops_per_video_complete': float(complete.mean()),
  }


def time_skip_modes(model: base.GatedMultimodalModel, dataset, *, batches: int = 4,
                    repeats: int = 5) -> dict[str, float]:
  """Wall milliseconds per video of both ways to run, interleaved, medians.

  Args:
    model: its skip mode is put back afterwards.
    dataset: batches; the first few are held in memory, so that decoding is not timed.
    batches: how many of them.
    repeats: timed rounds after one warm-up round.

  Returns:
    {'ms_per_video_masked', 'ms_per_video_gathered'}.
  """
  held = [numbers_only(batch) for batch in dataset.take(batches)]
  videos = sum(int(b['label'].shape[0]) for b in held)
  seed = tf.constant([0, 0], tf.int64)
  before, steps = model.skip, {}
  for mode in ('mask', 'gather'):
    model.skip = mode
    steps[mode] = inference_function(model)
    for batch in held:
      steps[mode](batch, seed)  # traces while the mode is set, and warms up
  model.skip = before
  spent: dict[str, list[float]] = {mode: [] for mode in steps}
  for _ in range(repeats):
    for mode, step in steps.items():
      start = time.perf_counter()
      for batch in held:
        step(batch, seed).logits.numpy()
      spent[mode].append(1e3 * (time.perf_counter() - start) / videos)
  return {'ms_per_video_masked': statistics.median(spent['mask']),
          'ms_per_video_gathered': statistics.median(spent['gather'])}


def decision_lines(decisions: Decisions, model: base.GatedMultimodalModel
                   ) -> Iterator[str]:
  """One JSON line per video: what was recognized and which modality ran where."""
  d = decisions
  for i in range(len(d.label)):
    label = d.label[i]
    yield json.dumps({
        'media_id': d.media_id[i].decode(),
        'label': int(label) if label.ndim == 0 else np.flatnonzero(label).tolist(),
        'top1': int(d.logits[i].argmax()),
        'modalities': list(model.modalities),
        'segment_times': np.round(d.segment_times[i], 3).tolist(),
        'ran': d.ran[i].astype(int).tolist(),
        'present': d.present[i].astype(int).tolist()})


def evaluate(run, *, split: str, batch_size: int, data_dir: str | None = None,
             skip: str = 'gather', seed: int = 0, timed_batches: int = 4,
             budgets: Sequence[float] = (),
             on_batch: Callable[[int], None] = lambda n: None
             ) -> tuple[dict, Decisions]:
  """Measures a run on a split.

  Args:
    run: a `tfmm.trained_run.TrainedRun`.
    split: 'train', 'validation' or 'test'; uniform segments, centre crops.
    batch_size: videos at a time.
    data_dir: where the data is, if it has moved since training.
    skip: how the reported decisions are computed; both ways are timed.
    seed: of what is drawn at test time.
    timed_batches: batches that are timed in both ways; 0 times nothing.
    budgets: limits of 1e9 multiply-adds for each video; the split is decided once more
      under each of them, for `budgets` of the metrics.
    on_batch: called with the number of videos done.

  Returns:
    The metrics as plain numbers, and what was decided for every video.
  """
  directory = data_dir or run.data_dir
  info = run.dataset.load_info(directory)
  if tuple(info.labels) != tuple(run.labels):
    raise ValueError(
        f'{directory} has other labels ({len(info.labels)}) than the run was trained '
        f'with ({len(run.labels)}); pass the data of the same labels.')
  batches = run.dataset.batches(
      directory, split, batch_size=batch_size, training=False, drop_remainder=False)
  check_budgets(run.model, budgets)
  run.model.skip = skip
  step = inference_function(run.model)
  with dataset_lib.reading(info):
    decisions = decide(run.model, batches, seed=seed, step=step, on_batch=on_batch)
    limited = {limit: decide(run.model, batches, seed=seed, step=step,
                             budget_gflops=limit, on_batch=on_batch)
               for limit in budgets}
  metrics = {
      'split': split, 'step': run.step, 'checkpoint': run.checkpoint,
      **summarize(decisions, run.model)}
  if budgets:
    metrics['budgets'] = [
        {'budget_gflops': limit, **summarize(made, run.model)}
        for limit, made in limited.items()]
  if timed_batches:
    metrics |= time_skip_modes(run.model, batches, batches=timed_batches)
  return metrics, decisions


def check_budgets(model: base.GatedMultimodalModel, budgets: Sequence[float]):
  """Raises ValueError unless the model can keep within them."""
  if not budgets:
    return
  least = model.least_budget()
  if least is None:
    raise ValueError(
        f'{type(model).__name__} takes no budget; a model with steps does, such as '
        'hms.HMS.')
  for limit in budgets:
    if not np.float32(limit) >= least:
      raise ValueError(
          f'a budget of {limit:g} GFLOPs is less than one step and the answer cost; '
          f'give {1.001 * least:.4g} or more.')


def budget_table(metrics: Mapping) -> str:
  """mAP and top-1 under each budget, as Table 2 of HMS; the last row has no limit."""
  rows = [(f'<{row["budget_gflops"]:g}', row) for row in metrics['budgets']]
  lines = [f'{"GFLOPs":>10}{"mAP":>10}{"top-1":>10}{"spent":>12}']
  lines += [f'{limit:>10}{100 * row["mAP"]:>9.1f}%{100 * row["top1"]:>9.1f}%'
            f'{row["gflops_per_video"]:>12.4g}'
            for limit, row in (*rows, ('<inf', metrics))]
  return '\n'.join(lines)


def table(metrics: Mapping) -> str:
  """The metrics as lines of text."""
  rows = [
      ('videos', f'{metrics["num_videos"]}  ({metrics["split"]} split)'),
      ('top-1', f'{100 * metrics["top1"]:.2f} %'),
      ('top-5', f'{100 * metrics["top5"]:.2f} %'),
      ('mAP', f'{100 * metrics["mAP"]:.2f} %')]
  rows += [(f'{m} selected', f'{100 * rate:.2f} % of segments')
           for m, rate in metrics['selection_rate'].items()]
  spent, dense = metrics['gflops_per_video'], metrics['gflops_all_modalities']
  rows += [
      ('GFLOPs per video', f'{spent:.4g}  (all modalities: {dense:.4g}, '
       f'{100 * (spent / dense - 1):+.1f} %)'),
      ('  complete count', f'{metrics["gflops_per_video_complete"]:.4g}')]
  if 'ms_per_video_masked' in metrics:
    rows += [('ms per video', f'{metrics["ms_per_video_masked"]:.2f} masked, '
              f'{metrics["ms_per_video_gathered"]:.2f} gathered')]
  width = max(len(name) for name, _ in rows)
  return '\n'.join(f'{name:<{width}}  {value}' for name, value in rows)
