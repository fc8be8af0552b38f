"""Records as one page that needs nothing else: all that it shows stands inside it."""

import html
import itertools
import math
import os

import numpy as np

import record_pictures
import record_text
import shard_directory
import shard_records
from tfmm import schema

_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60)  # seconds between two marks
_WIDE = 16 / 9
_THUMBNAILS = 8  # of wide frames; more of narrow ones
_LEAST_FULL = 3.0  # pixels: storing flow in 8 bits alone moves it by 0.08

_STYLE = """
:root { color-scheme: light dark; --page: #f6f6f4; --card: #ffffff; --text: #1c1e21;
  --quiet: #666c73; --line: #dcdedb; --accent: #0f766e; --tint: #0f766e22; }
@media (prefers-color-scheme: dark) { :root { --page: #131517; --card: #1c1f22;
  --text: #e7e8e6; --quiet: #9aa1a8; --line: #33383d; --accent: #4fc7b8;
  --tint: #4fc7b82b; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; }
h1 { font-size: 1.4rem; margin: 0 0 .75rem; }
h2 { font-size: 1.02rem; margin: 0; overflow-wrap: anywhere; }
section, header { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; padding: 1rem 1.25rem 1.1rem; margin: 0 0 1.25rem; }
.title { display: flex; gap: .75rem; align-items: baseline; flex-wrap: wrap;
  margin-bottom: .8rem; }
.label { background: var(--tint); color: var(--accent); border-radius: 99px;
  padding: .05rem .7rem; font-size: .9rem; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr);
  gap: .1rem 1rem; margin: 0; font-size: .87rem; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.tracks { display: grid; grid-template-columns: 5.2rem minmax(0, 1fr);
  gap: .4rem .8rem; margin-bottom: 1rem; }
.what { color: var(--quiet); font-size: .8rem; line-height: 1.3; text-align: right; }
.what img { width: 40px; height: 40px; margin-top: .25rem; }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr);
  gap: 2px; align-items: start; }
.strip figure { margin: 0; position: relative; }
.strip img { width: 100%; display: block; border-radius: 2px; }
.strip figcaption { position: absolute; left: 3px; bottom: 3px; padding: 0 .3em;
  border-radius: 3px; background: #000a; color: #fff; font-size: .68rem;
  line-height: 1.45; font-variant-numeric: tabular-nums; }
.band, .wave, .spectrum { position: relative; width: 100%; border-radius: 3px;
  display: block; overflow: hidden; }
.wave { height: 72px; background: var(--tint); fill: var(--accent); }
.wave .silent { fill: var(--line); }
.spectrum { height: 92px; }
.band { height: 14px; background: var(--tint); }
.band i { position: absolute; top: 0; bottom: 0; background: var(--accent);
  opacity: .55; border-radius: 2px; min-width: 2px; }
.times { position: relative; height: 1.3rem; border-top: 1px solid var(--line);
  color: var(--quiet); font-size: .76rem; font-variant-numeric: tabular-nums; }
.times span { position: absolute; transform: translateX(-50%); padding-top: .3rem;
  white-space: nowrap; }
.times span::before { content: ""; position: absolute; left: 50%; top: 0; height: .3rem;
  border-left: 1px solid var(--quiet); }
@media (max-width: 640px) { .tracks { grid-template-columns: minmax(0, 1fr); }
  .what { text-align: left; } .what img { display: none; }
  .strip figcaption { display: none; } }
"""


class Page:
  """Collects records; `html` gives the page."""

  def __init__(self, directory: shard_directory.Directory):
    self._name = os.path.basename(os.path.abspath(directory.path))
    self._lines = record_text.dataset_lines(directory)
    self._sections = []

  def add(self, record: shard_records.Record, lines: list[tuple[str, str]]):
    """Adds a record and what `record_text` says of it."""
    labels = ''.join(f'<span class="label">{_text(label)}</span>'
                     for label in record.labels)
    tracks = ''.join(
        f'<div class="what">{what}</div>{track}' for what, track in _tracks(record))
    self._sections.append(
        f'<section><div class="title"><h2>{_text(record.example_id)}</h2>{labels}</div>'
        + (f'<div class="tracks">{tracks}</div>' if tracks else '')
        + _definitions(lines) + '</section>')

  def html(self) -> str:
    name = _text(self._name)
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{name}</title><style>{_STYLE}</style></head>\n<body><main>'
            f'<header><h1>{name}</h1>{_definitions(self._lines)}</header>\n'
            + '\n'.join(self._sections) + '\n</main></body></html>\n')


