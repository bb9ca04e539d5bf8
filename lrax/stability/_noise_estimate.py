"""The noise scale from the gradients of batches, and how far it may be off."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_NORMAL = 1.959964  # of the normal distribution 95% are within so many deviations


class Deviations(NamedTuple):
  """What the gradients of batches of one size are reduced to; float64."""

  square: float  # the squared norm of their mean
  along: np.ndarray  # (batches,): each less the mean, times the mean
  squares: np.ndarray  # (batches,): the squared norms of each less the mean


class Estimate(NamedTuple):
  """Unbiased estimates, and an interval that is right 95 times of 100."""

  squared_norm: float  # of the whole gradient
  trace: float  # of the covariance of one example's gradient
  noise_scale: float  # examples; infinite where the gradient is lost in noise
  standard_error: float  # examples; infinite there
  interval: tuple[float, float]  # examples


def estimate(found: Deviations, rows: int, population: float) -> Estimate:
  """The noise scale from batches of `rows` of `population` examples, none twice.

  With batches b of n, the mean of all their gradients has the noise
  trace / (n * rows) * (1 - share), where `share` is that of all examples that were
  seen: of all there is nothing that the mean misses. The error is the jackknife's,
  of the ratio squared_norm / trace, which is near normal where the noise scale,
  its inverse, is not.

  Args:
    found: the gradients' deviations, of 3 batches at least.
    rows: examples in a batch.
    population: examples that there are; infinite for a distribution.

  Returns:
    The estimates; NaN where a gradient is not finite or all are 0.
  """
  square, along, squares = found
  count = len(squares)
  seen = count * rows
  total = squares.sum()
  # One gradient's rounding in float32 is some 1e-7 of it: that is no noise.
  if total <= count * (1e-6) ** 2 * square:
    nothing = 0.0 if square > 0 else math.nan
    return Estimate(square, 0.0, nothing, math.nan, (nothing, nothing))
  trace = rows / (count - 1) * total
  norm = square - trace / seen * (1 - seen / population)
  # The same without each batch in turn.
  fewer = count - 1
  traces = rows / (fewer - 1) * (total - squares * (count / fewer))
  norms = square - 2 * along / fewer + squares / fewer**2
  norms = norms - traces / (fewer * rows) * (1 - fewer * rows / population)
  ratio = norm / trace
  moved = math.sqrt(1 - seen / population) * (norms - norms.mean()) / trace
  moved = moved - ratio * (traces - traces.mean()) / trace
  error = math.sqrt(fewer / count * np.sum(moved**2))
  reach = _student(fewer) * error
  scale = _inverse(ratio)
  return Estimate(
      squared_norm=float(norm),
      trace=float(trace),
      noise_scale=scale,
      standard_error=float(scale**2 * error),
      interval=(_inverse(ratio + reach), _inverse(ratio - reach)),
  )


def _inverse(ratio: float) -> float:
  if math.isnan(ratio):
    return math.nan
  return float(1 / ratio) if ratio > 0 else math.inf


def _student(freedom: int) -> float:
  """Student's t of 95%, two-sided: a series right to 1% from 3 degrees on."""
  z = _NORMAL
  terms = (
      z,
      (z**3 + z) / 4,
      (5 * z**5 + 16 * z**3 + 3 * z) / 96,
      (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
  )
  return sum(term / freedom**power for power, term in enumerate(terms))
