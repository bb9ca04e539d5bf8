"""Flat, then a cosine."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(together=_checks.within_steps('flat_steps'))
def flat_cosine(
    step: Any,
    init_value: Numeric,
    steps: Numeric,
    flat_steps: Numeric,
    end_value: Numeric = 0.0,
):
  """Holds the rate, then anneals it along a cosine.

  Formula:
    rate = init_value  for step < flat_steps
    rate = end_value + (init_value - end_value) * (1 + cos(pi * p)) / 2
      with p = (step - flat_steps) / (steps - flat_steps) from then on

  Args:
    init_value: the rate that is held, a finite number >= 0.
    steps: the whole length, a whole number >= 0; of length 0 it is at its end.
    flat_steps: for how long, a whole number from 0 to `steps`.
    end_value: the rate from step `steps` on, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    fastai's `fit_flat_cos`, which holds for 0.75 of the steps; Wright,
    "Ranger", 2019, for 0.72. With `.with_warmup` it is warmup, hold, cosine.

  Example:
    >>> import lrax
    >>> policy = lrax.flat_cosine(1.0, steps=10, flat_steps=6)
    >>> [round(float(policy(t)), 6) for t in (0, 6, 8, 10, 11)]
    [1.0, 1.0, 0.5, 0.0, 0.0]
  """
  done, left = _progress.cosine_phase(step, flat_steps, steps - flat_steps)
  falling = _progress.between(init_value, end_value, done, left)
  return _wide.where(step < flat_steps, _wide.exact(init_value), falling)
