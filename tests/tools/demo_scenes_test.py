"""Tests of tools/demo_scenes.py: where the evidence is, and that it is there."""

import dataclasses

import demo_scenes as demo
import numpy as np
import pytest


def test_another_seed_gives_other_videos():
  options = demo.Options(num_videos=6, seed=3, seconds=4, size=32, frame_rate=5)
  other = dataclasses.replace(options, seed=4)
  for label in demo.CLASSES:
    _, frames, sound = demo.make_video(1, label, options)
    _, other_frames, other_sound = demo.make_video(1, label, other)
    assert np.any(frames != other_frames) and np.any(sound != other_sound)


def test_evidence_is_in_a_third_to_a_half_of_the_segments():
  rng = np.random.default_rng(0)
  for label, (sight, sound) in demo.CLASSES.items():
    for _ in range(50):
      segments = demo.plan_segments(label, 10, rng)
      most = 4 if sight and sound else 5
      if sight:
        assert 3 <= sum(s.sight == sight for s in segments) <= most
      if sound:
        assert 3 <= sum(s.sound == sound for s in segments) <= most
      for s in segments:
        assert not (s.sight and s.sight_distractor)
        assert not (s.sound and s.sound_distractor)
        assert s.sight_distractor is None or s.sight_distractor != sight
        assert s.sound_distractor is None or s.sound_distractor != sound


def test_shapes_and_sounds_stand_out_of_their_surroundings():
  rng = np.random.default_rng(0)
  options = demo.Options(num_videos=1)
  for label in demo.CLASSES:
    segments = demo.plan_segments(label, 10, rng)
    frames = demo.draw(segments, options, rng).reshape(10, -1)
    sound = demo.play(segments, rng).reshape(10, -1)
    bright = np.mean(frames > 120, axis=1)
    power = np.sqrt(np.mean(sound**2, axis=1))
    for i, s in enumerate(segments):
      if s.sight:
        assert bright[i] > .01
      elif not s.sight_distractor:
        assert bright[i] < .002
      if s.sound:
        assert power[i] > .05
      elif not s.sound_distractor:
        assert power[i] < .01


def test_square_moves_along_its_axis_only():
  options = demo.Options(num_videos=1)
  for sight, moving, still in (('horizontal', 1, 0), ('vertical', 0, 1)):
    rng = np.random.default_rng(5)
    frames = demo.draw([demo.Segment(sight=sight)], options, rng)
    centres = np.array([np.argwhere(f.max(-1) > 150).mean(0) for f in frames])
    assert np.ptp(centres[:, moving]) > 40 and np.ptp(centres[:, still]) < 2


@pytest.mark.parametrize('wrong', [
    {'num_videos': 0}, {'seed': -1}, {'seconds': 3}, {'size': 33}, {'size': 30},
    {'frame_rate': 2}])
def test_wrong_options_name_the_flag(wrong):
  with pytest.raises(ValueError, match=f'--{next(iter(wrong))}='):
    demo.Options(**{'num_videos': 1, **wrong})
