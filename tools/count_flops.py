"""Prints what AdaMML costs at full size, counted from the graph.

  python tools/count_flops.py

One FLOP of the paper is one multiply-add. "counted" follows the papers: convolutions
and the LSTM's products. "constant" is the figure in the authors' flops_computation;
where there is a constant, both must agree to the unit, else the exit code is 1.
"complete" has all matrix products. "10 segments" is one test video in GFLOPs.
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


def components() -> list[Component]:
  """All parts, each built and counted once."""
  rows = [
      Component(name, encoder.row_macs(), constant)
      for name, encoder, constant in (
          ('flow ResNet-50, 10 channels',
           resnet.ResNet(in_channels=10, normalization='flow'), 16_338_911_232),
          ('RGBDiff ResNet-50, 15 channels', resnet.ResNet(in_channels=15), None),
          ('policy RGB, MobileNetV2 160x160', _preview_encoder(size=160), 375_446_400),
          ('policy audio, MobileNetV2', _spectrogram_encoder(), 381_739_008),
          ('policy RGBDiff at 224x224 (constant)',
           _preview_encoder(size=224, in_channels=15), 909_283_200),
          ('policy RGBDiff at 160x160 (as run)',
           _preview_encoder(size=160, in_channels=15), None),
          ('policy flow at 160x160 (as run)',
           _preview_encoder(size=160, in_channels=10, normalization='flow'), None))]
  cost = make_model().segment_cost()
  recognition = sum(cost.modality.values(), gflops.MacCount())
  products = gflops.MacCount(
      tuple(op for op in cost.overhead.by_op if op.type not in gflops.CONVOLUTIONS))
  return [
      Component('RGB ResNet-50, 8x224x224', cost.modality['rgb'], 14_135_984_128),
      Component('audio MobileNetV2, 256x256', cost.modality['audio'], 381_739_008),
      *rows,
      Component('policy LSTM (complete: and its layers)', products, 2_359_296),
      Component('RGB + audio: policy', cost.overhead,
                375_446_400 + 381_739_008 + 2_359_296),
      Component('RGB + audio: weighted fusion', recognition,
                14_135_984_128 + 381_739_008),
      Component('RGB + audio: AdaMML, all gates open', recognition + cost.overhead,
                14_135_984_128 + 2 * 381_739_008 + 375_446_400 + 2_359_296),
  ]


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.parse_args(argv)
  wrong = 0
  print(f'{"one segment":40}{"counted":>16}{"constant":>16}{"complete":>16}'
        f'{f"{SEGMENTS} segments":>13}')
  for name, count, constant in components():
    differs = constant is not None and constant != count.papers
    wrong += differs
    print(f'{name:40}{count.papers:>16,}'
          f'{"-" if constant is None else format(constant, ","):>16}'
          f'{count.total:>16,}{SEGMENTS * count.papers / 1e9:>13.4f}'
          f'{"  DIFFERS" if differs else ""}')
  return 1 if wrong else 0


if __name__ == '__main__':
  sys.exit(main())
