"""Prints what AdaMML costs at full size, counted from the graph.

  python tools/count_flops.py

One FLOP of the paper is one multiply-add. "counted" follows the papers: convolutions
and the LSTM's products. "constant" is the figure in the authors' flops_computation;
where there is a constant, both must agree to the unit, else the exit code is 1.
"complete" has all matrix products. "10 segments" is one test video in GFLOPs.

Then come the paper's own rows: what a video of 10 segments costs at the selection rates
that Tables 1 to 3 print. "official" counts a policy's look at motion as the authors do,
as differences of frames at 224 x 224, also where it looks at flow; "as run" counts what
the policy computes, at 160 x 160. Where "official" is more than 0.02 from the printed
figure, the row says so: no reading of the authors' formula gives that figure.
"""

import argparse
import functools
import sys
from typing import NamedTuple

from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.layers import gated_encoder
from tfmm.layers import gflops
from tfmm.models import adamml

SEGMENTS = 10


class PaperRow(NamedTuple):
  """A row of AdaMML in Tables 1 to 3 (Panda et al., ICCV 2021)."""

  name: str
  rates: dict[str, float]  # selection rates, percent
  proxy: str  # what the policy sees of motion: '', 'flow' or 'difference'
  printed: float  # GFLOPs


PAPER_ROWS = (
    PaperRow('Table 1, Kinetics-Sounds', {'rgb': 46.47, 'audio': 94.15}, '', 76.45),
    PaperRow('Table 1, ActivityNet', {'rgb': 76.25, 'audio': 56.35}, '', 94.01),
    PaperRow('Table 2, AdaMML-Flow', {'rgb': 56.04, 'flow': 36.39}, 'flow', 151.54),
    PaperRow('Table 2, AdaMML-RGBDiff', {'rgb': 44.61, 'flow': 37.40}, 'difference',
             137.03),
    PaperRow('Table 3, AdaMML-Flow', {'rgb': 56.13, 'flow': 20.31, 'audio': 97.49},
             'flow', 132.94),
    PaperRow('Table 3, AdaMML-RGBDiff', {'rgb': 55.06, 'flow': 26.82, 'audio': 95.12},
             'difference', 141.97),
)
PRINTED_TO = 0.02  # GFLOPs; selection rates are printed to 0.01 %


class Component(NamedTuple):
  name: str
  count: gflops.MacCount  # of one segment
  constant: int | None  # of the authors' code


def _spectrogram_encoder():
  return mobilenet.MobileNetV2(size=256, in_channels=1, normalization='none')


def _preview_encoder(**options):
  return mobilenet.MobileNetV2(num_frames=4, row_dtype='float32', **options)


def make_model() -> adamml.AdaMML:
  """AdaMML on RGB and audio, as in section 4.1 of the paper, for 31 classes."""
  policy = functools.partial(adamml.Policy, encoders={
      'rgb_preview': _preview_encoder(size=160), 'spectrogram': _spectrogram_encoder()})
  return adamml.AdaMML(
      encoders={
          'rgb': gated_encoder.GatedEncoder(resnet.ResNet(), view='rgb'),
          'audio': gated_encoder.GatedEncoder(
              _spectrogram_encoder(), view='spectrogram')},
      policy=policy, num_classes=31)


class Counts(NamedTuple):
  """Multiply-adds of one segment, of the papers' kind."""

  recognition: dict[str, gflops.MacCount]
  policy: dict[str, gflops.MacCount]  # looks at 'rgb', 'audio', and at motion
  overhead: gflops.MacCount  # of the whole policy on RGB and audio


