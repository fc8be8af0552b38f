"""What the demo videos show and play: ten classes, evidence, distractors.

`make_video` is a function of (seed, index, label) alone. A segment is one second. A
third to a half of a video's segments carry evidence; the others hold a dim texture
and a faint hiss, neutral clutter or babble, or a short, weak piece of another class.
"""

import dataclasses

import cv2
import numpy as np

SOUND_RATE = 16000  # hertz
# label: (what is seen, what is heard); None: nothing that tells the label.
CLASSES = {
    'disc': ('disc', None),
    'cross': ('cross', None),
    'slide_horizontal': ('horizontal', None),
    'slide_vertical': ('vertical', None),
    'chirps': (None, 'chirps'),
    'bursts': (None, 'bursts'),
    'ring_low': ('ring', 'low'),
    'ring_high': ('ring', 'high'),
    'star_low': ('star', 'low'),
    'star_high': ('star', 'high'),
}
SIGHTS = ('disc', 'cross', 'ring', 'star', 'horizontal', 'vertical')
SOUNDS = ('chirps', 'bursts', 'low', 'high')
EVIDENCE_SHARE = (.3, .5)      # of the segments, for a class told by one modality
EVIDENCE_SHARE_BOTH = (.3, .4)  # of the segments, for each of the two modalities
CLUTTER_SHARE = .25            # of the segments without evidence in that modality
WEAK_SHARE = .5                # of the videos, for each modality


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """What the content of the data set depends on.

  Attributes:
    num_videos: number of videos, over all splits.
    seed: any integer >= 0.
    seconds: length of a video and number of its segments, at least 4.
    size: side of the square picture in pixels, even, at least 32.
    frame_rate: frames per second, at least 4.
  """
  num_videos: int
  seed: int = 0
  seconds: int = 10
  size: int = 96
  frame_rate: int = 10

  def __post_init__(self):
    least = {'num_videos': 1, 'seed': 0, 'seconds': 4, 'size': 32, 'frame_rate': 4}
    for name, limit in least.items():
      if getattr(self, name) < limit:
        raise ValueError(f'--{name}={getattr(self, name)} is below {limit}; '
                         f'give --{name}={limit} or more')
    if self.size % 2:
      raise ValueError(f'--size={self.size} is odd, which h264 cannot store; '
                       f'give --size={self.size + 1}')


@dataclasses.dataclass(frozen=True)
class Segment:
  """One second: what is drawn and played there; None is nothing."""
  sight: str | None = None
  sound: str | None = None
  sight_distractor: str | None = None  # 'clutter' or one of SIGHTS, weak
  sound_distractor: str | None = None  # 'babble' or one of SOUNDS, weak

  def evidence(self) -> list[str]:
    kinds = []
    if self.sight:
      moves = self.sight in ('horizontal', 'vertical')
      kinds.append('motion' if moves else 'sight')
    return kinds + (['sound'] if self.sound else [])

  def distractors(self) -> list[str]:
    present = (self.sight_distractor, self.sound_distractor)
    return [d if d in ('clutter', 'babble') else f'weak_{d}' for d in present if d]


def _choose(rng, num_segments, share):
  """Picks segments for evidence: one run of two, the rest anywhere."""
  low, high = (max(2, round(s * num_segments)) for s in share)
  count = rng.integers(low, high + 1)
  first = rng.integers(num_segments - 1)
  rest = [i for i in range(num_segments) if i not in (first, first + 1)]
  return {first, first + 1, *rng.permutation(rest)[:count - 2].tolist()}


def plan_segments(label: str, num_segments: int, rng) -> list[Segment]:
  """Draws what each second of a video of class `label` shows and plays."""
  sight, sound = CLASSES[label]
  share = EVIDENCE_SHARE_BOTH if sight and sound else EVIDENCE_SHARE
  columns = {}
  for kind, own, others, neutral in (('sight', sight, SIGHTS, 'clutter'),
                                     ('sound', sound, SOUNDS, 'babble')):
    chosen = _choose(rng, num_segments, share) if own else set()
    free = rng.permutation([i for i in range(num_segments) if i not in chosen])
    distractors = {
        int(i): neutral for i in free if rng.random() < CLUTTER_SHARE}
    if rng.random() < WEAK_SHARE:
      distractors[int(free[0])] = str(rng.choice([o for o in others if o != own]))
    columns[kind] = [own if i in chosen else None for i in range(num_segments)]
    columns[f'{kind}_distractor'] = [
        distractors.get(i) for i in range(num_segments)]
  return [Segment(**{kind: column[i] for kind, column in columns.items()})
          for i in range(num_segments)]


