import pytest

from tests.data import tiny_shards


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
  """13 training videos in 3 shards, one in three clips; 5 test videos."""
  directory = tmp_path_factory.mktemp('data')
  videos = [tiny_shards.noise_video(
      f'v{k}.mp4', 12 + k, seed=k, labels=(k % 3,),
      clip_frames=5 if k == 4 else None) for k in range(13)]
  tiny_shards.write(directory, videos, num_shards=3)
  test = [tiny_shards.noise_video(f't{k}', 15, seed=50 + k) for k in range(5)]
  return tiny_shards.write(directory, test, split='test', num_shards=2)
