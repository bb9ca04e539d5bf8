"""The noise scale from the gradients of batches, and how far it may be off."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_TAIL = 0.025  # of the cases are beyond either end of the interval
_SHARPEST = 1e-6  # no estimate is taken to be nearer, in relative variance


class Deviations(NamedTuple):
  """What the gradients of batches of one size are reduced to; float64."""

  square: float  # the squared norm of their mean
  along: np.ndarray  # (batches,): each less the mean, times the mean
  squares: np.ndarray  # (batches,): the squared norms of each less the mean


class Estimate(NamedTuple):
  """Unbiased estimates of the first two, and where the noise scale is."""

  squared_norm: float  # of the whole gradient
  trace: float  # of the covariance of one example's gradient
  noise_scale: float  # examples; infinite where the gradient is lost in noise
  standard_error: float  # examples; infinite there
  interval: tuple[float, float]  # examples


def estimate(found: Deviations, rows: int, population: float) -> Estimate:
  """The noise scale from batches of `rows` of `population` examples, none twice.

  With batches b of n, the mean of all their gradients has the noise
  spread * trace = trace / (n * rows) * (1 - share), where `share` is that of all
  examples that were seen: of all there is nothing that the mean misses. Were the
  noise normal, of one size in each of k directions and in no other, then

      square / (spread * trace) is noncentral F, of k and k * (n - 1) degrees of
      freedom, with k / (spread * noise_scale) as its noncentrality

  and the interval holds the noise scales at which what was seen is no extreme. Other
  noise is taken for the one of k directions that is as uncertain: 1 / k is what one
  direction has of the noise, that of the mean or of a typical one, the larger.

  Args:
    found: the gradients' deviations, of 4 batches at least.
    rows: examples in a batch.
    population: examples that there are; infinite for a distribution.

  Returns:
    The estimates; NaN where a gradient is not finite or all are 0.
  """
  square, _, squares = found
  count = len(squares)
  seen = count * rows
  total = squares.sum()
  if not math.isfinite(square + total):
    nothing = math.nan
    return Estimate(nothing, nothing, nothing, nothing, (nothing, nothing))
  # One gradient's rounding in float32 is some 1e-7 of it: that is no noise.
  if total <= count * (1e-6) ** 2 * square:
    nothing = 0.0 if square > 0 else math.nan
    return Estimate(square, 0.0, nothing, math.nan, (nothing, nothing))
  trace = rows / (count - 1) * total
  spread = (1 - seen / population) / seen
  norm = square - trace * spread
  ratio = norm / trace
  freedom = _directions(found)
  variance = 4 * ratio * spread + 2 * spread**2
  variance = (variance + 2 * (ratio + spread) ** 2 / (count - 1)) / freedom
  scale = _inverse(ratio)
  error = scale**2 * math.sqrt(variance) if ratio > 0 else math.inf
  ends = _ratios(square / trace, spread, freedom, count)
  interval = (_inverse(ends[1]), _inverse(ends[0]))
  return Estimate(float(norm), float(trace), scale, float(error), interval)


def _directions(found: Deviations) -> float:
  """In how many directions the noise is, if it were alike in all of them."""
  square, along, squares = found
  count = len(squares)
  # The mean's share of the noise; of one direction, all.
  of_mean = np.mean(along**2) / squares.mean() / square if square > 0 else 1.0
  # A chi-square of k degrees of freedom has a variance of 2 / k of its mean's square.
  # Of few batches, that is too small by up to (n - 2) / (n + 1), and often by more:
  # n + 3 was found to do, in simulations of 4 batches and more.
  typical = squares.var(ddof=1) / squares.mean() ** 2 / 2
  typical = typical * (count + 3) / (count - 2)
  return 1 / max(of_mean, typical, _SHARPEST)


def _ratios(
    seen: float, spread: float, freedom: float, count: int
) -> tuple[float, float]:
  """The least and the largest squared_norm / trace at which `seen` is no extreme."""
  from scipy import special  # heavy; jax depends on it

  def below(value: float, ratio: float) -> float:
    """How often square / trace is below this value."""
    wide = max(spread, ratio * freedom * _SHARPEST)  # so that none is without noise
    return special.ncfdtr(
        freedom, freedom * (count - 1), freedom * ratio / wide, value / wide
    )

  def end(value: float, often: float) -> float:
    low, high = 1e-12 * value, 1e6 * value
    if value == 0 or below(value, low) <= often:
      return 0.0
    for _ in range(45):
      middle = math.sqrt(low * high)
      low, high = (middle, high) if below(value, middle) > often else (low, middle)
    return low

  # A mean below its own noise tells no less of a gradient than one equal to it.
  return end(seen, 1 - _TAIL), end(max(seen, spread), _TAIL)


def _inverse(ratio: float) -> float:
  return float(1 / ratio) if ratio > 0 else math.inf
