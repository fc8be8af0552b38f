"""What the views of a segment show, against NumPy."""

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from tests.data import tiny_dataset
from tests.data import tiny_shards
from tfmm.data import augment
from tfmm.data import dataset
from tfmm.data import spectrogram


def test_evaluation_views_against_numpy(tmp_path):
  video = tiny_shards.noise_video('a', 21, height=24, width=32)
  tiny_shards.write(tmp_path, [video], split='test')
  batch, = tiny_dataset.evaluate(tmp_path, split='test')
  starts = np.linspace(0, 21 - 6, 4).astype(int)
  np.testing.assert_allclose(
      batch['segment_times'][0], np.stack([starts, starts + 6], 1) / 10, rtol=1e-6)
  decoded = np.stack([
      tf.io.decode_jpeg(tiny_shards.jpeg(f), dct_method='INTEGER_ACCURATE').numpy()
      for f in video.frames])
  frames = decoded[starts[:, None] + [0, 2, 4]][:, :, 4:20, 8:24]
  np.testing.assert_array_equal(batch['rgb'][0], frames)
  # Halving with half-pixel centres is the mean of 2 x 2.
  small = frames[:, [0, 2]].reshape(4, 2, 8, 2, 8, 2, 3).mean((3, 5))
  np.testing.assert_allclose(batch['rgb_preview'][0], small, atol=1e-4)
  left = np.round((starts + 3) * 800 - 640).astype(int)
  sound = np.stack([video.waveform[k:k + 1280] for k in left])
  expected = spectrogram.log_power_spectrogram(sound, n_fft=31, window=30, hop=40)
  np.testing.assert_allclose(batch['spectrogram'][0, ..., 0], expected, atol=1e-3)


def test_preview_shows_the_augmented_crop(data_dir):
  for batch in tiny_dataset.train(data_dir, 2):
    crops = batch['rgb'][:, :, [0, 2]].astype(np.float32)
    small = crops.reshape(4, 3, 2, 8, 2, 8, 2, 3).mean((4, 6))
    np.testing.assert_allclose(batch['rgb_preview'], small, atol=1e-3)


@pytest.mark.parametrize('frames', ['dense', 'segments'])
def test_frames_and_sound_of_a_segment_belong_together(tmp_path, frames):
  """A tone at 6.0-6.8 s is loud in the segments around it alone."""
  t = np.arange(80000) / 8000
  tone = np.where((t >= 6) & (t < 6.8), np.sin(2 * np.pi * 1000 * t), 0)
  video = tiny_shards.flat_video('a', 100, waveform=tone.astype(np.float32))
  options = {}
  if frames == 'segments':  # clips of 20 frames that overlap in time
    video = tiny_shards.segmented(
        video, num_segments=12, segment_frames=8, margin=2, max_frames=20)
    assert len(video.spans) == 8
    options = {'frames': frames, 'num_segments': 12, 'segment_frames': 8,
               'segment_margin_seconds': .2}
  tiny_shards.write(tmp_path, [video], **options)
  rgb = dataset.RgbFrames(
      num_frames=4, stride=2, size=16, short_side=16, scale_range=(16, 16))
  spec = dataset.DatasetSpec(
      views=(rgb, tiny_dataset.SOUND), num_segments=10, eval_segments=12)
  for training in (False, True):
    batches = dataset.make_dataset(
        spec, tmp_path, 'train', batch_size=1, training=training)
    for batch in batches.take(3).as_numpy_iterator():
      heard = batch['spectrogram'][0, ..., 0].max((1, 2)) > 0
      begin, end = batch['segment_times'][0].T
      middle = (begin + end) / 2
      expected = (middle + .08 > 6) & (middle - .08 < 6.8)
      np.testing.assert_array_equal(heard, expected)
      levels = batch['rgb'][0].mean((2, 3, 4))
      frames = begin[:, None] * 10 + 2 * np.arange(4)
      np.testing.assert_allclose(
          levels, tiny_shards.frame_level(frames), atol=1.5)


def test_missing_sound_is_not_present_and_zero(tmp_path):
  videos = [
      tiny_shards.noise_video('silent', 20, has_audio=False),
      tiny_shards.noise_video('sounding', 20),
      tiny_shards.noise_video('half', 20, sound=(0, .7))]
  tiny_shards.write(tmp_path, videos)
  batch, = tiny_dataset.evaluate(tmp_path, batch_size=3)
  np.testing.assert_array_equal(batch['present'][..., 0], np.ones([3, 4]))
  np.testing.assert_array_equal(
      batch['present'][..., 1], [[0] * 4, [1] * 4, [1, 1, 0, 0]])
  absent = batch['present'][..., 1] == 0
  assert not batch['spectrogram'][absent].any()
  assert all(s.any() for s in batch['spectrogram'][~absent])


