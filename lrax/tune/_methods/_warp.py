"""Scores as a Gaussian process likes them: even where they are low, tame above."""

from __future__ import annotations

import statistics

import numpy as np

# What counts as near the lowest score, as a share of the way to the median.
_NEAR = 0.1


def warp(scores: np.ndarray) -> np.ndarray:
  """The scores on a scale of mean 0 and deviation 1, in the same order.

  The lower half is stretched by a logarithm towards the lowest, where the search
  will end. The upper half keeps its ranks alone: how bad a bad rate is says
  nothing of the good ones, and it may be many powers of ten. Only differences
  and ranks count, so the scores may be negative, and their unit plays no part.

  Formula:
    lower half: log((c + z) / (c + 1)), z = (score - lowest) / (median - lowest)
    upper half: the root mean square of the lower one times the normal quantile
      of the rank

  Args:
    scores: (n,), finite.

  Source:
    The half-rank and log warping of Song et al., "The Vizier Gaussian Process
    Bandit Algorithm", 2024, section 3.2; they put the log over all scores.
  """
  scores = np.asarray(scores, np.float64)
  if not len(scores) or scores.min() == scores.max():
    return np.zeros(len(scores))
  ordered, lowest, median = np.sort(scores), scores.min(), np.median(scores)
  result = np.zeros(len(scores))
  lower = scores <= median
  if median > lowest:
    shares = (scores[lower] - lowest) / (median - lowest)
    result[lower] = np.log((_NEAR + shares) / (_NEAR + 1))
  spread = np.sqrt(np.mean(result[lower] ** 2)) or 1.0
  quantile = statistics.NormalDist().inv_cdf
  for i in np.flatnonzero(~lower):
    below = np.searchsorted(ordered, scores[i], 'left')
    up_to = np.searchsorted(ordered, scores[i], 'right')
    result[i] = spread * quantile((below + up_to) / (2 * len(scores)))
  return (result - result.mean()) / result.std()
