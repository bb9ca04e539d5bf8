"""Drops by a factor at equal distances."""

from __future__ import annotations

import jax

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(
    decay_rate=_checks.positive, decay_steps=_checks.positive_steps
)
def step_decay(
    step: jax.Array,
    init_value: Numeric,
    decay_rate: Numeric,
    decay_steps: Numeric,
):
  """Multiplies the rate by `decay_rate` once every `decay_steps` steps.

  Formula:
    rate = init_value * decay_rate ** floor(step / decay_steps)

  Args:
    init_value: the rate of the first `decay_steps` steps, a finite number >= 0.
    decay_rate: the factor of each drop, a finite number > 0.
    decay_steps: steps between drops, a whole number >= 1.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0, first drops at step `decay_steps`, and goes on
    dropping for ever.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    He et al., "Deep Residual Learning", 2016, section 3.4, divide the rate by
    10. The same as PyTorch's `StepLR(step_size=decay_steps, gamma=decay_rate)`.

  Example:
    >>> import lrax
    >>> policy = lrax.step_decay(1.0, decay_rate=0.5, decay_steps=10)
    >>> [float(policy(t)) for t in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
  """
  return _wide.scaled_power(init_value, decay_rate, step // decay_steps)
