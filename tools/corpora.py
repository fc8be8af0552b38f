"""Videos of a public corpus: how they are described, split, drawn and found on disk."""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import video_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """What readers are asked for; see the flags of make_manifest.

  Attributes:
    annotations: file or folder of the corpus' own annotations.
    video_dir: only for `folder`, whose annotations are its folders.
    clips: ActivityNet: 'videos', or 'segments' for every annotated span.
    multi_label: all labels of a video, or only its main one.
    trimmed: Kinetics: a file called by the id alone is cut to the clip already.
    official_test: Kinetics: the official test split is the test split.
    class_names: FCVID: file of names, one a line in the order of the label columns.
    fold: UCF101: 1, 2 or 3.
    seconds: Mini-Sports1M: shortest and longest video, or () for any length.
  """
  annotations: str = ''
  video_dir: str = ''
  clips: str = 'videos'
  multi_label: bool = False
  trimmed: bool = False
  official_test: bool = False
  class_names: str = ''
  fold: int = 1
  seconds: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Video:
  """A video, or a clip of one, as a corpus lists it.

  Attributes:
    name: what the corpus calls it.
    labels: its classes, the main one first.
    split: 'train', 'validation', 'test', or '' where nobody has decided.
    files: names, without extension, of files that hold just this; best first.
    sources: names of longer files of which this is `start_s` to `end_s` (seconds).
    folder: where the corpus keeps the file; tells files of one name apart.
    group: what it was cut from; videos of one group stay in one split.
    seconds: length, where the corpus says it.
    path: of the file below the folder of videos, once it is found.
  """
  name: str
  labels: tuple[str, ...]
  split: str
  files: tuple[str, ...] = ()
  sources: tuple[str, ...] = ()
  start_s: float | None = None
  end_s: float | None = None
  folder: str = ''
  group: str = ''
  seconds: float | None = None
  path: str | None = None


@dataclasses.dataclass
class Listing:
  """All videos of a corpus, and what was left out on the way, as sentences."""
  videos: list[Video] = dataclasses.field(default_factory=list)
  notes: list[str] = dataclasses.field(default_factory=list)

  def note(self, count: int, what: str):
    """Adds 'count what', if there are any."""
    if count:
      self.notes.append(f'{count:,} {what}')


@dataclasses.dataclass
class Found:
  """What is there of a corpus.

  Attributes:
    videos: those with a file.
    missing: those without.
    wanted: {class: how many there should be}.
    total: how many there should be.
    unfit: files that a draw passed over.
  """
  videos: list[Video] = dataclasses.field(default_factory=list)
  missing: list[Video] = dataclasses.field(default_factory=list)
  wanted: collections.Counter[str] = dataclasses.field(
      default_factory=collections.Counter)
  total: int = 0
  unfit: int = 0

  def drop_repeated(self) -> int:
    """Keeps the first video of each file and span; returns how many went."""
    before = len(self.videos)
    self.videos = list({(v.path, v.start_s, v.end_s): v
                        for v in reversed(self.videos)}.values())[::-1]
    return before - len(self.videos)


def stable_hash(*parts) -> str:
  """Hexadecimal digits that are the same always and everywhere."""
  text = '\n'.join(map(str, parts)).encode('utf-8', 'surrogateescape')
  return hashlib.blake2b(text, digest_size=8).hexdigest()


def drop_leaks(listing: Listing):
  """Takes out of training what is cut from a source that is tested, too."""
  tested = {video.group for video in listing.videos if video.split == 'test'}
  kept = [video for video in listing.videos
          if video.split != 'train' or video.group not in tested]
  listing.note(len(listing.videos) - len(kept),
               'training videos are of a source that is also tested: left out')
  listing.videos = kept


def take_validation(videos: Sequence[Video], fraction: float, seed: int) -> list[Video]:
  """Moves a share of each class from training to validation, whole groups at a time.

  Which groups go is decided by their hash, among all that the corpus lists. So it
  does not depend on which files are there. At least one group of a class goes, and at
  least one stays.

  Raises:
    ValueError: there are validation videos already, or no training videos.
  """
  if not fraction:
    return list(videos)
  splits = {video.split for video in videos}
  if 'validation' in splits:
    raise ValueError(f'--validation_fraction={fraction:g} is for corpora without a '
                     'validation split, and this one has one; leave it out')
  if 'train' not in splits:
    raise ValueError(f'--validation_fraction={fraction:g} takes from training, and '
                     'there are no folders train and test; leave it out: '
                     'prepare_videos splits by hash (--split_fractions)')
  groups = collections.defaultdict(set)
  for video in videos:
    if video.split == 'train':
      groups[video.labels[0]].add(video.group)
  chosen = set()
  for members in groups.values():
    order = sorted(members, key=lambda g: (stable_hash('validation', seed, g), g))
    count = max(round(fraction * len(order)), 1)
    chosen.update(order[:min(count, len(order) - 1)])
  return [dataclasses.replace(video, split='validation')
          if video.split == 'train' and video.group in chosen else video
          for video in videos]


def locate(video: Video, files: video_files.VideoFiles) -> Video:
  """The video with its path, if there is a file; without times if that is cut."""
  path = files.find(video.files, video.folder)
  if path is not None:
    return dataclasses.replace(video, path=path, start_s=None, end_s=None)
  return dataclasses.replace(video, path=files.find(video.sources, video.folder))


def find_all(videos: Iterable[Video], files: video_files.VideoFiles) -> Found:
  """Looks for the file of every video."""
  found = Found()
  for video in videos:
    found.total += 1
    found.wanted.update(video.labels)
    video = locate(video, files)
    (found.missing if video.path is None else found.videos).append(video)
  return found


def draw(videos: Iterable[Video], files: video_files.VideoFiles, *,
         counts: Mapping[str, int], seed: int,
         is_fit: Callable[[Video], bool]) -> Found:
  """Draws the same number of videos for each class, of those whose file is there.

  All videos of a class and split are put in an order by hash; the first fitting ones
  with a file are drawn. Where all files are there this is a draw from the whole
  corpus, and a file that is missing changes nothing but its own place.

  Args:
    videos: what to draw from.
    files: what is there.
    counts: {split: videos for each class}.
    seed: another seed, another order.
    is_fit: called with a video whose file is there.

  Returns:
    The drawn ones; `missing` are those that a draw from complete files would begin
    with, the ones to download.
  """
  classes = collections.defaultdict(list)
  for video in videos:
    classes[video.labels[0], video.split].append(video)
  found = Found()
  for (label, split), members in sorted(classes.items()):
    count = counts[split]
    members = list({video.name: video for video in members}.values())
    members.sort(key=lambda v: (stable_hash('draw', seed, v.name), v.name))
    found.wanted[label] += count
    found.total += count
    left = count
    for i, video in enumerate(members):
      if not left and i >= count:
        break
      video = locate(video, files)
      if video.path is None:
        if i < count:
          found.missing.append(video)
      elif left and is_fit(video):
        found.videos.append(video)
        left -= 1
      elif left:
        found.unfit += 1
  return found
