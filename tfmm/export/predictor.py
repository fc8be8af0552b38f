"""Asks a SavedModel about videos, in this process."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tfmm.export import record as serving_record
from tfmm.export import requests
from tfmm.export import signatures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What a served model said of one video.

  Attributes:
    labels: class names.
    modalities: names along the M axis.
    probabilities: float32 [C].
    gates: float32 [S, M] in [0, 1].
    ran: float32 [S, M] 0/1.
    present: float32 [S, M] 0/1.
    segment_times: float32 [S, 2], start and end of each segment in seconds.
    gflops: spent on this video, 1e9 multiply-adds by the convention of the model's
      paper.
    gflops_all_modalities: of running all that is present, without a policy.
  """

  labels: tuple[str, ...]
  modalities: tuple[str, ...]
  probabilities: np.ndarray
  gates: np.ndarray
  ran: np.ndarray
  present: np.ndarray
  segment_times: np.ndarray
  gflops: float
  gflops_all_modalities: float

  def top(self, k):
    """The k best `(label, probability)`, best first."""
    best = np.argsort(-self.probabilities, kind='stable')[:k]
    return [(self.labels[i], float(self.probabilities[i])) for i in best]

  def as_json(self, k):
    """Plain values for a JSON file."""
    return {
        'top': [{'label': label, 'probability': p} for label, p in self.top(k)],
        'modalities': list(self.modalities),
        'segment_times': np.round(self.segment_times, 3).tolist(),
        'present': self.present.astype(int).tolist(),
        'ran': self.ran.astype(int).tolist(),
        'gates': np.round(self.gates, 4).tolist(),
        'gflops': round(self.gflops, 6),
        'gflops_all_modalities': round(self.gflops_all_modalities, 6),
    }


class Predictor:
  """A loaded export.

  Args:
    saved_model: an export's directory with numbered versions, or one version.

  Raises:
    ValueError: there is no export of tfmm.
  """

  def __init__(self, saved_model):
    self.version_dir = serving_record.version_dir(saved_model)
    self.record = serving_record.read(self.version_dir)
    try:
      self._loaded = tf.saved_model.load(self.version_dir)
    except (IndexError, OSError, ValueError, tf.errors.OpError) as error:
      raise ValueError(
          f'{self.version_dir} is damaged ({error}); export the run again') from error
    if signatures.SERVING not in self._loaded.signatures:
      raise ValueError(
          f'{self.version_dir} has no signature {signatures.SERVING!r}: its views '
          'cannot be made from a video file, only `views` can be called')
    self._function = self._loaded.signatures[signatures.SERVING]

  def call(self, inputs):
    """Runs `serving_default`: {name: array [B, ...]} -> {name: array [B, ...]}."""
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: y.numpy() for name, y in self._function(**tensors).items()}

  def predict(self, path, budget_gflops=math.inf):
    """Answers for one video file.

    Args:
      path: of the file.
      budget_gflops: 1e9 multiply-adds that it may cost, if the model takes that.

    Raises:
      ValueError or OSError: the file cannot be read as a video, or the model cannot
        keep within the budget.
    """
    request = requests.from_video(path, self.record, budget_gflops)
    return self.answer(request, self.call(request.inputs))

  def answer(self, request, outputs):
    """Joins a request of one video and the outputs of `serving_default`."""
    return Answer(
        labels=self.record.labels,
        modalities=self.record.modalities,
        probabilities=outputs['probabilities'][0],
        gates=outputs['gates'][0],
        ran=outputs['ran'][0],
        present=request.inputs['present'][0],
        segment_times=request.segment_times,
        gflops=float(outputs['gflops'][0]),
        gflops_all_modalities=float(outputs['gflops_all_modalities'][0]),
    )