def test_video_shorter_than_a_segment(tmp_path):
  tiny_shards.write(tmp_path, [tiny_shards.flat_video('a', 3)])
  rgb = dataset.RgbFrames(
      num_frames=3, stride=2, size=16, short_side=16, scale_range=(16, 16))
  spec = dataset.DatasetSpec(views=(rgb, tiny_dataset.SOUND), eval_segments=2)
  batch, = tiny_dataset.evaluate(tmp_path, spec)
  levels = batch['rgb'][0].mean((2, 3, 4))
  np.testing.assert_allclose(
      levels, [[tiny_shards.frame_level(k) for k in (0, 2, 2)]] * 2, atol=1.5)
  np.testing.assert_allclose(batch['segment_times'][0], [[0, .3]] * 2, rtol=1e-6)


def test_another_sound_rate_is_resampled(tmp_path):
  t = np.arange(16000) / 8000
  tone = np.sin(2 * np.pi * 500 * t).astype(np.float32)
  tiny_shards.write(tmp_path, [tiny_shards.flat_video('a', 20, waveform=tone)])
  sound = dataset.LogSpectrogram(
      sample_rate=4000, seconds=.32, n_fft=128, window=128, hop=64)
  spec = dataset.DatasetSpec(
      views=(sound,), modalities=('audio',), segment_frames=6, eval_segments=3)
  batch, = tiny_dataset.evaluate(tmp_path, spec)
  # 500 Hz is bin 16 of 128 points at 4 kHz.
  middle = batch['spectrogram'][0, :, :, 5, 0]
  np.testing.assert_array_equal(middle.argmax(1), [16] * 3)


def _live_spec(sound=dataset.LogMel(), **options):
  return dataset.DatasetSpec(**{
      'views': (sound,), 'modalities': ('audio',), 'segment_frames': 6,
      'num_segments': 3, 'eval_segments': 4, **options})


def test_log_mel_against_numpy(tmp_path):
  """Noise of 8 kHz at 16 kHz; the first and the last window move inside."""
  video = tiny_shards.noise_video('a', 21)
  tiny_shards.write(tmp_path, [video])
  batch, = tiny_dataset.evaluate(tmp_path, _live_spec())
  assert batch['log_mel'].shape == (1, 4, 96, 64, 1) and batch['present'].all()
  sound = scipy.signal.resample_poly(video.waveform.astype(np.float64), 2, 1)
  hann = .5 - .5 * np.cos(2 * np.pi * np.arange(400) / 400)
  bank = tf.signal.linear_to_mel_weight_matrix(
      64, 257, 16000, 125., 7500., tf.float64).numpy()
  for got, start in zip(batch['log_mel'][0, ..., 0], [0, 5, 10, 15]):
    left = np.clip((start + 3) * 1600 - 7800, 0, len(sound) - 15600)
    for frame in range(96):
      first = left + frame * 160
      spectrum = np.abs(np.fft.rfft(sound[first:first + 400] * hann, 512))
      np.testing.assert_allclose(
          got[frame], np.log(spectrum @ bank + .001), atol=2e-3)


@pytest.mark.parametrize('frame_rate', [None, 20])
def test_log_mel_of_a_tone(tmp_path, frame_rate):
  """A burst is in its band and in its frames; a frame_rate places windows."""
  t = np.arange(48000) / 8000
  tone = np.where((t >= 3) & (t < 3.2), np.sin(2 * np.pi * 1000 * t), 0)
  tiny_shards.write(tmp_path, [
      tiny_shards.flat_video('a', 60, waveform=tone.astype(np.float32)),
      tiny_shards.flat_video('b', 60, has_audio=False)])
  spec = _live_spec(dataset.LogMel(frame_rate=frame_rate), eval_segments=55)
  heard, silent = tiny_dataset.evaluate(tmp_path, spec)
  # Segment k's middle is at (k + 3) / 10 s by time, and at (k + 3) / 20 s by number.
  place, left = (27, 40200) if frame_rate is None else (54, 37800)
  picture = heard['log_mel'][0, place, ..., 0]
  first = left + 160 * np.arange(96)
  np.testing.assert_array_equal(
      (picture > 0).any(1), (first + 400 > 48000) & (first < 51200))
  mel = lambda hertz: np.log1p(hertz / 700)
  band = (mel(1000) - mel(125)) / (mel(7500) - mel(125)) * 65 - 1
  inside = (first > 48000) & (first + 400 < 51200)
  assert inside.sum() > 10 and (np.abs(picture[inside].argmax(1) - band) < 1).all()
  assert heard['present'].all()
  assert not silent['present'].any() and not silent['log_mel'].any()


