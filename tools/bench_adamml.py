r"""Measures AdaMML at full size beside the same network in PyTorch.

  OMP_WAIT_POLICY=PASSIVE python tools/bench_adamml.py

RGB and audio, ResNet-50 and MobileNetV2, random weights and content:

* a training step of each network, at batch 2 with 5 segments: CPU time and the peak
  memory of the process that takes it;
* a test video of 10 segments with the gates of Table 1 (46.47 % of RGB and 94.15 % of
  audio are computed): CPU time over that of the same graph with every gate open, and
  over PyTorch, which computes everything and then masks, as the authors' code does.

Each side is a process of its own that takes one step when asked; they take turns and
medians are compared. Tests are run by new processes, as a server would: what training
leaves of the heap costs page faults. It needs PyTorch (pip install -c constraints.txt -e .[reference])
unless --ours is given. The exit code is 1 if a goal is missed.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from tfmm import command_line

RATES = {'rgb': .4647, 'audio': .9415}  # Table 1, Kinetics-Sounds
STEPS = ('recognition', 'policy')
# what -> (goal, unit); the authors' code needs 25.2 core-seconds and 9.0 GiB a step
GOALS = {'step': (25.0, 'core-seconds'), 'memory': (9.0, 'GiB'),
         'skipping': (.52, 'of dense')}


class Side:
  """A process that takes steps of one implementation."""

  def __init__(self, name, options):
    command = [sys.executable, os.path.abspath(__file__), f'--serve={name}',
               f'--batch_size={options.batch_size}', f'--videos={options.videos}',
               f'--size={options.size}']
    self._process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={'OMP_WAIT_POLICY': 'PASSIVE', 'TF_CPP_MIN_LOG_LEVEL': '3', **os.environ})
    self._name = name

  def ask(self, what: str) -> dict[str, float]:
    """{'seconds': CPU time, 'gib': peak memory so far} of one step."""
    try:
      self._process.stdin.write(f'{what}\n')
      self._process.stdin.flush()
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ''
    if not line:
      raise OSError(f'the {self._name} process ended with exit code '
                    f'{self._process.wait()}; see above.')
    return json.loads(line)

  def close(self):
    self._process.stdin.close()
    self._process.wait()


def serve(name: str, options):
  """The child: takes the step that each line of standard input names."""
  steps = {'tfmm': _tfmm_steps, 'torch': _torch_steps}[name](options)
  for line in sys.stdin:
    begin = time.process_time()
    steps[line.strip()]()
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(json.dumps({'seconds': seconds, 'gib': peak}), flush=True)


def _tfmm_steps(options):
  import bench_skipping
  import numpy as np
  import tensorflow as tf
  from tfmm.losses import efficiency
  from tfmm.losses import recognition
  from tfmm.training import optimizers
  from tfmm.training import phases
  from tfmm.training import trainer

  shape = argparse.Namespace(
      spectrogram_size=256 * options.size // 224, depth=50, num_frames=8,
      size=options.size, preview_size=160 * options.size // 224)
  learner = bench_skipping.make_model(shape, forced=False)
  plan = phases.adamml_phases(
      loss=recognition.CrossEntropy(),
      penalty=efficiency.SelectionPenalty(weights={'rgb': 1., 'audio': .05}),
      warm_up_epochs=0, alternating_epochs=1, fine_tune_epochs=0)
  clips = bench_skipping.make_clips(learner, options.batch_size, 5)
  batch = {**clips, 'present': tf.ones([options.batch_size, 5, 2]),
           'label': tf.range(options.batch_size)}
  groups = learner.variable_groups()
  made = {
      'recognition': optimizers.OptimizerSpec(
          name='sgd', learning_rate=1e-3, momentum=.9, weight_decay=1e-4),
      'policy': optimizers.OptimizerSpec(
          name='adam', learning_rate=1e-2, weight_decay=1e-4)}
  train = trainer.Trainer(
      model=learner, plan_phases=plan.phases(),
      optimizers={g: spec.build(groups[g]) for g, spec in made.items()},
      make_batches=lambda start, context: tf.data.Dataset.from_tensors(batch).repeat(),
      strategy=tf.distribute.get_strategy(), seed=0, batch_size=options.batch_size,
      global_step=tf.Variable(0, dtype=tf.int64))
  spans = {span.phase.moves[0]: span for span in plan.spans(1)}

  def step(group):
    def take():
      train.set_span(spans[group])
      train.train(tf.constant(1))
    return take

  held = {}

  def recognize(gates):
    def take():
      if not held:  # after training, whose memory is measured
        model = bench_skipping.make_model(shape)
        held['clips'] = bench_skipping.make_clips(model, options.videos, 10)
        held['graph'] = bench_skipping.trace(
            model, 'gather', held['clips'], tf.constant(gates))
      for output in held['graph'](held['clips'], tf.constant(gates)):
        output.numpy()
    return take

  ours = np.stack([bench_skipping.make_gates(
      100 * RATES[m], options.videos, 10, 1)[..., 0] for m in RATES], -1)
  return {**{group: step(group) for group in STEPS},
          'skipping': recognize(ours), 'dense': recognize(np.ones_like(ours))}


def _torch_steps(options):
  import torch
  import torch_adamml

  torch.manual_seed(0)
  names = ('rgb', 'sound')
  net = torch_adamml.AdaMML(names, names)
  parts = {'recognition': net.main_net, 'policy': net.policy_net}
  optimizers = {
      'recognition': torch.optim.SGD(
          net.main_net.parameters(), 1e-3, momentum=.9, weight_decay=1e-4),
      'policy': torch.optim.Adam(net.policy_net.parameters(), 1e-2, weight_decay=1e-4)}

  def content(videos, segments):
    size, sound = options.size, 256 * options.size // 224
    rgb = torch.randn(videos, segments, 8, 3, size, size)
    heard = torch.randn(videos, segments, 1, 1, sound, sound)
    small = torch.nn.functional.interpolate(
        rgb[:, :, ::2].flatten(0, 2), size=(160 * size // 224,) * 2, mode='bilinear')
    look = small.reshape(videos, segments, 4, 3, *small.shape[-2:])
    return [rgb, heard], [look, heard]

  views, looks = content(options.batch_size, 5)
  label = torch.arange(options.batch_size)
  costs = torch.tensor([1., .05])

  def step(group):
    def take():
      net.train()
      for name, part in parts.items():
        part.requires_grad_(name == group)
      logits, _, gates = net(views, looks, temperature=5.)
      loss = torch.nn.functional.cross_entropy(logits, label)
      if group == 'policy':
        correct = (logits.argmax(-1) == label).float()
        spent = (gates.mean(1) ** 2 * costs).sum(-1)
        loss = loss + (correct * spent + (1 - correct) * 10.).mean()
      optimizers[group].zero_grad()
      loss.backward()
      optimizers[group].step()
    return take

  held = []

  @torch.no_grad()
  def dense():
    if not held:
      held.append(content(options.videos, 10))
    net.eval()
    net(*held[0])

  return {**{group: step(group) for group in STEPS}, 'dense': dense}


def take_turns(names, steps, options):
  """New processes take these steps in turns.

  Returns:
    {(side, step): median CPU seconds}, {(side, step): peak memory after the first}.
  """
  sides = {name: Side(name, options) for name in names}
  kinds = [(side, what) for what in steps for side in sides
           if what != 'skipping' or side == 'tfmm']
  try:
    # The first step traces, and prepares kernels.
    peaks = {(side, what): sides[side].ask(what)['gib'] for side, what in kinds}
    seconds = {kind: [] for kind in kinds}
    for repeat in range(options.repeats):
      for side, what in kinds:
        seconds[side, what].append(sides[side].ask(what)['seconds'])
      print(f'{", ".join(steps)}: round {repeat + 1} of {options.repeats}',
            file=sys.stderr, flush=True)
  finally:
    for side in sides.values():
      side.close()
  return {kind: statistics.median(values) for kind, values in seconds.items()}, peaks


def measure(options) -> bool:
  """Prints all figures; whether every goal is met."""
  sides = ('tfmm',) if options.ours else ('tfmm', 'torch')
  median, first = take_turns(sides, STEPS, options)
  peaks = {side: first[side, STEPS[-1]] for side in sides}
  tests, _ = take_turns(sides, ('dense', 'skipping'), options)
  median |= tests
  for side in sides:
    for what in STEPS:
      print(f'{side:6}training step of the {what} network, batch {options.batch_size}: '
            f'{median[side, what]:6.1f} core-seconds')
    print(f'{side:6}peak memory in training: {peaks[side]:.2f} GiB')
    print(f'{side:6}{options.videos} videos of 10 segments, everything computed: '
          f'{median[side, "dense"]:6.1f} core-seconds')
  skipping = median['tfmm', 'skipping']
  ratio = skipping / median['tfmm', 'dense']
  print(f'tfmm  the same with the gates of Table 1: {skipping:6.1f} core-seconds, '
        f'{ratio:.3f} of everything'
        + ('' if options.ours else
           f', {skipping / median["torch", "dense"]:.3f} of PyTorch'))
  found = {'step': max(median['tfmm', what] for what in STEPS),
           'memory': peaks['tfmm'], 'skipping': ratio}
  met = True
  for what, (goal, unit) in GOALS.items():
    good = found[what] <= goal
    met = met and good
    print(f'{what}: {found[what]:.3g} {unit}, goal at most {goal}: '
          f'{"met" if good else "MISSED"}')
  return met


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  for name, default, meaning in (
      ('batch_size', 2, 'videos of a training step'),
      ('videos', 3, 'videos of the test, at once; 3 come close to the rates'),
      ('size', 224, 'pixels of RGB; the others follow'),
      ('repeats', 3, 'rounds of which medians are taken')):
    parser.add_argument(f'--{name}', type=int, default=default, help=meaning)
  parser.add_argument('--ours', action='store_true', help='without PyTorch')
  parser.add_argument('--serve', choices=['tfmm', 'torch'], help=argparse.SUPPRESS)
  options = parser.parse_args(argv)
  for name in ('batch_size', 'videos', 'size', 'repeats'):
    if getattr(options, name) < 1:
      sys.exit(f'bench_adamml: --{name}={getattr(options, name)} is below 1; give 1 or '
               'more.')
  if options.serve:
    serve(options.serve, options)
    return 0
  try:
    return 0 if measure(options) else 1
  except OSError as error:
    sys.exit(f'bench_adamml: {command_line.one_line(error)}')


if __name__ == '__main__':
  sys.exit(main())
