"""Prints what the papers' models cost at full size, counted from the graph.

  python tools/count_flops.py
  python tools/count_flops.py --paper=hms

One FLOP of the papers is one multiply-add.

AdaMML: "counted" follows the papers: convolutions and the LSTM's products. "constant"
is the figure in the authors' flops_computation; where there is a constant, both must
agree to the unit, else the exit code is 1. "complete" has all matrix products.
"10 segments" is one test video in GFLOPs.

Then come the paper's own rows: what a video of 10 segments costs at the selection rates
that Tables 1 to 3 print. "official" counts a policy's look at motion as the authors do,
as differences of frames at 224 x 224, also where it looks at flow; "as run" counts what
the policy computes, at 160 x 160. Where "official" is more than 0.02 from the printed
figure, the row says so: no reading of the authors' formula gives that figure.

HMS: all products are counted. Encoders count as published (0.07, 0.99 and 65.7 GFLOPs
per step) in all but the first table, which counts them. Table 1 is counted in both
layouts of `EarlyFusionLSTM`; 'table' must give every printed digit, else the exit code
is 1. HMS itself has no printed usage of modalities: its printed GFLOPs are solved for
the usage of motion, given that of appearance.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tfmm.encoders import cached
from tfmm.encoders import encoder
from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.encoders import slowfast
from tfmm.encoders import yamnet
from tfmm.layers import gated_encoder
from tfmm.layers import gflops
from tfmm.models import adamml
from tfmm.models import base
from tfmm.models import early_fusion
from tfmm.models import hms

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

# HMS (Weng et al. 2021), section 4.1.3: length of the features and GFLOPs.
HMS_FEATURES = {'audio': (1024, .07), 'rgb': (1536, .99), 'motion': (2304, 65.7)}
HMS_LEVELS = tuple(
    hms.LevelSpec(reads=modality, projection_dim=projection_dim, units=units)
    for modality, projection_dim, units in (
        ('audio', 512, 128), ('rgb', 1024, 512), ('motion', 2048, 2048)))
HMS_CLASSES = 239  # of FCVID; with the 200 of ActivityNet the same digits are printed
HMS_VIEWS = (10, 128)
# "LSTM" of Table 1: modalities, GFLOPs of 10 and of 128 views.
HMS_TABLE_1 = {
    'A': (('audio',), (.8, 10.3)),
    'I': (('rgb',), (10.1, 129.7)),
    'M': (('motion',), (657.5, 8416.4)),
    'A + I': (('audio', 'rgb'), (10.8, 138.6)),
    'A + M': (('audio', 'motion'), (658.0, 8421.9)),
    'I + M': (('rgb', 'motion'), (667.2, 8539.9)),
    'A + I + M': (('audio', 'rgb', 'motion'), (667.9, 8549.4)),
}
HMS_PRINTED = {'FCVID': 377.4, 'ActivityNet': 576.7}
HMS_GAMMAS = {'rgb': (.6, .85), 'motion': (.94, .98)}  # of Eq. 11


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


def print_adamml() -> int:
  """Both tables; returns how many counts differ from the authors' constant."""
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
  return wrong


def _efficientnet():
  from tfmm.encoders import efficientnet  # keras-cv prints a greeting
  return efficientnet.EfficientNet(variant='b3')


class HmsEncoder(NamedTuple):
  name: str
  published: float  # GFLOPs of a row, section 4.1.3
  make: Callable[[], encoder.Encoder]


HMS_ENCODERS = (
    HmsEncoder('YAMNet, 96x64', .07, yamnet.YAMNet),
    HmsEncoder('EfficientNet-B3, 224x224', .99, _efficientnet),
    HmsEncoder('SlowFast R50 8x8, 32x256x256', 65.7,
               functools.partial(slowfast.SlowFast, size=256)),
    HmsEncoder('SlowFast R50 8x8, 32x224x224', 65.7, slowfast.SlowFast),
)


def _features(modalities):
  """Encoders of extracted features that cost what the paper says."""
  return {
      m: gated_encoder.GatedEncoder(cached.CachedFeatures(
          feature_dim=HMS_FEATURES[m][0], gflops_per_row=HMS_FEATURES[m][1]), view=m)
      for m in modalities}


def early_fusion_gflops(modalities: Sequence[str], layout: str) -> list[float]:
  """GFLOPs of a video of each number of views in Table 1."""
  model = early_fusion.EarlyFusionLSTM(
      encoders=_features(modalities), num_classes=HMS_CLASSES, layout=layout)
  cost = model.segment_cost()
  step = sum(count.total for count in (*cost.modality.values(), cost.overhead))
  return [(views * step + cost.once.total) / 1e9 for views in HMS_VIEWS]


