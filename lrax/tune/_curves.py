"""What a noisy loss curve says: where it diverged, and what it looks like smooth."""

from __future__ import annotations

import numpy as np

_EMA = 0.9  # share kept by the running average that the stop rule watches
_WARM = 10  # losses that tell the level and the noise at the start
_LEAP = 10  # times the median difference, by which the first losses leap
_CEILING = 5  # losses whose highest is where a curve is cut


def diverged(losses: np.ndarray) -> int | None:
  """The first step at which a run is seen to diverge, or None.

  A run has diverged where its loss is not finite, or where its running average
  (bias-corrected, keeping 0.9) has risen above where it began, the mean of the
  first ten losses, by more than it had gained and by more than the noise:
  average - start > max(start - best, 4 * noise), the noise being the mean
  difference of neighbours among those ten. Where their mean is above the first
  by ten times their median difference, the loss leapt at once and began at the
  first. There are differences only, so the rule holds for negative losses too,
  and for any unit.

  Args:
    losses: (steps,), the loss before each update.
  """
  finite = np.isfinite(losses)
  end = len(losses) if finite.all() else int(np.argmin(finite))
  good = np.asarray(losses[:end], np.float64)
  if len(good) > _WARM:
    start = good[:_WARM].mean()
    steps = np.abs(np.diff(good[:_WARM]))
    if start - good[0] > _LEAP * np.median(steps):
      start = good[0]  # it leapt at once: the first loss tells where it began
    # Differences of neighbours, so that a trend does not count as noise; and
    # what a float32 loss cannot resolve.
    noise = steps.mean() + 1e-6 * abs(start)
    average = _running_average(good)
    best = np.minimum.accumulate(average)
    bad = average - start > np.maximum(start - best, 4 * noise)
    bad[:_WARM] = False
    if bad.any():
      return int(np.argmax(bad))
  return None if end == len(losses) else end


def _running_average(losses: np.ndarray) -> np.ndarray:
  average, weight, result = 0.0, 0.0, []
  for loss in losses:
    average = _EMA * average + (1 - _EMA) * loss
    weight = _EMA * weight + (1 - _EMA)
    result.append(average / weight)
  return np.asarray(result)


def smooth(losses: np.ndarray, keep: float) -> np.ndarray:
  """The curve smoothed by a running average forwards and backwards.

  Run one way, the average lags by keep / (1 - keep) steps, which moves the
  steepest point of a range test to higher rates; both ways the lags cancel.
  Losses above where the curve began say only that it is bad, so they are cut
  there: else a last leap before the end would be smeared over the minimum.

  Args:
    losses: (steps,), finite.
    keep: share of the average that is kept, in [0, 1).
  """
  if not len(losses):
    return losses
  ceiling = losses[: min(_CEILING, len(losses))].max()
  cut = np.minimum(losses, ceiling)
  return _one_way(_one_way(cut, keep)[::-1], keep)[::-1]


def _one_way(losses: np.ndarray, keep: float) -> np.ndarray:
  """A running average that starts at its first value."""
  average, result = losses[0], []
  for loss in losses:
    average = keep * average + (1 - keep) * loss
    result.append(average)
  return np.asarray(result)
