"""Prepared shards in words: the data set in a few lines, a record in a few more."""

import collections
import math
from collections.abc import Mapping

import numpy as np

import shard_directory
import shard_records
from tfmm import schema

_QUIET_OPTIONS = ('schema_version', 'num_shards')
_NOTHING = ('', None, [], {})
_FLOW_SAMPLES = 8  # fields of which the motion is measured
_NAMES_SHOWN = 8


def dataset_lines(directory: shard_directory.Directory) -> list[tuple[str, str]]:
  """(what, text) of a whole data set."""
  info, sidecars = directory.info, directory.sidecars
  lines = [('data set', directory.path + (
      '' if directory.is_completed else f', not finished: no {schema.COMPLETED}'))]
  options = info.get('options', {})
  lines.append(('options', ', '.join(
      f'{key} {_short(value)}' for key, value in options.items()
      if key not in _QUIET_OPTIONS and value not in _NOTHING)))
  versions = info.get('versions', {})
  if versions:
    lines.append(('made with', ', '.join(f'{k} {v}' for k, v in versions.items())))
  labels = info.get('labels', [])
  more = f', ... ({len(labels) - _NAMES_SHOWN} more)'
  lines.append(('classes', f'{len(labels)}: ' + ', '.join(labels[:_NAMES_SHOWN])
                + (more if len(labels) > _NAMES_SHOWN else '')))
  for name, split in info['splits'].items():
    if split.get('num_videos'):
      lines.append((name, _split_text(split, [
          sidecars[entry['file']] for entry in split.get('shards', ())])))
  lines.append(('rejected', _rejected_text(directory.rejected)))
  return lines


def _short(value):
  if isinstance(value, Mapping):
    return ' '.join(f'{k}:{_short(v)}' for k, v in value.items() if v not in _NOTHING)
  if isinstance(value, list):
    return ' '.join(map(str, value))
  return f'{value:g}' if isinstance(value, float) else str(value)


def _split_text(split, sidecars):
  """Videos, clips, hours, bytes and what was noted of one split."""
  def total(key):
    return split[key] if key in split else sum(s.get(key, 0) for s in sidecars)

  videos = f'{split["num_videos"]} videos'
  counts = list(split.get('per_label', {}).values())
  if counts:
    videos += f' ({min(counts)} to {max(counts)} of a class)'
  parts = [videos]
  if split.get('num_clips'):
    parts.append(f'{split["num_clips"]} clips')
  seconds, megabytes = split.get('seconds', 0), total('bytes') / 1e6
  if seconds:
    parts.append(f'{seconds / 3600:.2f} h' if seconds >= 3600
                 else f'{seconds / 60:.1f} min')
  parts.append(f'{megabytes:.{1 if megabytes >= 1 else 3}f} MB in {len(sidecars)} '
               f'shard{"s" if len(sidecars) > 1 else ""}')
  if seconds:
    parts.append(f'{60 * megabytes / seconds:.1f} MB a minute')
  for key, meaning in (('without_audio', 'without sound'), ('truncated', 'cut short'),
                       ('corrupt_frames', 'damaged frames'),
                       ('absent', 'steps absent')):
    if total(key):
      parts.append(f'{total(key)} {meaning}')
  return ', '.join(parts)


def _rejected_text(rows):
  reasons = collections.Counter(row.get('reason', '?') for row in rows)
  if not reasons:
    return 'none'
  return f'{len(rows)}: ' + ', '.join(
      f'{count} {reason}' for reason, count in reasons.most_common())


