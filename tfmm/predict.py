"""Recognizes videos: python -m tfmm.predict --saved_model=SM video.mp4 [more ...]

Prints for each video the best classes, which modality ran in which segment, and the
GFLOPs spent against those of all modalities. A video that cannot be read costs one
line on stderr; the others are answered, and the exit code is 1. For a model that reads
optical flow, flow is computed first, by the algorithm that made its shards.
--budget_gflops limits what a video may cost, if the model takes that.
"""

import json
import sys

from absl import flags

from tfmm import command_line

_SAVED_MODEL = flags.DEFINE_string(
    'saved_model', None,
    'Directory written by tfmm.export_model, or one version in it.', required=True)
_TOP_K = flags.DEFINE_integer('top_k', 5, 'Classes to show.', lower_bound=1)
_BUDGET = flags.DEFINE_float(
    'budget_gflops', float('inf'),
    'GFLOPs that each video may cost, for a model with steps: it answers with what it '
    'has seen until then.')
_JSON = flags.DEFINE_bool(
    'json', False, 'One JSON object per video and line instead of text.')


def main(argv):
  videos = argv[1:]
  if not videos:
    sys.exit('predict: no video given; usage: python -m tfmm.predict --saved_model=SM '
             'video.mp4 [more ...]')
  from tfmm.export import chart
  from tfmm.export import predictor as predictor_lib
  try:
    predictor = predictor_lib.Predictor(_SAVED_MODEL.value)
    predictor.record.check_budget(_BUDGET.value)
  except command_line.mistakes() as error:
    sys.exit(f'predict: {command_line.one_line(error)}')
  failed = False
  for video in videos:
    try:
      answer = predictor.predict(video, _BUDGET.value)
    except command_line.mistakes() as error:
      text = command_line.one_line(error)
      print(f'predict: {video}: {text}', file=sys.stderr, flush=True)
      failed = True
      continue
    if _JSON.value:
      text = json.dumps({'video': video, **answer.as_json(_TOP_K.value)})
    else:
      text = chart.describe(video, answer, top_k=_TOP_K.value)
    print(text, flush=True)
  return int(failed)


if __name__ == '__main__':
  command_line.run('predict', main)
