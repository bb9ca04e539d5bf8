"""Exponential decay by a rate per unit of time."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(decay_rate=_checks.non_negative, decay_steps=_checks.positive_steps)
def natural_exponential_decay(
    step: Any,
    init_value: Numeric,
    decay_rate: Numeric,
    decay_steps: Numeric = 1,
    staircase: bool = False,
    end_value: Numeric = 0.0,
):
  """Decays by e to the power of minus the time.

  Formula:
    rate = max(end_value, init_value * exp(-decay_rate * step / decay_steps))
    with `staircase`, floor(step / decay_steps) for step / decay_steps

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    decay_rate: the decay in `decay_steps`, a finite number >= 0.
    decay_steps: the unit of time, a whole number >= 1; a traced 0 counts as 1.
    staircase: whether the rate changes every `decay_steps` only.
    end_value: the lowest rate, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0, and falls for ever.

  Raises:
    TypeError: an argument is no real scalar, or `staircase` no bool.
    ValueError: an argument is out of range.

  Source:
    Paddle's `NaturalExpDecay` and TensorFlow 1's `natural_exp_decay`.
    `exponential_decay` with exp(-decay_rate) for its `decay_rate`.

  Example:
    >>> import lrax
    >>> policy = lrax.natural_exponential_decay(1.0, decay_rate=0.5, decay_steps=2)
    >>> [round(float(policy(t)), 6) for t in (0, 4)]
    [1.0, 0.367879]
  """
  time = _progress.periods(step, decay_steps, staircase)
  rate = _wide.exp(time * decay_rate * -1.0) * init_value
  return _wide.maximum(rate, end_value)
