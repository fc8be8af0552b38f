"""What a job of preparing videos is: plain data, and which row goes to which shard."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from beam_pipelines import config as config_lib
from beam_pipelines import manifest
from tfmm import schema

ShardKey = tuple[str, int]  # split and index


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """All that a worker must know; plain data.

  Attributes:
    manifest_path: Read again by a worker, so that rows are not part of the graph.
    output_dir: Where shards go.
    config: What records are made with.
    labels: Class names; the position is the index.
    num_shards: Shards of each split; 0 for a split without rows.
    video_root: As `manifest.read`.
    label_separator: As `manifest.read`.
    split_fractions: For rows without a split.
    split_seed: Changes the split by hash.
    split_method: One of `manifest.SPLIT_METHODS`.
    timeout_seconds: As `guard.Child`.
    retry_rejected: Whether a finished shard with rejected videos is made again.
  """

  manifest_path: str
  output_dir: str
  config: config_lib.PrepareConfig
  labels: tuple[str, ...]
  num_shards: Mapping[str, int]
  video_root: str | None = None
  label_separator: str = ''
  split_fractions: Mapping[str, float] = dataclasses.field(default_factory=dict)
  split_seed: int = 0
  split_method: str = 'hash'
  timeout_seconds: float = 300.0
  retry_rejected: bool = False

  def read_manifest(self) -> list[manifest.Row]:
    """The rows, each with its split."""
    return self.with_splits(manifest.read(
        self.manifest_path, video_root=self.video_root,
        label_separator=self.label_separator))

  def with_splits(self, rows: Sequence[manifest.Row]) -> list[manifest.Row]:
    """The manifest's rows, each with its split."""
    return manifest.with_splits(
        rows, self.split_fractions, str(self.split_seed), self.split_method)

  def key_of(self, row: manifest.Row) -> ShardKey:
    """The shard of a row that has a split."""
    return row.split, manifest.shard_of(row, self.num_shards[row.split])

  def shard_name(self, key: ShardKey) -> str:
    return schema.shard_name(key[0], key[1], self.num_shards[key[0]])

  def shard_names(self) -> list[str]:
    return [self.shard_name(key) for key in self.shard_keys()]

  def shard_keys(self) -> list[ShardKey]:
    return [(split, k) for split in schema.SPLITS
            for k in range(self.num_shards.get(split, 0))]


def keyed_rows(job: Job) -> Iterator[tuple[ShardKey, manifest.Row | None]]:
  """Yields each row with its shard, and each shard once without a row.

  The latter make a file for a shard that no row falls into, so that `train@4` always
  names four files. They come first and by size: an engine that takes what is ready
  begins with the longest work, and one that deals shards out to its workers
  (FnApiRunner) deals alike ones.
  """
  keyed = [(job.key_of(row), row) for row in job.read_manifest()]
  size = collections.Counter(key for key, _ in keyed)
  for key in sorted(job.shard_keys(), key=lambda key: -size[key]):
    yield key, None
  yield from keyed
