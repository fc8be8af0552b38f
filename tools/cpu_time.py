"""CPU time of calls with all their child processes, and medians of rounds."""

import resource
import statistics
from collections.abc import Callable, Mapping


def so_far() -> float:
  """CPU seconds so far, of this process and of all children that have ended."""
  return sum(sum(resource.getrusage(who)[:2])
             for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def of(run: Callable[[], object]) -> float:
  """CPU seconds of a call, children that it starts and ends included."""
  begin = so_far()
  run()
  return so_far() - begin


def medians(variants: Mapping[str, Callable[[], float]], repeats: int
            ) -> dict[str, float]:
  """Runs all variants in turn, `repeats` times; the median of what each returns."""
  values = {name: [] for name in variants}
  for _ in range(repeats):
    for name, run in variants.items():
      values[name].append(run())
  return {name: statistics.median(v) for name, v in values.items()}
