"""Decay by one over the time."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(decay_rate=_checks.non_negative, decay_steps=_checks.positive_steps)
def inverse_time_decay(
    step: Any,
    init_value: Numeric,
    decay_rate: Numeric,
    decay_steps: Numeric = 1,
    staircase: bool = False,
    end_value: Numeric = 0.0,
):
  """Divides the rate by a line in time: the 1 / t of stochastic approximation.

  Formula:
    rate = max(end_value, init_value / (1 + decay_rate * step / decay_steps))
    with `staircase`, floor(step / decay_steps) for step / decay_steps

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    decay_rate: how much the divisor grows in `decay_steps`, a finite number >= 0.
    decay_steps: the unit of time, a whole number >= 1; a traced 0 counts as 1.
    staircase: whether the rate changes every `decay_steps` only.
    end_value: the lowest rate, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0, and falls for ever.

  Raises:
    TypeError: an argument is no real scalar, or `staircase` no bool.
    ValueError: an argument is out of range.

  Source:
    Robbins and Monro, "A Stochastic Approximation Method", 1951; the same as
    Keras' `InverseTimeDecay`. With decay_rate = rate * strong convexity it is
    the step of Bottou's "Stochastic Gradient Descent Tricks", 2012, equation 5.

  Example:
    >>> import lrax
    >>> policy = lrax.inverse_time_decay(1.0, decay_rate=1.0, decay_steps=10)
    >>> [float(policy(t)) for t in (0, 10, 30)]
    [1.0, 0.5, 0.25]
  """
  time = _progress.periods(step, decay_steps, staircase)
  rate = _wide.exact(init_value) / (time * decay_rate + 1.0)
  return _wide.maximum(rate, end_value)
