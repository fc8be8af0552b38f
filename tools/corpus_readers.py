"""What public corpora list, read from their official annotation files.

ActivityNet, Kinetics and class folders; `corpus_lists` has those of plain text lists. A
reader takes `corpora.Options` and returns a `corpora.Listing`: every video or clip of
the corpus with its classes, its split and the names that its file may have.
"""

import os
from collections.abc import Iterable

import annotation_files
from corpora import Listing, Options, Video
import corpus_lists
import video_files

# The 31 classes of Kinetics-400 that are left of the 34 of Arandjelovic & Zisserman,
# "Look, Listen and Learn" (ICCV 2017): the list of Gao et al., "Listen to Look" (CVPR
# 2020), appendix B. Names are those of Kinetics-400.
KINETICS_SOUNDS = (
    'blowing nose', 'blowing out candles', 'bowling', 'chopping wood',
    'dribbling basketball', 'laughing', 'mowing lawn', 'playing accordion',
    'playing bagpipes', 'playing bass guitar', 'playing clarinet', 'playing drums',
    'playing guitar', 'playing harmonica', 'playing keyboard', 'playing organ',
    'playing piano', 'playing saxophone', 'playing trombone', 'playing trumpet',
    'playing violin', 'playing xylophone', 'ripping paper', 'shoveling snow',
    'shuffling cards', 'singing', 'stomping grapes', 'tap dancing', 'tapping guitar',
    'tapping pen', 'tickling')
_SPLITS = {'train': 'train', 'val': 'validation', 'valid': 'validation',
           'validate': 'validation', 'validation': 'validation', 'test': 'test'}
_KINETICS = ('train.csv and val.csv (or validate.csv) of Kinetics-400, with the '
             'columns label,youtube_id,time_start,time_end,split')


def activitynet(options: Options) -> Listing:
  """activity_net.v1-2.min.json or v1-3: {'database': {id: {subset, annotations}}}."""
  path = annotation_files.find(
      options.annotations, r'activity_net.*\.json',
      'activity_net.v1-3.min.json (or v1-2) of activity-net.org', or_file=True)
  content = annotation_files.read_json(path)
  database = content.get('database') if isinstance(content, dict) else None
  if not isinstance(database, dict):
    raise ValueError(f"{path} is no annotation file of ActivityNet: it has no entry "
                     "'database'; expected activity_net.v1-3.min.json (or v1-2)")
  listing = Listing()
  unlabelled = several = backwards = 0
  for name, entry in database.items():
    try:
      # The labels of the testing subset are withheld: papers test on validation.
      split = {'training': 'train', 'validation': 'test', 'testing': ''}[
          entry['subset']]
      spans = []
      for annotation in entry['annotations']:
        # Milliseconds, as a manifest tells them.
        start, end = (round(float(time), 3) for time in annotation['segment'])
        spans.append((annotation['label'].strip(), start, end))
    except (KeyError, TypeError, ValueError, AttributeError):
      raise ValueError(
          f'{path}: entry {name!r} is not as in ActivityNet; expected subset: '
          'training, validation or testing, and annotations: [{label, segment: '
          '[start, end]}, ...]') from None
    if not split or not spans:
      unlabelled += 1
      continue
    files = (f'v_{name}', name)
    if options.clips == 'segments':
      for start, end in dict.fromkeys(span[1:] for span in spans):
        if not 0 <= start < end:
          backwards += 1
          continue
        labels = _by_seconds(span for span in spans if span[1:] == (start, end))
        listing.videos.append(Video(
            name=f'{name} {start:.2f}-{end:.2f}',
            labels=labels if options.multi_label else labels[:1], split=split,
            sources=files, start_s=start, end_s=end, group=name))
      continue
    labels = _by_seconds(spans)
    several += len(labels) > 1
    listing.videos.append(Video(
        name=name, labels=labels if options.multi_label else labels[:1], split=split,
        files=files, group=name))
  listing.note(unlabelled, 'videos have no public labels (testing): left out')
  listing.note(backwards, 'segments end before they begin: left out')
  if not options.multi_label:
    listing.note(several, 'videos have several labels: the one annotated longest is '
                 'kept (--multi_label keeps all)')
  return listing


