"""A decision as text: the best classes, and what ran where on the time line."""

_RAN, _SKIPPED, _ABSENT = '#', '.', ' '


def describe(name, answer, *, top_k=5):
  """Returns several lines on one `predictor.Answer`.

  Example:

      clip.mp4
        0.912  playing guitar
        0.044  clapping
        from s  0.0 3.4  6.8
        to s    3.2 6.6 10.0
        rgb      #   .    #   2 of 3
        audio    .   .        0 of 2
        32 GFLOPs, against 145.0 with every modality everywhere (22 %)

  Args:
    name: how the video is called.
    answer: a `predictor.Answer`.
    top_k: how many classes.
  """
  lines = [name]
  for label, probability in answer.top(top_k):
    lines.append(f'  {probability:.3f}  {label}')
  lines += _chart(answer)
  share = answer.gflops / max(answer.gflops_all_modalities, 1e-12)
  lines.append(
      f'  {_number(answer.gflops)} GFLOPs, against '
      f'{_number(answer.gflops_all_modalities)} with every modality everywhere '
      f'({100 * share:.0f} %)')
  return '\n'.join(lines)


def _chart(answer):
  """Times, then one line per modality: `#` ran, `.` skipped, blank not there."""
  begin, end = ([f'{t:.1f}' for t in column] for column in answer.segment_times.T)
  width = max(map(len, begin + end))
  side = max(map(len, (*answer.modalities, 'from s')))
  lines = []
  for title, cells in (('from s', begin), ('to s', end)):
    lines.append(f'  {title:{side}}  ' + ' '.join(f'{c:>{width}}' for c in cells))
  for m, modality in enumerate(answer.modalities):
    marks = []
    for ran, present in zip(answer.ran[:, m], answer.present[:, m]):
      mark = _RAN if ran else _SKIPPED if present else _ABSENT
      marks.append(f'{mark:^{width}}')
    count = int(answer.ran[:, m].sum())
    total = int(answer.present[:, m].sum())
    tail = f'{count} of {total}' if total else 'not there'
    lines.append(f'  {modality:{side}}  ' + ' '.join(marks) + f'  {tail}')
  return lines


def _number(value):
  """Three significant digits, never in exponent form."""
  return f'{value:.1f}' if value >= 100 else f'{value:.3g}'