def hms_cost() -> base.SegmentCost:
  """One step of HMS as in section 4.1.3."""
  return hms.HMS(
      encoders=_features(HMS_FEATURES), num_classes=HMS_CLASSES,
      levels=HMS_LEVELS).segment_cost()


def hms_layers(cost: base.SegmentCost) -> dict[str, int]:
  """Multiply-adds of one step by what is not an encoder."""
  def products(count, gates=False):
    return sum(op.macs for op in count.by_op
               if op.type not in gflops.CONVOLUTIONS and ('gate/' in op.name) == gates)
  layers = {
      'audio: projection and LSTM': products(cost.overhead),
      'appearance: projection and LSTM': products(cost.modality['rgb']),
      'motion: projection and LSTM': products(cost.modality['motion']),
      'both gates': products(cost.overhead, gates=True)}
  return {**layers, 'all gates open': sum(layers.values())}


def hms_gflops(cost: base.SegmentCost, *, rgb: float, motion: float) -> float:
  """GFLOPs of a video of 128 steps, of which these shares open the gates."""
  step = cost.modality['audio'].total + cost.overhead.total
  step += rgb * cost.modality['rgb'].total + motion * cost.modality['motion'].total
  return (HMS_VIEWS[-1] * step + cost.once.total) / 1e9


def motion_usage(cost: base.SegmentCost, printed: float, rgb: float) -> float:
  """The share of steps with motion that makes up the printed GFLOPs."""
  rest, all_open = (hms_gflops(cost, rgb=rgb, motion=share) for share in (0, 1))
  return (printed - rest) / (all_open - rest)


def print_hms() -> int:
  """All tables; returns how many cells of Table 1 the layout 'table' misses."""
  counts = [e.make().row_macs().total / 1e9 for e in HMS_ENCODERS]
  print(f'{"GFLOPs of one row of an encoder":40}{"published":>12}{"counted":>12}')
  for (name, published, _), counted in zip(HMS_ENCODERS, counts):
    digits = len(str(published).partition('.')[2])
    print(f'{name:40}{published:>12}{counted:>12.4f}'
          + ('' if round(counted, digits) == published else
             f'  does not follow: {counted / published - 1:+.1%}'))
  print(f'\n{"Table 1, GFLOPs of a video":28}' + ''.join(
      f'{f"{views} views":>12}{"table":>11}{"text":>11}' for views in HMS_VIEWS))
  wrong = 0
  for name, (modalities, printed) in HMS_TABLE_1.items():
    table, text = (early_fusion_gflops(modalities, layout)
                   for layout in early_fusion.LAYOUTS)
    missed = sum(f'{t:.1f}' != f'{p:.1f}' for t, p in zip(table, printed))
    wrong += missed
    print(f'{name:28}' + ''.join(
        f'{cell[0]:>12.1f}{cell[1]:>11.3f}{cell[2]:>11.3f}'
        for cell in zip(printed, table, text)) + ('  DIFFERS' if missed else ''))
  cost = hms_cost()
  print(f'\n{"HMS, one step without encoders":40}{"complete":>16}')
  for name, macs in hms_layers(cost).items():
    print(f'{name:40}{macs:>16,}')
  print(f'\n{"HMS, 128 steps":28}{"GFLOPs":>12}{"appearance":>12}{"motion":>12}'
        f'{"clips of 128":>14}')
  for name, printed in HMS_PRINTED.items():
    for gamma in reversed(HMS_GAMMAS['rgb']):
      share = motion_usage(cost, printed, 1 - gamma)
      print(f'{name:28}{printed:>12}{1 - gamma:>12.0%}{share:>12.2%}'
            f'{HMS_VIEWS[-1] * share:>14.2f}')
  for name, shares in (
      ('gammas as usage', HMS_GAMMAS),
      ('gammas as skipped steps',
       {m: [1 - g for g in reversed(gs)] for m, gs in HMS_GAMMAS.items()})):
    for rgb, motion in zip(shares['rgb'], shares['motion']):
      print(f'{name:28}{hms_gflops(cost, rgb=rgb, motion=motion):>12.1f}{rgb:>12.0%}'
            f'{motion:>12.2%}{HMS_VIEWS[-1] * motion:>14.2f}')
  return wrong


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--paper', choices=('adamml', 'hms'), default='adamml')
  paper = parser.parse_args(argv).paper
  wrong = print_hms() if paper == 'hms' else print_adamml()
  return 1 if wrong else 0


if __name__ == '__main__':
  sys.exit(main())