def _coverage(shape, x, y, radius, angle):
  """Share of each pixel that a shape covers.

  Args:
    shape: one of SIGHTS.
    x: [frames, size, size] pixels right of the shape's centre.
    y: the same downwards.
    radius: in pixels.
    angle: rotation in radians.

  Returns:
    [frames, size, size] in [0, 1].
  """
  if shape in ('horizontal', 'vertical'):
    inside = .55 * radius - np.maximum(np.abs(x), np.abs(y))
    return np.clip(inside + .5, 0, 1)
  distance = np.hypot(x, y)
  if shape == 'disc':
    inside = radius - distance
  elif shape == 'ring':
    inside = .22 * radius - np.abs(distance - .8 * radius)
  elif shape == 'cross':
    u = np.abs(x * np.cos(angle) + y * np.sin(angle))
    v = np.abs(y * np.cos(angle) - x * np.sin(angle))
    inside = np.minimum(radius - np.maximum(u, v),
                        .24 * radius - np.minimum(u, v))
  else:  # a star of five points
    turn = (np.arctan2(y, x) + angle) % (2 * np.pi / 5) - np.pi / 5
    edge = 1.2 * radius * (1 - .62 * (1 - np.abs(turn) / (np.pi / 5)))
    inside = edge - distance
  return np.clip(inside + .5, 0, 1)


def _colour(rng, brightness):
  hue = np.uint8([[[rng.integers(180), rng.integers(140, 230), brightness]]])
  return cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)


def _paint(frames, cover, colour):
  frames += cover[..., None] * (colour - frames)


