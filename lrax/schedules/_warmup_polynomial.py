"""Warmup, then a power of the steps left."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(
    together=_checks.within_steps('warmup_steps'), power=_checks.positive
)
def warmup_polynomial(
    step: Any,
    peak_value: Numeric,
    steps: Numeric,
    warmup_steps: Numeric,
    init_value: Numeric = 0.0,
    end_value: Numeric = 0.0,
    power: Numeric = 2.0,
):
  """A linear warmup and then a power of the steps left, all inside `steps`.

  Formula:
    rate = init_value + (peak_value - init_value) * step / warmup_steps  at first
    rate = end_value + (peak_value - end_value) * (1 - p) ** power  after it
    with p = (step - warmup_steps) / (steps - warmup_steps)

  Args:
    peak_value: the rate after the warmup, a finite number >= 0.
    steps: the whole length, a whole number >= `warmup_steps`.
    warmup_steps: length of the linear warmup inside it, a whole number >= 0.
    init_value: the rate at step 0, a finite number >= 0.
    end_value: the rate from step `steps` on, a finite number >= 0.
    power: a finite number > 0; 1 is `warmup_linear`.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range, or the warmup does not fit.

  Source:
    Transformers' `get_polynomial_decay_schedule_with_warmup`; fairseq's
    `polynomial_decay`.

  Example:
    >>> import lrax
    >>> policy = lrax.warmup_polynomial(1.0, steps=8, warmup_steps=4)
    >>> [round(float(policy(t)), 6) for t in (0, 2, 4, 6, 8, 9)]
    [0.0, 0.5, 1.0, 0.25, 0.0, 0.0]
  """
  done, left = _progress.phase(step, warmup_steps, steps - warmup_steps)
  falling = _progress.between(
      peak_value, end_value,
      _progress.complement(done, left, power), _wide.power(left, power),
  )
  warming = _progress.warming(step, warmup_steps, init_value, peak_value)
  return _wide.where(step < warmup_steps, warming, falling)
