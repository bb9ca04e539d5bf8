"""A line through so many points that their noise hides where they go."""

from __future__ import annotations

from typing import Any

import numpy as np

# More points than a panel has pixels: of each bin the lowest and the highest.
_BINS = 2000
# So many points of noise hide where they go: of so many stretches the median.
_NOISY, _STRETCHES = 300, 100


def line(ax: Any, x: Any, y: Any, raw: bool = True, **style: Any) -> None:
  """The values; of many the median of each short stretch, before them all, faint."""
  x, y = np.asarray(x, float), np.asarray(y, float)
  if len(y) > _NOISY:
    if raw:
      ax.plot(*extremes(x, y), **style | {'alpha': 0.3, 'label': None})
    x, y = medians(x, y)
  few = np.isfinite(y).sum() == 1  # a line of one point is not seen
  ax.plot(x, y, **({'marker': 'o', 'markersize': 3} if few else {}) | style)


def medians(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Of the finite values of each of some stretches; NaN where there are none."""
  parts = np.array_split(np.arange(len(y)), _STRETCHES)
  known = [y[part][np.isfinite(y[part])] for part in parts]
  middle = [np.median(some) if len(some) else np.nan for some in known]
  return np.asarray([x[part].mean() for part in parts]), np.asarray(middle)


def extremes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The points with the lowest and the highest value of each of many stretches."""
  if len(y) <= 4 * _BINS:
    return x, y
  kept = {0, len(y) - 1}
  for some in np.array_split(np.arange(len(y)), _BINS):
    known = some[np.isfinite(y[some])]
    if len(known):
      kept |= {int(known[np.argmin(y[known])]), int(known[np.argmax(y[known])])}
    else:
      kept.add(int(some[0]))
  order = sorted(kept)
  return x[order], y[order]
