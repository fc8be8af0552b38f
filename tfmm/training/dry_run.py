"""Builds a recipe at full size and takes one real step of each phase."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfmm import schema
from tfmm.training import checkpoints

_BYTES_PER_RSS = 1 if sys.platform == 'darwin' else 1024


def run(*, make_state: Callable[..., Any], plan, info, batch_size: int, init_from,
        strategy: tf.distribute.Strategy, recipe: Callable[[], str] | None
        ) -> dict[str, Any]:
  """One step of each distinct phase on whatever data is there; saves nothing.

  Prints parameters per variable group, GFLOPs per segment and modality, loss and
  seconds of each step, and the peak memory of this process.

  Args:
    make_state: (split, batch size) -> `loop.State`.
    plan: whose phases to try.
    info: of the dataset; any split with videos will do.
    batch_size: at most; a smaller dataset gives a smaller batch.
    init_from: as in `loop.train`.
    strategy: in whose scope variables are made.
    recipe: as in `loop.train`; called after the first step.

  Returns:
    What was printed, as numbers.
  """
  split = next((s for s in schema.SPLITS if info.splits.get(s, {}).get('num_videos')),
               None)
  if split is None:
    raise ValueError(f'{info.data_dir} has no videos; a dry run needs one.')
  batch_size = min(batch_size, info.num_videos(split))
  state = make_state(split, batch_size)
  if init_from:
    with strategy.scope():
      checkpoints.initialize_from(state.model, init_from)
  result: dict[str, Any] = {'parameters': {}, 'gflops_per_segment': {}, 'phases': {}}
  for group, variables in state.model.variable_groups().items():
    count = sum(v.shape.num_elements() for v in variables)
    result['parameters'][group] = count
    print(f'{group}: {count / 1e6:.2f} M parameters in {len(variables)} variables')
  _print_cost(state.model, result)
  spans = {}
  for span in plan.spans(1):
    spans.setdefault(span.phase.name, span)
  for number, (name, span) in enumerate(spans.items()):
    state.trainer.set_span(span)
    start = time.monotonic()
    values = state.trainer.train(tf.constant(1))
    seconds = time.monotonic() - start
    result['phases'][name] = values
    print(f'{name}: one step of {batch_size} videos of {split!r}, loss '
          f'{values["loss"]:.3f}, moves {"+".join(span.phase.moves)}, {seconds:.1f} s '
          'with tracing', flush=True)
    if recipe and not number:
      recipe()
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_RSS
  result['peak_memory_bytes'] = peak
  print(f'peak memory: {peak / 2 ** 30:.2f} GiB. Nothing was saved.')
  return result


def _print_cost(model, result):
  cost = model.segment_cost()
  rows = {**{f'{m} recognition': c for m, c in cost.modality.items()},
          'policy' if 'policy' in model.variable_groups() else 'joint layers':
              cost.overhead}
  for name, macs in rows.items():
    if not macs.total:
      continue
    result['gflops_per_segment'][name] = macs.papers / 1e9
    print(f'{name}: {macs.papers / 1e9:.6f} GFLOPs per segment (as the papers count; '
          f'{macs.total / 1e9:.6f} with everything)')