def test_masks_of_log_mels_lie_along_time(data_dir):
  spec = _live_spec(augment=dataset.Augmentation(time_mask=30), num_segments=8)
  batch, = tiny_dataset.train(data_dir, 1, spec)
  masked = batch['log_mel'][..., 0] == 0
  frames = masked.all(-1)  # [B, S, frames]
  assert frames.any() and frames.sum(-1).max() < 30
  np.testing.assert_array_equal(masked.any(-1), frames)


def test_log_mels_that_make_no_sense():
  assert dataset.LogMel(seconds=.025).spec().shape == (1, 64, 1)
  with pytest.raises(ValueError, match='seconds=0.02 .*at least 0.025'):
    dataset.LogMel(seconds=.02)
  with pytest.raises(ValueError, match="sample_rate=8000 of view 'log_mel'.*16000 Hz"):
    dataset.LogMel(sample_rate=8000)


def test_waveform_is_what_a_log_mel_is_made_of(tmp_path):
  """At 8 kHz as the record has it, and resampled as the log-mel's; zeros if silent."""
  video = tiny_shards.noise_video('a', 21)
  tiny_shards.write(tmp_path, [video, tiny_shards.flat_video('b', 21, has_audio=False)])
  plain = dataset.Waveform(name='plain', sample_rate=8000, seconds=.5)
  spec = _live_spec(views=(dataset.Waveform(), dataset.LogMel(), plain))
  heard, silent = tiny_dataset.evaluate(tmp_path, spec)
  assert heard['waveform'].shape == (1, 4, 15600) and heard['present'].all()
  np.testing.assert_allclose(
      spectrogram.yamnet_log_mel(heard['waveform'][0]), heard['log_mel'][0, ..., 0],
      atol=1e-4)
  left = [(start + 3) * 800 - 2000 for start in (0, 5, 10, 15)]
  np.testing.assert_allclose(heard['plain'][0], [
      video.waveform[max(k, 0):max(k, 0) + 4000] for k in np.minimum(left, 12800)])
  assert not silent['waveform'].any() and not silent['present'].any()
  with pytest.raises(ValueError, match="seconds=0 of view 'waveform' hold no sample"):
    dataset.Waveform(seconds=0)


def test_masks_are_drawn_in_training_only(data_dir):
  spec = tiny_dataset.spec(augment=augment.Augmentation(time_mask=20))
  (masked,), (plain,) = (
      tiny_dataset.train(data_dir, 1, s) for s in (spec, tiny_dataset.spec()))
  assert (masked['spectrogram'] != plain['spectrogram']).any()
  np.testing.assert_array_equal(masked['rgb'], plain['rgb'])
  read = lambda s: tiny_dataset.evaluate(data_dir, s, split='test')[0]
  tiny_dataset.equal(read(spec), read(tiny_dataset.spec()))


def test_colours_are_a_function_of_the_seed(data_dir):
  colours = dataset.Augmentation(brightness=.2, contrast=.2, saturation=.2)
  spec = tiny_dataset.spec(
      views=(tiny_dataset.RGB,), modalities=('rgb',), augment=colours)
  plain = tiny_dataset.spec(views=(tiny_dataset.RGB,), modalities=('rgb',))
  first, = tiny_dataset.train(data_dir, 1, spec)
  tiny_dataset.equal(first, tiny_dataset.train(data_dir, 1, spec)[0])
  assert (first['rgb'] != tiny_dataset.train(data_dir, 1, plain)[0]['rgb']).any()


def test_default_views_are_the_papers():
  shapes = {name: tuple(spec.shape[2:]) for name, spec in dataset.DatasetSpec(
      views=(dataset.RgbFrames(), dataset.RgbPreview(), dataset.LogSpectrogram())
  ).view_specs().items()}
  assert shapes == {'rgb': (8, 224, 224, 3), 'rgb_preview': (4, 160, 160, 3),
                    'spectrogram': (256, 256, 1)}
  # A live log-mel stands where a stored one would.
  assert dataset.LogMel().spec() == dataset.StoredLogMel().spec()
  assert dataset.LogMel().name == dataset.StoredLogMel().name


def _log_mel_spec(**options):
  return dataset.DatasetSpec(**{
      'views': (dataset.StoredLogMel(log_mel='yamnet'),), 'modalities': ('audio',),
      'segment_frames': 6, 'num_segments': 3, 'eval_segments': 7, **options})


def _patch_levels(batch):
  """The one value that fills each patch: [S]."""
  pictures = batch['log_mel'][0]
  assert pictures.shape[1:] == (96, 64, 1)
  np.testing.assert_array_equal(pictures, pictures[:, :1, :1] + 0 * pictures)
  return pictures[:, 0, 0, 0]


