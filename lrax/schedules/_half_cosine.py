"""The second half of a cosine: steep at first, flat at the end."""

from __future__ import annotations

from typing import Any

from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula
def half_cosine(
    step: Any,
    init_value: Numeric,
    steps: Numeric,
    end_value: Numeric = 0.0,
):
  """The second half of a cosine: steep at first, flat at the end.

  Formula:
    rate = end_value + (init_value - end_value) * (1 - sin(pi / 2 * step / steps))

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
    OLMo-core's `HalfCosWithWarmup`, without its warmup.

  Example:
    >>> import lrax
    >>> policy = lrax.half_cosine(1.0, steps=6)
    >>> [round(float(policy(t)), 6) for t in (0, 2, 6, 7)]
    [1.0, 0.5, 0.0, 0.0]
  """
  left, done = _progress.remaining(step, steps), _progress.elapsed(step, steps)
  # The fall is 2 * sin(pi / 4 * left)**2, and the rise, sin(pi / 2 * done),
  # twice the sine times the cosine of half the angle.
  fall, _ = _wide.half_cosine(left * 0.5, done * 0.5 + 0.5)
  sine, cosine = _wide.half_cosine(done * 0.5, left * 0.5 + 0.5)
  rise = _wide.sqrt(sine * cosine) * 2.0
  return _progress.between(init_value, end_value, rise, fall * 2.0)