def _text(text):
  return html.escape(str(text))


def _definitions(lines):
  return '<dl>' + ''.join(f'<dt>{_text(what)}</dt><dd>{_text(text)}</dd>'
                          for what, text in lines) + '</dl>'


def _tracks(record):
  """(what it is, element) of all that has a place in time, first to last."""
  start, end = record.span
  if end <= start:
    return
  if record.jpegs:
    count = len(record.jpegs)
    height, width = record.frame(0).shape[:2]
    shown = min(count, max(_THUMBNAILS, round(_THUMBNAILS * _WIDE * height / width)))
    # In the middle of each equal part of the time: the axis below fits.
    chosen = [min(count - 1, int((k + 0.5) * count / shown)) for k in range(shown)]
    times = [start + (end - start) * k / count for k in chosen]
    yield 'frames', _strip([record.frame(k) for k in chosen], times)
    if len(record.flow_jpegs) == count:
      fields = [record.flow(k) for k in chosen]
      lengths = np.concatenate([np.hypot(f[..., 0], f[..., 1]).ravel() for f in fields])
      full = max(_LEAST_FULL, float(np.percentile(lengths, 99)))
      wheel = f'<img src="{record_pictures.flow_wheel()}" alt="colours of directions">'
      yield (f'flow, full colour at {full:.1f} pixels<br>{wheel}', _strip(
          [record_pictures.flow_colours(f, full) for f in fields]))
    if record.windows:
      yield 'windows', _band(record.windows, count)
  if record.waveform.size:
    full = float(np.abs(record.waveform).max())
    what = f'full height at {full:.2g}' if full else 'all zeros'
    yield f'wave, {what}', _wave(record, full or 1.0)
    if record.sample_rate and record.waveform.any():
      picture = record_pictures.spectrum(record.waveform, record.sample_rate)
      yield (f'spectrum to {record.sample_rate / 2000:g} kHz',
             f'<img class="spectrum" src="{picture}" alt="spectrum of the sound">')
  yield 'seconds', _axis(start, end)


def _strip(pictures, times=()):
  cells = []
  for picture, time in itertools.zip_longest(pictures, times):
    caption = '' if time is None else f'<figcaption>{time:.2f}</figcaption>'
    cells.append(f'<figure><img src="{record_pictures.jpeg(picture)}" alt="">{caption}'
                 '</figure>')
  return f'<div class="strip">{"".join(cells)}</div>'


def _band(windows, count):
  return '<div class="band">' + ''.join(
      f'<i style="left:{first / count:.3%};width:{(last + 1 - first) / count:.3%}" '
      f'title="frames {first} to {last}"></i>' for first, last in windows) + '</div>'


def _wave(record, full):
  columns = record_pictures.wave_columns(record.waveform)
  start, end = record.span
  low, high = record.heard
  if not record.context(schema.AUDIO_START):
    low, high = start, end  # not told: taken as sound throughout
  silent = ''.join(
      f'<rect class="silent" x="{columns * (a - start) / (end - start):.2f}" y="0" '
      f'width="{columns * (b - a) / (end - start):.2f}" height="100"/>'
      for a, b in ((start, min(low, end)), (max(high, low), end)) if b - a > 1e-3)
  return (f'<svg class="wave" viewBox="0 0 {columns} 100" preserveAspectRatio="none" '
          f'role="img" aria-label="wave of the sound">{silent}'
          f'<path d="{record_pictures.wave_path(record.waveform, full)}"/></svg>')


def _axis(start, end):
  """Marks at round times, at most about twelve."""
  step = next((s for s in _STEPS if (end - start) / s <= 12), 60)
  marks = []
  for k in range(math.ceil(start / step - 1e-6), math.floor(end / step + 1e-6) + 1):
    place = min(max((k * step - start) / (end - start), 0), 1)
    marks.append(f'<span style="left:{place:.3%}">{k * step:.4g}</span>')
  return f'<div class="times">{"".join(marks)}</div>'
