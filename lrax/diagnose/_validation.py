"""What is measured of a validation loss, which has no noise of batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrax.diagnose import _curve
from lrax.diagnose import _decay
from lrax.diagnose import _log
from lrax.diagnose import _signs

_TINY = 1e-300


class Validation(NamedTuple):
  """What the validation losses say."""

  count: int
  fall: float  # from the first to the lowest
  time: float  # of the exponential that fits best, in parts of the run's way
  lowest_at: float  # in parts of its points
  rise: float  # end less lowest, over the fall
  rough: float  # how far it moves up and down in the second half, over the fall
  part: float  # that rise over the lowest; infinite where that is not positive
  swing: float  # standard deviation about a line in the second half, over its level;
  # the smaller one of its two quarters, if there are ten points
  back: float  # how much of its moves there leads back
  times_first: float  # the last three's median over the first; NaN for negative ones
  most: float  # the largest over the first; likewise
  steps: tuple[float, float]  # of the lowest and of the last
  levels: tuple[float, float]  # lowest and end


def validation(log: _log.Log, way: np.ndarray, unit: float) -> Validation | None:
  """The signs of the validation loss; None for fewer than four of them.

  Args:
    log: the log.
    way: (rows,), from 0 to 1.
    unit: the fall of the training loss, for a validation loss that never fell.
  """
  finite = np.isfinite(log.validation_loss)
  value = np.clip(log.validation_loss[finite], -1e100, 1e100)
  count = len(value)
  if count < 4:
    return None
  # One lucky point is not the lowest level: it is sought among medians.
  smooth = _curve.medians(value, np.arange(count), max(1, count // 10))
  lowest = int(smooth.argmin())
  low, end = min(float(smooth[lowest]), float(value[0])), float(smooth[-1])
  fall = float(value[0]) - low
  scale = max(fall, 0.1 * unit, _TINY)
  at = way[finite]
  at = (at - at[0]) / max(at[-1] - at[0], _TINY)
  later = np.diff(value[count // 2 :])
  back = np.abs(later).sum() - abs(later.sum())
  tail = value[min(count // 2, max(count - 7, 1)) :]
  moves = np.diff(tail)
  turned = float(np.abs(moves).sum() - abs(moves.sum()))
  parts = np.array_split(tail, 2) if len(tail) >= 10 else [tail]
  spread = min(float(_curve.about_line(part).std()) for part in parts)
  positive = value.min() >= 0 and value[0] > 0
  level, start = float(np.median(tail)), float(value[0]) if positive else np.nan
  step = log.step[finite]
  return Validation(
      count=count,
      fall=fall,
      time=_decay.decay(at, value, value).time,
      lowest_at=lowest / (count - 1),
      rise=(end - low) / scale,
      part=end / low - 1 if low > 0 else np.inf,
      rough=float(back / max(len(later), 1)) / scale,
      swing=_signs.over(spread, level if positive else scale),
      back=_signs.over(turned, float(np.abs(moves).sum())),
      times_first=float(np.median(value[-3:])) / start,
      most=float(value.max()) / start,
      steps=(float(step[lowest]), float(step[-1])),
      levels=(low, end),
  )
