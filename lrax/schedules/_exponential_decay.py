"""Decay by a factor over a number of steps, smooth or in stairs."""

from __future__ import annotations

import jax

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(
    decay_rate=_checks.positive, decay_steps=_checks.positive_steps
)
def exponential_decay(
    step: jax.Array,
    init_value: Numeric,
    decay_rate: Numeric,
    decay_steps: Numeric,
    staircase: bool = False,
    end_value: Numeric = 0.0,
):
  """Multiplies the rate by `decay_rate` over every `decay_steps` steps.

  Formula:
    rate = max(end_value, init_value * decay_rate ** (step / decay_steps))

    and with `staircase` the exponent is floor(step / decay_steps).

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    decay_rate: the factor over `decay_steps`, a finite number > 0; above 1 the
      rate grows.
    decay_steps: steps over which the factor applies, a whole number >= 1; a traced
      0 counts as 1.
    staircase: whether the rate drops at once at the end of each `decay_steps`.
    end_value: the floor, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0, and goes on decaying to `end_value`.

  Raises:
    TypeError: an argument is no real scalar, or `staircase` no bool.
    ValueError: an argument is out of range.

  Source:
    Optax and Keras define the same. `optax.exponential_decay` takes its
    arguments in another order and bounds a growing rate from above by
    `end_value`; here it is the floor always. PyTorch's `ExponentialLR(gamma)`
    is `decay_rate=gamma, decay_steps=1`.

  Example:
    >>> import lrax
    >>> policy = lrax.exponential_decay(1.0, decay_rate=0.25, decay_steps=10)
    >>> [float(policy(t)) for t in (0, 5, 10)]
    [1.0, 0.5, 0.25]
  """
  periods = _progress.periods(step, decay_steps, staircase)
  rate = _wide.scaled_power(init_value, decay_rate, periods)
  return _wide.maximum(rate, end_value)
