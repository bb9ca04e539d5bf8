"""Warmup, then an exponential fall."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(
    together=_checks.within_steps('warmup_steps'),
    peak_value=_checks.positive,
    end_value=_checks.positive,
)
def warmup_exponential(
    step: Any,
    peak_value: Numeric,
    steps: Numeric,
    warmup_steps: Numeric,
    end_value: Numeric,
    init_value: Numeric = 0.0,
):
  """A linear warmup and then an exponential fall to `end_value`, inside `steps`.

  Formula:
    rate = init_value + (peak_value - init_value) * step / warmup_steps  at first
    rate = peak_value * (end_value / peak_value) ** p  after it
    with p = (step - warmup_steps) / (steps - warmup_steps)

  Args:
    peak_value: the rate after the warmup, a finite number > 0.
    steps: the whole length, a whole number >= `warmup_steps`.
    warmup_steps: length of the linear warmup inside it, a whole number >= 0.
    end_value: the rate from step `steps` on, a finite number > 0: the fall is
      exponential and so never comes to 0.
    init_value: the rate at step 0, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range, or the warmup does not fit.

  Source:
    `optax.warmup_exponential_decay_schedule`, which is given the factor of each
    step instead of the end.

  Example:
    >>> import lrax
    >>> policy = lrax.warmup_exponential(1.0, 8, warmup_steps=4, end_value=0.01)
    >>> [round(float(policy(t)), 6) for t in (0, 2, 4, 6, 8, 9)]
    [0.0, 0.5, 1.0, 0.1, 0.01, 0.01]
  """
  done, left = _progress.phase(step, warmup_steps, steps - warmup_steps)
  falling = _progress.geometric(peak_value, end_value, done, left)
  warming = _progress.warming(step, warmup_steps, init_value, peak_value)
  return _wide.where(step < warmup_steps, warming, falling)