def _draw_shape(frames, shape, rng, weak):
  """Paints one shape into [frames, size, size, 3]; weak: small, dim and short."""
  count, size = frames.shape[:2]
  radius = size * rng.uniform(.17, .25) * (.6 if weak else 1)
  colour = _colour(rng, 130 if weak else int(rng.integers(200, 256)))
  time = np.linspace(0, 1, count, endpoint=False)
  centre = rng.uniform(radius, size - radius, (2, 1)) + np.zeros(count)
  if shape in ('horizontal', 'vertical'):
    # There and back once a second, over all the picture, from any phase on.
    wave = np.abs((time + rng.random()) % 1 * 2 - 1)
    reach = .6 * radius
    centre[int(shape == 'vertical')] = reach + (size - 2 * reach) * wave
  else:
    drift = size * rng.uniform(-.06, .06, (2, 1))
    centre = centre + drift * np.sin(2 * np.pi * (time + rng.random()))
  grid = np.arange(size, dtype=np.float32) + .5
  # [frames, size, size] from [1, 1, size], [1, size, 1] and [frames, 1, 1]
  x = (grid[None, None, :] - centre[0][:, None, None]).astype(np.float32)
  y = (grid[None, :, None] - centre[1][:, None, None]).astype(np.float32)
  x, y = np.broadcast_arrays(x, y)
  cover = _coverage(shape, x, y, radius, rng.uniform(0, 2 * np.pi))
  if weak:
    start = int(rng.integers(count - count // 3))
    cover = cover * ((np.arange(count) >= start)
                     & (np.arange(count) < start + max(1, count // 3))
                    )[:, None, None] * .7
  _paint(frames, cover, colour)


def _draw_clutter(frames, rng):
  """Paints strokes that jump from frame to frame."""
  size = frames.shape[1]
  for frame in frames:
    for _ in range(10):
      start = rng.integers(0, size, 2)
      end = start + rng.integers(-size // 5, size // 5 + 1, 2)
      cv2.line(frame, start.tolist(), end.tolist(),
               _colour(rng, int(rng.integers(90, 220))).tolist(), 2, cv2.LINE_AA)


def draw(segments: list[Segment], options: Options, rng) -> np.ndarray:
  """Returns the frames of a video, uint8 [frames, size, size, 3]."""
  size, per_segment = options.size, options.frame_rate
  count = per_segment * len(segments)
  # A dim texture that drifts slowly.
  coarse = rng.uniform(15, 85, (2, 7, 7, 1)) * rng.uniform(.6, 1, (2, 1, 1, 3))
  start, end = (cv2.resize(c.astype(np.float32), (size, size),
                           interpolation=cv2.INTER_CUBIC) for c in coarse)
  mix = np.linspace(0, 1, count, dtype=np.float32)[:, None, None, None]
  frames = start * (1 - mix) + end * mix
  frames += rng.normal(0, 4, frames.shape[:3] + (1,)).astype(np.float32)
  for i, segment in enumerate(segments):
    part = frames[i * per_segment:(i + 1) * per_segment]
    if segment.sight:
      _draw_shape(part, segment.sight, rng, weak=False)
    elif segment.sight_distractor == 'clutter':
      _draw_clutter(part, rng)
    elif segment.sight_distractor:
      _draw_shape(part, segment.sight_distractor, rng, weak=True)
  return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def _tone(kind, rng):
  """Returns one second of sound, float32 [SOUND_RATE], amplitude about 1."""
  time = np.arange(SOUND_RATE) / SOUND_RATE
  if kind == 'chirps':  # 350 to 3000 Hz and again, three to four times a second
    phase = (time * rng.uniform(3, 4) + rng.random()) % 1
    hertz = 350 * (3000 / 350) ** phase
    sound = np.sin(2 * np.pi * np.cumsum(hertz) / SOUND_RATE) * (phase < .85)
  elif kind == 'bursts':  # white noise, seven to nine times a second
    phase = (time * rng.uniform(7, 9) + rng.random()) % 1
    sound = rng.normal(0, .6, time.shape) * (phase < .4)
  elif kind in ('low', 'high'):
    hertz = rng.uniform(280, 450) if kind == 'low' else rng.uniform(1800, 2500)
    tremble = 1 + .15 * np.sin(2 * np.pi * rng.uniform(3, 6) * time)
    sound = np.sin(2 * np.pi * hertz * time) * tremble
  else:  # babble: a buzzing voice in syllables
    pitch = rng.uniform(110, 220) * 2 ** (
        .25 * np.sin(2 * np.pi * (rng.uniform(1, 3) * time + rng.random())))
    phase = 2 * np.pi * np.cumsum(pitch) / SOUND_RATE
    formants = rng.uniform((500, 1200), (900, 2200))
    weights = [sum(np.exp(-.5 * ((165 * k - f) / 250) ** 2) for f in formants)
               for k in range(1, 16)]
    sound = sum(w * np.sin(k * phase) for k, w in enumerate(weights, 1))
    sound *= np.clip(np.sin(2 * np.pi * (rng.uniform(3, 5) * time + rng.random())),
                     0, 1) / 3
  return sound.astype(np.float32)


def play(segments: list[Segment], rng) -> np.ndarray:
  """Returns the sound of a video, float32 [SOUND_RATE * segments] in [-1, 1]."""
  edge = SOUND_RATE // 50  # 20 ms
  fade = np.minimum(1, np.minimum(np.arange(SOUND_RATE),
                                  np.arange(SOUND_RATE)[::-1]) / edge)
  sound = rng.normal(0, .003, (len(segments), SOUND_RATE))
  for i, segment in enumerate(segments):
    if segment.sound:
      sound[i] += _tone(segment.sound, rng) * fade * rng.uniform(.25, .5)
    elif segment.sound_distractor == 'babble':
      sound[i] += _tone('babble', rng) * fade * rng.uniform(.15, .35)
    elif segment.sound_distractor:
      start = rng.integers(SOUND_RATE * 2 // 3)
      time = np.arange(SOUND_RATE)
      window = (time >= start) & (time < start + SOUND_RATE // 3)
      sound[i] += _tone(segment.sound_distractor, rng) * fade * window * .06
  return np.clip(sound.reshape(-1), -1, 1).astype(np.float32)


def make_video(index: int, label: str, options: Options
              ) -> tuple[list[Segment], np.ndarray, np.ndarray]:
  """Returns segments, frames and sound of video `index`: a function of the seed."""
  rng = np.random.default_rng([options.seed, 1, index])
  segments = plan_segments(label, options.seconds, rng)
  return segments, draw(segments, options, rng), play(segments, rng)
