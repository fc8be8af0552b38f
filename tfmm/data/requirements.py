"""Whether a data set holds what a spec reads: asked before anything is read."""

import math

from tfmm import schema


def check(spec, info):
  """Compares a spec with the options of a data set.

  Args:
    spec: a `DatasetSpec`.
    info: a `DatasetInfo`.

  Raises:
    ValueError: a view asks for what the records do not hold; names the fix.
  """
  options, where = info.options, info.data_dir
  frames = options.get('frames', 'dense')
  if frames not in schema.FRAMES:
    raise ValueError(f'{where} was prepared with frames={frames!r}; this tfmm reads '
                     f'{", ".join(schema.FRAMES)}: update it, or prepare again')
  if options.get('foreign') and not options.get('frame_rate'):
    raise ValueError(f'{where} has no frame_rate in the options of '
                     f'{schema.DATASET_INFO}; write the frames per second there')
  for view in spec.views:
    _check_lists(view, options, where)
  if frames == 'segments':
    _check_windows(spec, options, where)


def _check_lists(view, options, where):
  """Whether the records have the lists that a view reads."""
  def refuse(what, flag):
    fix = ('its shards come from another program, so leave that view out'
           if options.get('foreign') else f'prepare with {flag}')
    raise ValueError(f'{where} was prepared without {what}, which view {view.name!r} '
                     f'reads; {fix}')

  if 'waveform' in view.reads and not options.get('sample_rate'):
    refuse('sound', f'--sample_rate={view.sample_rate}')
  if 'flow' in view.reads and not options.get('flow'):
    refuse('optical flow', '--flow=dis_fast')
  for name, key in schema.LOG_MEL_KEYS.items():
    if key in view.reads and name not in (options.get('log_mels') or ()):
      refuse(f'the log-mel {name!r}', f'--log_mels={name}')


def _check_windows(spec, options, where):
  """Whether the stored windows with their margins are long enough."""
  prepared = f"{where} was prepared with frames='segments'"
  try:
    stored = options['segment_frames']
    rate = options['frame_rate']
    seconds = options['segment_margin_seconds']
  except KeyError as error:
    raise ValueError(f'{prepared}, and {schema.DATASET_INFO} does not say its {error}; '
                     'prepare it again') from None
  if spec.window > stored:
    raise ValueError(
        f'{prepared} and --segment_frames={stored}, and segments of this run span '
        f'{spec.window} frames; prepare with --segment_frames={spec.window} or '
        '--frames=dense')
  margin = schema.margin_frames(seconds, rate)
  # What is stored from the first frame of a segment on: it lies in the window's middle.
  ahead = stored - (stored - spec.window) // 2
  for view in spec.views:
    reach = getattr(view, 'reach', 0)
    if reach > ahead + margin:
      raise ValueError(_too_short(
          prepared, view, f'reads {reach} frames from the start of a segment',
          ahead + margin, 'frames', (reach - ahead) / rate))
    if 'waveform' not in view.reads:
      continue
    if view.frame_rate is not None:
      raise ValueError(
          f'{prepared}, and view {view.name!r} places sound as if all frames came at '
          f'{view.frame_rate} Hz, where none is stored; set its frame_rate to None or '
          'prepare with --frames=dense')
    # At the video's ends a run has one margin, and sound there moves inside.
    if view.seconds > (stored + margin) / rate + 1e-6:
      raise ValueError(_too_short(
          prepared, view, f'hears {view.seconds:g} s',
          round((stored + margin) / rate, 3), 's', view.seconds - stored / rate))


def _too_short(prepared, view, needs, held, unit, margin_seconds):
  """The text of an error; the margin is rounded up to hundredths."""
  margin_seconds = math.ceil(margin_seconds * 100 - 1e-6) / 100
  return (f'{prepared}, and view {view.name!r} {needs}, where {held:g} {unit} are '
          f'stored; prepare with --segment_margin_seconds={margin_seconds:g} or '
          '--frames=dense')
