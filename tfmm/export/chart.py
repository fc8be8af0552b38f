"""A decision as text: the best classes, and what ran where on the time line."""

_RAN, _SKIPPED, _ABSENT = '#', '.', ' '


def describe(name, answer, *, top_k=5):
  """Returns several lines on one `predictor.Answer`.

  Example:

      clip.mp4
        0.912  playing guitar
        0.044  clapping
                0.0s            10.0s
        rgb     # . . # . . . . . .   2 of 10
        audio   # # # # # # # # # #  10 of 10
        31.9 GFLOPs of 145.2 for all modalities (22 %)

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
  """One line of times, then one per modality: `#` ran, `.` skipped, blank absent."""
  times = answer.segment_times
  cells = [f'{start:.1f}-{end:.1f}' for start, end in times]
  width = max(len(c) for c in cells)
  side = max(len(m) for m in (*answer.modalities, 'seconds'))
  lines = [f'  {"seconds":{side}}  ' + ' '.join(f'{c:^{width}}' for c in cells)]
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
