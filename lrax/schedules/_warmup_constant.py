"""Warmup, then a constant."""

from __future__ import annotations

from typing import Any

from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule


@_schedule.formula
def warmup_constant(
    step: Any,
    peak_value: Numeric,
    warmup_steps: Numeric,
    init_value: Numeric = 0.0,
):
  """A linear warmup and then a fixed rate.

  Formula:
    rate = init_value + (peak_value - init_value) * step / warmup_steps
      for step < warmup_steps
    rate = peak_value  from then on

  Args:
    peak_value: the rate after the warmup, a finite number >= 0.
    warmup_steps: length of the warmup, a whole number >= 0.
    init_value: the rate at step 0, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    and is that of step 0 before 0.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2;
    Transformers' `get_constant_schedule_with_warmup`. Optax's
    `warmup_constant_schedule` stays at `init_value` for ever where
    `warmup_steps` is 0; here it is at the peak then.

  Example:
    >>> import lrax
    >>> policy = lrax.warmup_constant(1.0, warmup_steps=4)
    >>> [float(policy(t)) for t in (0, 1, 4, 100)]
    [0.0, 0.25, 1.0, 1.0]
  """
  return _progress.warming(step, warmup_steps, init_value, peak_value)
