r"""Writes the manifest of a public corpus, as prepare_videos takes it.

  python tools/make_manifest.py --dataset=ucf101 --video_dir=UCF-101 \
    --annotations=ucfTrainTestlist --output=UCF-101/manifest.csv

It reads the corpus' official annotations and looks for its videos below --video_dir,
in whatever folders, by their names; extensions do not matter. Nothing is downloaded.
What is missing is counted for each class and left out; --missing=FILE lists it. Paths
in the manifest are relative to its folder, so that both can move together: a video's
path is its name in the prepared data, and what hashes are taken of.

What --annotations is, and which files are looked for:

  activitynet      activity_net.v1-3.min.json (or v1-2) of activity-net.org. Files
                   ID.mp4 or v_ID.mp4. Validation becomes test, as the labels of the
                   test are withheld. --clips=segments makes each annotated span a
                   clip of its own.
  fcvid            the folder `materials` of the archive that the authors give on
                   request, with FCVID_VideoName_TrainTestSplit.txt and FCVID_Label.txt
                   (239 columns). Files as the first list names them.
  kinetics400      train.csv and val.csv (or validate.csv), or the folder of both: see
                   github.com/cvdfoundation/kinetics-dataset. Files ID_000010_000020.mp4
                   are the clips; files ID.mp4 are whole videos of which the manifest
                   says start_s and end_s (with --trimmed they are clips, too).
                   Validation becomes test, as papers have it (but: --official_test).
  kinetics_sounds  the same files; 31 classes of them.
  mini_sports1m    the folder of github.com/gtoderici/sports-1m-dataset, or one with its
                   labels.txt and sports1m_train.json, sports1m_test.json, which know
                   lengths. Files ID.mp4. Draws 30 training and 10 test videos a class,
                   of one label and 2 to 5 minutes, among those that are there.
  ucf101           the folder ucfTrainTestlist. Files v_Class_g01_c01.avi; --fold.
  folder           none: class folders with videos, in train, val, test if there are any
                   (else the manifest has no splits, and prepare_videos makes them).
"""

import os
import sys

from absl import flags
import corpora
import corpus_lists
import corpus_readers
import manifest_writer
from tfmm import command_line
import video_files

_KINETICS = ('kinetics400', 'kinetics_sounds')
# Which corpora a flag is for; others have no use for it.
_ONLY_FOR = {
    'clips': ('activitynet',), 'multi_label': ('activitynet', 'fcvid'),
    'class_names': ('fcvid',), 'trimmed': _KINETICS, 'official_test': _KINETICS,
    'seconds': ('mini_sports1m',), 'fold': ('ucf101',),
}
_MINI_SPORTS = {'train': 30, 'test': 10}


def find_videos(dataset: str, options: corpora.Options, *, validation_fraction: float,
                seed: int) -> tuple[corpora.Found, list[str]]:
  """Reads the annotations and looks for the files.

  Returns:
    What is there, and notes about what was left out.

  Raises:
    ValueError, OSError: annotations or folders are not what they should be.
  """
  listing = corpus_readers.READERS[dataset](options)
  corpora.drop_leaks(listing)
  if dataset == 'folder':
    videos = corpora.take_validation(listing.videos, validation_fraction, seed)
    return corpora.Found(videos, total=len(videos)), listing.notes
  files = video_files.VideoFiles(options.video_dir)
  listing.notes.append(f'{files.count:,} video files below {options.video_dir}')
  if dataset == 'mini_sports1m':
    found = _draw(listing, files, options, seed)
    found.videos = corpora.take_validation(found.videos, validation_fraction, seed)
  else:
    found = corpora.find_all(
        corpora.take_validation(listing.videos, validation_fraction, seed), files)
  listing.note(found.drop_repeated(), 'rows name a file that another row has: left out')
  if dataset in _KINETICS:
    listing.note(sum(v.start_s is not None for v in found.videos),
                 'clips are to be cut out of whole videos (start_s, end_s); if files '
                 'called ID.mp4 are clips already, say --trimmed')
  return found, listing.notes


def _draw(listing, files, options, seed):
  def is_fit(video):
    if video.seconds is not None or not options.seconds:
      return True
    length = _seconds(os.path.join(options.video_dir, video.path))
    return length is not None and corpus_lists.is_as_long(length, options.seconds)

  found = corpora.draw(
      listing.videos, files, counts=_MINI_SPORTS, seed=seed, is_fit=is_fit)
  listing.note(found.unfit, 'files are shorter, longer or damaged: passed over')
  return found


def _seconds(path):
  """Length that the file's head tells, or None."""
  import av
  try:
    with av.open(path) as container:
      return container.duration / av.time_base if container.duration else None
  except (av.error.FFmpegError, OSError):
    return None