def _by_seconds(spans):
  """Labels of [(label, start, end)], the one with most annotated seconds first."""
  seconds = {}
  for label, start, end in spans:
    seconds[label] = seconds.get(label, 0.) + max(end - start, 0.)
  return tuple(sorted(seconds, key=lambda label: (-seconds[label], label)))


def kinetics400(options: Options, classes: Iterable[str] = ()) -> Listing:
  """CSV files with the columns label,youtube_id,time_start,time_end,split."""
  classes = frozenset(classes)
  listing = Listing()
  untested = unlabelled = 0
  seen = set()
  for path in _kinetics_files(options.annotations):
    for place, row in annotation_files.rows(path):
      try:
        label, name = (row.get('label') or '').strip(), row['youtube_id'].strip()
        start, end = float(row['time_start']), float(row['time_end'])
        split = _SPLITS[(row.get('split') or _split_in(path)).strip().lower()]
      except (KeyError, ValueError, AttributeError, TypeError):
        raise ValueError(f'{place}: {",".join(map(str, row.values()))!r} is no row of '
                         f'Kinetics; expected {_KINETICS}') from None
      if (classes and label and label not in classes) or (name, start, end) in seen:
        continue
      if split == 'test' and not options.official_test:
        untested += 1
        continue
      if not label:
        unlabelled += 1
        continue
      seen.add((name, start, end))
      cut = (f'{name}_{start:06.0f}_{end:06.0f}', f'{name}_{start:.0f}_{end:.0f}')
      listing.videos.append(Video(
          name=cut[0], labels=(label,),
          split='train' if split == 'train' else
          split if options.official_test else 'test',
          files=(*cut, name) if options.trimmed else cut,
          sources=() if options.trimmed else (name,),
          start_s=start, end_s=end, folder=label, group=name))
  listing.note(untested, 'clips of the official test split: left out, as papers test '
               'on validation (--official_test takes both)')
  listing.note(unlabelled, 'clips have no label: left out')
  absent = sorted(classes - {video.labels[0] for video in listing.videos})
  listing.note(len(absent), f'of {len(classes)} classes are not in the annotations: '
               f'{", ".join(absent)}')
  return listing


def kinetics_sounds(options: Options) -> Listing:
  """The clips of Kinetics-400 in the classes of Kinetics-Sounds."""
  return kinetics400(options, KINETICS_SOUNDS)


def _kinetics_files(place):
  if not os.path.isdir(place):
    return [annotation_files.find(place, '', _KINETICS, or_file=True)]
  paths = [os.path.join(place, name) for name in sorted(os.listdir(place))
           if name.endswith(('.csv', '.csv.gz')) and _split_in(name)]
  if not paths:
    raise ValueError(f'--annotations={place} has no CSV with train, val or test in its '
                     f'name; expected {_KINETICS}')
  return paths


def _split_in(path):
  name = os.path.basename(path).lower()
  return next((word for word in ('train', 'val', 'test') if word in name), '')


def folder(options: Options) -> Listing:
  """Class folders, in folders train, val, test if there are any."""
  listing = Listing()
  loose = 0
  for path in sorted(video_files.scan(options.video_dir)):
    parts = path.split('/')
    split = _SPLITS.get(parts[0].lower(), '')
    parts = parts[1:] if split else parts
    if len(parts) < 2:
      loose += 1
      continue
    listing.videos.append(Video(
        name=path, labels=(parts[0].strip(),), split=split, group=path, path=path))
  listing.note(loose, 'videos lie in no class folder: left out')
  splits = {video.split for video in listing.videos}
  if '' in splits and len(splits) > 1:
    odd = next(video.name for video in listing.videos if not video.split)
    raise ValueError(f'{options.video_dir} has folders called train or test and also '
                     f'{odd.split("/")[0]}; put all classes below train, val and test, '
                     'or none')
  return listing


READERS = {
    'activitynet': activitynet, 'fcvid': corpus_lists.fcvid, 'folder': folder,
    'kinetics400': kinetics400, 'kinetics_sounds': kinetics_sounds,
    'mini_sports1m': corpus_lists.mini_sports1m, 'ucf101': corpus_lists.ucf101,
}