def count() -> Counts:
  """Builds and counts all parts once."""
  cost = make_model().segment_cost()
  return Counts(
      recognition={
          **cost.modality,
          'flow': resnet.ResNet(in_channels=10, normalization='flow').row_macs(),
          'difference': resnet.ResNet(in_channels=15).row_macs()},
      policy={
          'rgb': _preview_encoder(size=160).row_macs(),
          'audio': _spectrogram_encoder().row_macs(),
          'official': _preview_encoder(size=224, in_channels=15).row_macs(),
          'difference': _preview_encoder(size=160, in_channels=15).row_macs(),
          'flow': _preview_encoder(
              size=160, in_channels=10, normalization='flow').row_macs(),
          'lstm': gflops.MacCount(tuple(
              op for op in cost.overhead.by_op if op.type not in gflops.CONVOLUTIONS))},
      overhead=cost.overhead)


def components(counts: Counts) -> list[Component]:
  """The lines of the first table."""
  recognition, policy = counts.recognition, counts.policy
  fused = recognition['rgb'] + recognition['audio']
  return [
      Component('RGB ResNet-50, 8x224x224', recognition['rgb'], 14_135_984_128),
      Component('audio MobileNetV2, 256x256', recognition['audio'], 381_739_008),
      Component('flow ResNet-50, 10 channels', recognition['flow'], 16_338_911_232),
      Component('RGBDiff ResNet-50, 15 channels', recognition['difference'], None),
      Component('policy RGB, MobileNetV2 160x160', policy['rgb'], 375_446_400),
      Component('policy audio, MobileNetV2', policy['audio'], 381_739_008),
      Component('policy RGBDiff at 224x224 (constant)', policy['official'],
                909_283_200),
      Component('policy RGBDiff at 160x160 (as run)', policy['difference'], None),
      Component('policy flow at 160x160 (as run)', policy['flow'], None),
      Component('policy LSTM (complete: and its layers)', policy['lstm'], 2_359_296),
      Component('RGB + audio: policy', counts.overhead,
                375_446_400 + 381_739_008 + 2_359_296),
      Component('RGB + audio: weighted fusion', fused, 14_135_984_128 + 381_739_008),
      Component('RGB + audio: AdaMML, all gates open', fused + counts.overhead,
                14_135_984_128 + 2 * 381_739_008 + 375_446_400 + 2_359_296),
  ]


def paper_gflops(row: PaperRow, counts: Counts, *, official: bool) -> float:
  """What a video of 10 segments costs at a row's selection rates, in GFLOPs.

  Args:
    row: of Tables 1 to 3.
    counts: of one segment.
    official: whether a look at motion counts as the authors' constant.
  """
  looks = ['rgb', 'lstm'] + ['audio'] * ('audio' in row.rates)
  if row.proxy:
    looks.append('official' if official else row.proxy)
  macs = sum(counts.policy[look].papers for look in looks)
  macs += sum(counts.recognition[m].papers * rate / 100
              for m, rate in row.rates.items())
  return SEGMENTS * macs / 1e9


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.parse_args(argv)
  wrong = 0
  print(f'{"one segment":40}{"counted":>16}{"constant":>16}{"complete":>16}'
        f'{f"{SEGMENTS} segments":>13}')
  counts = count()
  for name, macs, constant in components(counts):
    differs = constant is not None and constant != macs.papers
    wrong += differs
    print(f'{name:40}{macs.papers:>16,}'
          f'{"-" if constant is None else format(constant, ","):>16}'
          f'{macs.total:>16,}{SEGMENTS * macs.papers / 1e9:>13.4f}'
          f'{"  DIFFERS" if differs else ""}')
  print(f'\n{"GFLOPs of a video at printed rates":40}{"printed":>16}{"official":>16}'
        f'{"as run":>16}')
  for row in PAPER_ROWS:
    official, as_run = (paper_gflops(row, counts, official=o) for o in (True, False))
    off = official - row.printed
    print(f'{row.name:40}{row.printed:>16.2f}{official:>16.3f}{as_run:>16.3f}'
          + (f'  does not follow: {off:+.2f} ({off / row.printed:+.1%})'
             if abs(off) > PRINTED_TO else ''))
  return 1 if wrong else 0


if __name__ == '__main__':
  sys.exit(main())