def run(values: flags.FlagValues):
  """Does what the flags say.

  Raises:
    ValueError, OSError: in one line, once; nothing is written then but --missing.
  """
  options = _options(values)
  found, notes = find_videos(
      values.dataset, options, validation_fraction=values.validation_fraction,
      seed=values.seed)
  for note in notes:
    _say(f'note: {note}')
  if values.missing:
    manifest_writer.write_missing(values.missing, found.missing)
    _say(f'{values.missing}: {len(found.missing):,} missing videos')
  if not found.videos:
    raise ValueError(_nothing(values, found))
  manifest_writer.report(found, _say)
  manifest_writer.write(values.output, values.video_dir, found.videos)
  _say(f'{values.output}: {len(found.videos):,} rows')
  if any(len(v.labels) > 1 for v in found.videos):
    _say('note: some videos have several labels; tell prepare_videos so: '
         f"--label_separator='{manifest_writer.SEPARATOR}'")


def _nothing(values, found):
  if found.unfit:
    return (f'none of the {found.unfit:,} files looked into has {values.seconds[0]} '
            f'to {values.seconds[1]} seconds; --seconds= takes any length')
  if not found.missing:
    return f'{values.video_dir} has no videos of {values.dataset}; see --help'
  names = found.missing[0].files + found.missing[0].sources
  return (f'none of the {len(found.missing):,} videos of {values.dataset} is below '
          f'{values.video_dir}; looked for {" or ".join(names)}, with the extension of '
          'a video, and so on')


def _options(values):
  for name, corpora_of_flag in _ONLY_FOR.items():
    if values[name].present and values.dataset not in corpora_of_flag:
      raise ValueError(f'--{name} is for {" and ".join(corpora_of_flag)}, not for '
                       f'{values.dataset}; leave it out')
  if bool(values.annotations) == (values.dataset == 'folder'):
    raise ValueError(
        '--annotations is not for folder, whose classes are its folders; leave it out'
        if values.annotations else
        f'--annotations is needed for {values.dataset}; --help says what it is')
  try:
    seconds = tuple(float(text) for text in values.seconds if text)
  except ValueError:
    seconds = (0.,)
  if len(seconds) not in (0, 2) or list(seconds) != sorted(seconds):
    raise ValueError(f'--seconds={",".join(values.seconds)} must be the shortest and '
                     "the longest, as 120,300, or '' for any length")
  return corpora.Options(
      annotations=values.annotations or '', video_dir=values.video_dir,
      clips=values.clips, seconds=seconds, trimmed=values.trimmed,
      multi_label=(values.dataset == 'fcvid' if values.multi_label is None
                   else values.multi_label),
      official_test=values.official_test, class_names=values.class_names,
      fold=int(values.fold))


def _say(text):
  print(text, file=sys.stderr, flush=True)


def define_flags(values: flags.FlagValues):
  """Defined when run and not when imported, as in the mains."""
  def define(kind, name, default, *rest, **options):
    kind(name, default, *rest, flag_values=values, **options)

  define(flags.DEFINE_enum, 'dataset', None, sorted(corpus_readers.READERS),
         'The corpus.', required=True)
  define(flags.DEFINE_string, 'video_dir', None, 'Folder that the videos are below.',
         required=True)
  define(flags.DEFINE_string, 'annotations', None,
         'Official annotation file, or folder with them; see above.')
  define(flags.DEFINE_string, 'output', None, 'The manifest to write.', required=True)
  define(flags.DEFINE_string, 'missing', None, 'CSV to write with what is missing.')
  define(flags.DEFINE_float, 'validation_fraction', 0.0,
         'Share of each class that goes from training to validation, by hash of the '
         'source; for corpora without a validation split.',
         lower_bound=0.0, upper_bound=0.5)
  define(flags.DEFINE_integer, 'seed', 0,
         'Of --validation_fraction and of the draw of mini_sports1m.')
  define(flags.DEFINE_enum, 'clips', 'videos', ['videos', 'segments'],
         'activitynet: a row for each video, or for each annotated span.')
  define(flags.DEFINE_boolean, 'multi_label', None,
         'activitynet, fcvid: all labels of a video, with | between them. Default: for '
         'fcvid all, for activitynet the one that is annotated longest.')
  define(flags.DEFINE_string, 'class_names', '',
         'fcvid: file with a name for each label column, one a line; without it '
         'classes are numbers.')
  define(flags.DEFINE_boolean, 'trimmed', False,
         'kinetics: files ID.mp4 are cut to the clip already.')
  define(flags.DEFINE_boolean, 'official_test', False,
         'kinetics: the official test and validation splits are what they are called.')
  define(flags.DEFINE_list, 'seconds', ['120', '300'],
         "mini_sports1m: shortest and longest video in seconds; '' for any. Where the "
         'annotations know no lengths, files are asked for theirs.')
  define(flags.DEFINE_enum, 'fold', '1', ['1', '2', '3'], 'ucf101: which of the lists.')


def main(argv, values: flags.FlagValues = flags.FLAGS):
  if len(argv) > 1:
    sys.exit(f'make_manifest: unexpected argument {argv[1]!r}; flags start with --.')
  try:
    run(values)
  except (ValueError, OSError) as error:
    sys.exit(f'make_manifest: {command_line.one_line(error)}')


if __name__ == '__main__':
  define_flags(flags.FLAGS)
  command_line.run('make_manifest', main)
