"""Measures whether skipped computation is skipped: CPU time against GFLOPs.

  python tools/bench_skipping.py

AdaMML on RGB and audio at full size with random weights and gates that are forced
open or closed at several rates. "time" is the CPU time of the gathering model over
that of the same model computing every row; "GFLOPs" is the same ratio as counted from
the graph. The policy runs in both, so neither ratio is 0 at 0 %. Variants alternate,
medians are compared. The exit code is 1 if a pair differs by more than the tolerance.
"""

import argparse
import functools
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from tfmm import command_line
from tfmm.encoders import mobilenet
from tfmm.encoders import resnet
from tfmm.layers import gated_encoder
from tfmm.models import adamml

RATES = (0, 25, 50, 75, 100)  # percent


class ForcedAdaMML(adamml.AdaMML):
  """AdaMML whose policy runs and is not obeyed: the gates are `present`."""

  def decide(self, clips, present, *, training, seed):
    _, extras = super().decide(clips, present, training=training, seed=seed)
    return present, extras


def make_model(options, forced: bool = True) -> adamml.AdaMML:
  """A ResNet and a MobileNetV2, and a policy of two MobileNetV2, obeyed or not."""
  def listen():
    return mobilenet.MobileNetV2(
        size=options.spectrogram_size, in_channels=1, normalization='none')

  look = resnet.ResNet(
      depth=options.depth, num_frames=options.num_frames, size=options.size)
  preview = mobilenet.MobileNetV2(
      num_frames=max(1, options.num_frames // 2), size=options.preview_size,
      row_dtype='float32')
  return (ForcedAdaMML if forced else adamml.AdaMML)(
      encoders={
          'rgb': gated_encoder.GatedEncoder(look, view='rgb'),
          'audio': gated_encoder.GatedEncoder(listen(), view='spectrogram')},
      policy=functools.partial(adamml.Policy, encoders={
          'rgb_preview': preview, 'spectrogram': listen()}),
      num_classes=31)


def make_clips(model, batch_size, num_segments):
  """Random content for all views: {view: [B, S, *row]}."""
  rng = np.random.default_rng(0)
  return {
      view: tf.constant(
          rng.integers(0, 256, (batch_size, num_segments, *spec.shape[2:])), spec.dtype)
      for view, spec in model.input_specs().items()}


def make_gates(rate, batch_size, num_segments, num_modalities):
  """[B, S, M] of 0 and 1 with `rate` percent open in each modality, at random."""
  rows = batch_size * num_segments
  rng = np.random.default_rng(round(rate))
  gates = np.zeros([rows, num_modalities], 'float32')
  for modality in range(num_modalities):
    gates[rng.permutation(rows)[:round(rate / 100 * rows)], modality] = 1
  return gates.reshape(batch_size, num_segments, num_modalities)


def trace(model, skip, clips, gates):
  """A concrete function (clips, gates) -> all that has to be computed."""
  model.skip = skip

  @tf.function
  def recognize(clips, gates):
    result = model({**clips, 'present': gates}, training=False)
    # Returning the policy's logits keeps the policy in the graph.
    return result.logits, result.extras['gate_logits']

  return recognize.get_concrete_function(clips, gates)


def gflops_ratio(cost, modalities, gates) -> float:
  """GFLOPs with these gates over GFLOPs with all gates open; the papers' count."""
  segments = gates.shape[0] * gates.shape[1]
  overhead = segments * cost.overhead.papers
  rows = [cost.modality[m].papers for m in modalities]
  spent = float(np.sum(gates, axis=(0, 1)) @ rows)
  return (overhead + spent) / (overhead + segments * sum(rows))


def cpu_seconds(function) -> float:
  """CPU time of this process in `function`, over all its threads."""
  start = time.process_time()
  for output in function():
    output.numpy()
  return time.process_time() - start


def measure(options) -> list[tuple[int, float, float, float]]:
  """Rows of (percent open, CPU seconds, time ratio, GFLOPs ratio)."""
  model = make_model(options)
  clips = make_clips(model, options.batch_size, options.num_segments)
  shape = options.batch_size, options.num_segments, len(model.modalities)
  gates = {rate: make_gates(rate, *shape) for rate in RATES}
  all_open = tf.constant(gates[100])
  dense = trace(model, 'mask', clips, all_open)
  gather = trace(model, 'gather', clips, all_open)
  variants = {'dense': functools.partial(dense, clips, all_open)}
  for rate, forced in gates.items():
    variants[rate] = functools.partial(gather, clips, tf.constant(forced))
  np.testing.assert_allclose(
      variants[100]()[0], variants['dense']()[0], rtol=1e-4, atol=1e-4)
  for function in variants.values():  # the first run of a shape prepares kernels
    function()
  seconds = {name: [] for name in variants}
  for repeat in range(options.repeats):
    for name, function in variants.items():
      seconds[name].append(cpu_seconds(function))
    print(f'round {repeat + 1} of {options.repeats}: dense '
          f'{seconds["dense"][-1]:.2f} CPU seconds', flush=True)
  median = {name: statistics.median(values) for name, values in seconds.items()}
  cost = model.segment_cost()
  return [
      (rate, median[rate], median[rate] / median['dense'],
       gflops_ratio(cost, model.modalities, gates[rate]))
      for rate in RATES]


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  for name, default, meaning in (
      ('batch_size', 2, 'videos at once'),
      ('num_segments', 10, 'segments of a video'),
      ('num_frames', 8, 'RGB frames of a segment; the preview has half of them'),
      ('depth', 50, 'of the ResNet: 18, 34, 50 or 101'),
      ('size', 224, 'pixels of RGB frames'),
      ('preview_size', 160, 'pixels of preview frames'),
      ('spectrogram_size', 256, 'bins and frames of a spectrogram'),
      ('repeats', 5, 'rounds of which medians are taken')):
    parser.add_argument(f'--{name}', type=int, default=default, help=meaning)
  parser.add_argument(
      '--tolerance', type=float, default=0.05, help='largest difference accepted')
  options = parser.parse_args(argv)
  low = [n for n, value in vars(options).items() if n != 'tolerance' and value < 1]
  if low:
    sys.exit(f'bench_skipping: --{low[0]}={getattr(options, low[0])} is below 1; give '
             '1 or more.')
  try:
    rows = measure(options)
  except ValueError as error:
    sys.exit(f'bench_skipping: {command_line.one_line(error)}')
  print(f'{"open":>6}{"CPU s":>9}{"time":>8}{"GFLOPs":>8}{"diff":>8}')
  for rate, seconds, spent, counted in rows:
    print(f'{rate:>5}%{seconds:>9.2f}{spent:>8.3f}{counted:>8.3f}'
          f'{spent - counted:>+8.3f}')
  worst = max(abs(spent - counted) for _, _, spent, counted in rows)
  print(f'largest difference {worst:.3f}, tolerance {options.tolerance}')
  return 0 if worst <= options.tolerance else 1


if __name__ == '__main__':
  sys.exit(main())