def record_lines(record: shard_records.Record) -> list[tuple[str, str]]:
  """(what, text) of one record."""
  start, end = record.span
  lines = [
      ('label', ', '.join(record.labels) or 'none'),
      ('span', f'{start:.2f} to {end:.2f} s of '
       f'{record.media_id or "an unnamed video"}'),
  ]
  if record.jpegs:
    lines.append(('frames', _frames_text(record)))
  if record.windows:
    windows = ' '.join(f'{first}-{last}' for first, last in record.windows)
    lines.append(('windows', f'{len(record.windows)}: frames {windows}'))
  if record.flow_jpegs:
    lines.append(('flow', _flow_text(record)))
  if record.waveform.size:
    lines.append(('sound', _sound_text(record)))
  for name, patches in record.log_mels().items():
    lines.append((f'log-mel {name}', f'{len(patches)} patches of '
                  f'{_shape(patches.shape[1:])}, {patches.min():.2f} to '
                  f'{patches.max():.2f}, mean {patches.mean():.2f}'))
  counts = [f'{record.one(key)} {meaning}' for key, meaning in (
      (schema.STATS_DECODED_FRAMES, 'decoded'),
      (schema.STATS_CORRUPT_FRAMES, 'damaged frames'),
      (schema.STATS_BAD_PACKETS, 'bad packets')) if record.context(key)]
  if record.one(schema.STATS_TRUNCATED):
    counts.append('cut short')
  if counts:
    lines.append(('decoding', ', '.join(counts) + ', up to the end of this clip'))
  for key, what in record.others().items():
    lines.append((key, what))
  lines.append(('record', f'{record.size / 1e6:.2f} MB, number {record.number} of '
                f'{record.shard}, split {record.split}'))
  return lines


def _frames_text(record):
  height, width = record.frame(0).shape[:2]
  rate = (f'{record.frame_rate:g} a second' if record.frame_rate
          else 'at an unknown rate')
  repeats = sum(a == b for a, b in zip(record.jpegs, record.jpegs[1:]))
  return (f'{len(record.jpegs)} of {width} x {height}, {rate}, JPEG '
          f'{_sizes(record.jpegs)}' + (f', {repeats} repeat the one before'
                                       if repeats else ''))


def _flow_text(record):
  count = len(record.flow_jpegs)
  lengths = np.concatenate([
      np.hypot(*np.moveaxis(record.flow(k), -1, 0)).ravel()
      for k in sorted({round(k) for k in np.linspace(0, count - 1, _FLOW_SAMPLES)})])
  bound = schema.FLOW_SATURATION_PIXELS
  return (f'{record.one(schema.FLOW_ALGORITHM, "unknown algorithm")}, {count} fields, '
          f'JPEG {_sizes(record.flow_jpegs)}; motion of {lengths.mean():.2f} pixels on '
          f'average, at most {lengths.max():.1f} (stored up to {bound:g} each way)')


def _sound_text(record):
  wave, rate = record.waveform, record.sample_rate
  peak, rms = float(np.abs(wave).max()), float(np.sqrt(np.mean(np.square(wave))))
  length = (f'{rate:g} Hz, {len(wave)} samples ({len(wave) / rate:.2f} s)' if rate
            else f'{len(wave)} samples')
  kind = 'float' if record.features(schema.WAVEFORM_FLOATS) else 'pcm16'
  text = f'{length}, {kind}, ' + (
      f'peak {peak:.3f}{_decibel(peak)}, rms {rms:.4f}{_decibel(rms)}' if peak
      else 'all zeros')
  if not record.one(schema.HAS_AUDIO, 1):
    return f'{text}; has_audio 0: there is no sound in this span'
  if record.context(schema.AUDIO_START):
    text += '; has_audio 1, real from {:.2f} to {:.2f} s'.format(*record.heard)
  return text


def _decibel(value):
  return f' ({20 * math.log10(value):.1f} dB)' if value > 0 else ''


def _sizes(pictures):
  sizes = [len(data) for data in pictures]
  return (f'{sum(sizes) / 1e6:.2f} MB ({min(sizes) / 1e3:.1f} to '
          f'{max(sizes) / 1e3:.1f} kB each)')


def _shape(shape):
  return ' x '.join(map(str, shape))


def align(lines: list[tuple[str, str]], indent: str = '') -> str:
  """(what, text) pairs as text in two columns."""
  width = max(len(what) for what, _ in lines)
  return '\n'.join(f'{indent}{what:<{width}}  {text}'.rstrip() for what, text in lines)
