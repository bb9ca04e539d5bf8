"""Slanted triangular rates."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(cut_fraction=_checks.share, ratio=_checks.at_least_one)
def slanted_triangular(
    step: Any,
    peak_value: Numeric,
    steps: Numeric,
    cut_fraction: Numeric = 0.1,
    ratio: Numeric = 32.0,
):
  """A short rise and a long fall, both straight.

  Formula:
    cut = floor(steps * cut_fraction)
    p = step / cut for step < cut, else 1 - (step - cut) / (steps - cut)
    rate = peak_value * (1 + p * (ratio - 1)) / ratio

  Args:
    peak_value: the highest rate, a finite number >= 0.
    steps: the length, a whole number >= 0; of length 0 it is at its end.
    cut_fraction: the share of the steps that rise, in [0, 1].
    ratio: the highest rate over the lowest, a finite number >= 1.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and peak_value / ratio from `steps` on.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Howard and Ruder, "Universal Language Model Fine-tuning for Text
    Classification", 2018, equation 3, whose fall has the length
    cut * (1 / cut_fraction - 1); that is steps - cut but for the floor.

  Example:
    >>> import lrax
    >>> policy = lrax.slanted_triangular(1.0, steps=100, ratio=5.0)
    >>> [round(float(policy(t)), 6) for t in (0, 10, 55, 100, 101)]
    [0.2, 1.0, 0.6, 0.2, 0.2]
  """
  cut = _progress.part_of(steps, cut_fraction)
  local = _progress.since(step, cut)
  p = _wide.where(
      step < cut, _progress.elapsed(step, cut), _progress.remaining(local, steps - cut)
  )
  lowest = _wide.exact(peak_value) / _wide.exact(ratio)
  return p * peak_value + (1.0 - p) * lowest
