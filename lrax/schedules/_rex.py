"""REX: a decay that stays high for longer than a line."""

from __future__ import annotations

from typing import Any

from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule


@_schedule.formula
def rex(
    step: Any,
    init_value: Numeric,
    steps: Numeric,
    end_value: Numeric = 0.0,
):
  """REX, reflected exponential: stays above the line, then falls steeply.

  Formula:
    left = max(0, steps - step) / steps
    rate = end_value + (init_value - end_value) * 2 * left / (1 + left)

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    steps: the length, a whole number >= 0; of length 0 it is at its end.
    end_value: the rate from step `steps` on, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Chen, Wolfe and Kyrillidis, "REX: Revisiting Budgeted Training with an
    Improved Schedule", 2022, equation 1: (1 - p) / (1/2 + (1 - p) / 2), the
    same with p = step / steps.

  Example:
    >>> import lrax
    >>> policy = lrax.rex(1.0, steps=4)
    >>> [round(float(policy(t)), 6) for t in (0, 2, 4, 5)]
    [1.0, 0.666667, 0.0, 0.0]
  """
  left, done = _progress.remaining(step, steps), _progress.elapsed(step, steps)
  below = left + 1.0
  return _progress.between(init_value, end_value, done / below, left * 2.0 / below)
