"""Video files below a folder, found once and then looked up by name."""

import os
from collections.abc import Iterable, Iterator

EXTENSIONS = frozenset((
    '.3gp', '.avi', '.f4v', '.flv', '.gif', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4',
    '.mpeg', '.mpg', '.mts', '.ogv', '.ts', '.vob', '.webm', '.wmv'))


def scan(root: str) -> Iterator[str]:
  """Paths of video files below `root`, relative to it, in no fixed order.

  Files are told by their extension; none is opened. Links are followed, but not
  back to a folder that they lie in, and of several links to one folder only one.

  Raises:
    ValueError: `root` is remote or no folder.
    OSError: a folder cannot be read.
  """
  if '://' in root:
    raise ValueError(f'{root} is remote; give a local (or mounted) folder')
  if not os.path.isdir(root):
    raise ValueError(f'{root} is no folder; give the one that the videos are below')
  linked = set()
  waiting = ['']
  while waiting:
    folder = waiting.pop()
    with os.scandir(os.path.join(root, folder)) as entries:
      for entry in entries:
        path = f'{folder}/{entry.name}' if folder else entry.name
        if entry.is_dir():
          if entry.is_symlink():
            target = os.path.realpath(entry.path)
            here = os.path.realpath(os.path.dirname(entry.path))
            if target in linked or f'{here}/'.startswith(f'{target}/'):
              continue
            linked.add(target)
          waiting.append(path)
        elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
          yield path


class VideoFiles:
  """Paths of video files by their names without extension.

  `Title [id].mp4`, as yt-dlp calls a file, is found by its id, too.

  Attributes:
    count: how many files there are.
  """

  def __init__(self, root: str):
    self.count = 0
    self._paths = {}  # name: path, or list of paths
    for path in scan(root):
      self.count += 1
      name = os.path.splitext(path.rsplit('/', 1)[-1])[0]
      self._add(name, path)
      if name.endswith(']') and ' [' in name:
        self._add(name[name.rindex(' [') + 2:-1], path)

  def _add(self, name, path):
    known = self._paths.setdefault(name, path)
    if known is not path:
      if isinstance(known, str):
        known = self._paths[name] = [known]
      known.append(path)

  def find(self, names: Iterable[str], folder: str = '') -> str | None:
    """Path, relative to the root, of a file that has one of the names.

    Args:
      names: without extension, best first.
      folder: of several files with one name, those in a folder called so are
        preferred; then the first in alphabetical order is taken.
    """
    for name in names:
      found = self._paths.get(name)
      if isinstance(found, list):
        return min(found, key=lambda path: (f'/{folder}/' not in f'/{path}', path))
      if found is not None:
        return found
    return None