def test_the_stored_patch_covers_the_segments_middle(tmp_path):
  """Clips of 2.6 s have rows of three patches of .96 s; two segments straddle them."""
  video = tiny_shards.noise_video('a', 80, clip_frames=26, log_mels=('yamnet',))
  tiny_shards.write(tmp_path, [video], log_mels=['yamnet'])
  batch, = tiny_dataset.evaluate(tmp_path, _log_mel_spec())
  middles = batch['segment_times'][0].mean(1, dtype=np.float64).round(6)
  clips = np.array([0, 2.6, 5.2, 7.8])
  clip = np.array([np.flatnonzero(clips <= m)[-1] for m in middles])
  patch = np.floor((middles - clips[clip]) / .96 + 1e-9).astype(int)
  assert set(clip) == {0, 1, 2} and len(set(zip(clip, patch))) == 7
  np.testing.assert_array_equal(
      _patch_levels(batch), tiny_shards.patch_level(clip, patch))
  np.testing.assert_array_equal(batch['present'], np.ones([1, 7, 1]))


def test_a_middle_on_a_border_is_in_the_later_patch(tmp_path):
  video = tiny_shards.noise_video('a', 150, log_mels=('yamnet',))
  tiny_shards.write(tmp_path, [video], log_mels=['yamnet'])
  spec = _log_mel_spec(eval_segments=145)  # starts at 0, 1, ... 144 frames
  batch, = tiny_dataset.evaluate(tmp_path, spec)
  # The middles are 3, 4, ... 147 tenths of a second. Patches begin every 960 ms; in
  # floats, 14.4 s is a little less than 15 of them.
  np.testing.assert_array_equal(
      _patch_levels(batch),
      tiny_shards.patch_level(0, (np.arange(3, 148) * 100) // 960))


def test_stored_patches_of_windows(tmp_path):
  """Three runs of 1 s, 2 frames before and after the windows where there are any."""
  video = tiny_shards.segmented(
      tiny_shards.noise_video('a', 90, log_mels=('yamnet',)),
      num_segments=3, segment_frames=16, margin=2)
  assert [span[:2] for span in video.spans] == [[0, 18], [35, 55], [72, 90]]
  tiny_shards.write(
      tmp_path, [video], frames='segments', num_segments=3, segment_frames=16,
      segment_margin_seconds=.2, log_mels=['yamnet'])
  batch, = tiny_dataset.evaluate(
      tmp_path, _log_mel_spec(eval_segments=3, segment_frames=16))
  # Middles are .8, 1.0 and 1.0 s after the begin of their runs.
  np.testing.assert_array_equal(
      _patch_levels(batch), tiny_shards.patch_level(np.arange(3), [0, 1, 1]))


def test_a_patch_without_real_sound_is_not_present(tmp_path):
  videos = [
      tiny_shards.noise_video('silent', 40, log_mels=('yamnet',), has_audio=False),
      tiny_shards.noise_video('half', 40, log_mels=('yamnet',), sound=(0, 1.))]
  tiny_shards.write(tmp_path, videos, log_mels=['yamnet'])
  spec = _log_mel_spec(eval_segments=4)
  silent, half = tiny_dataset.evaluate(tmp_path, spec)
  assert not silent['log_mel'].any() and not silent['present'].any()
  # Middles .3, 1.4, 2.5, 3.7 s; patch 1 begins at .96 s, with .04 s of sound.
  np.testing.assert_array_equal(half['present'][0, :, 0], [1, 1, 0, 0])
  np.testing.assert_array_equal(
      _patch_levels(half), [*tiny_shards.patch_level(0, np.arange(2)), 0, 0])


@pytest.mark.parametrize('name, time_axis', [
    ('yamnet', 0), ('listen_to_look', 0), ('mbt', 0), ('ast', 1), ('adamml', 1)])
def test_masks_of_stored_log_mels_lie_along_time(tmp_path, name, time_axis):
  video = tiny_shards.noise_video('a', 40, log_mels=(name,))
  tiny_shards.write(tmp_path, [video], log_mels=[name])
  spec = _log_mel_spec(
      views=(dataset.StoredLogMel(log_mel=name),), num_segments=8,
      augment=dataset.Augmentation(time_mask=30))
  batch, = tiny_dataset.train(tmp_path, 1, spec, batch_size=1)
  masked = batch['log_mel'][0, ..., 0] == 0
  assert masked.any()
  frames = masked.any(2 - time_axis)  # [S, time]
  assert frames.sum(1).max() < 30
  expected = np.broadcast_to(np.expand_dims(frames, 2 - time_axis), masked.shape)
  np.testing.assert_array_equal(masked, expected)


def test_an_unknown_log_mel_is_named():
  with pytest.raises(ValueError, match="log_mel='vggish'.*yamnet, adamml"):
    dataset.StoredLogMel(log_mel='vggish')
