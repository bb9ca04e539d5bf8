"""How a noisy curve falls: the exponential that fits it best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_TIMES = np.geomspace(0.01, 2.0, 24)  # as shares of the run
_BLOCKS = 500  # a longer curve is averaged first
_STRANGE = 6  # median distances at which a point is brought nearer


class Decay(NamedTuple):
  """value = base + fall * exp(-at / time), over a run that goes from 0 to 1."""

  time: float  # in parts of the run
  fall: float  # from the first point to the last; negative for a rise
  base: float  # where the fall would end
  sure: float  # the fall's slope over its standard error; 0 for none


def decay(at: np.ndarray, value: np.ndarray, smooth: np.ndarray) -> Decay:
  """The fit by least squares over a grid of times, all points in one product.

  Args:
    at: (points,), rising from 0 to 1.
    value: (points,), finite.
    smooth: (points,), its level, to which far points are brought nearer.
  """
  far = value - smooth
  bound = np.full(len(value), _STRANGE * np.median(np.abs(far)))
  bound[: max(3, len(value) // 20)] = np.inf  # a steep beginning is not strange
  value = smooth + np.clip(far, -bound, bound)
  if len(value) > _BLOCKS:
    ends = np.linspace(0, len(value), _BLOCKS + 1).astype(int)
    counts = np.diff(ends)
    at = np.add.reduceat(at, ends[:-1]) / counts
    value = np.add.reduceat(value, ends[:-1]) / counts
  scale = np.abs(value).max() or 1.0
  value = value / scale
  shapes = np.exp(-at / _TIMES[:, None])
  middle = shapes.mean(1)
  centred, moved = shapes - middle[:, None], value - value.mean()
  squares = np.maximum((centred**2).sum(1), 1e-300)
  slopes = centred @ moved / squares
  gains = np.where(slopes > 0, slopes**2 * squares, 0.0)
  best = int(gains.argmax())
  if gains[best] == 0:  # it rises, or stands
    return Decay(float(_TIMES[-1]), 0.0, float(value.mean() * scale), 0.0)
  left = max(float((moved**2).sum() - gains[best]), 1e-20)
  sure = np.sqrt(gains[best] / (left / max(len(value) - 3, 1)))
  fall = slopes[best] * (shapes[best, 0] - shapes[best, -1])
  base = value.mean() - slopes[best] * middle[best]
  return Decay(
      float(_TIMES[best]), float(fall * scale), float(base * scale), float(sure)
  )
