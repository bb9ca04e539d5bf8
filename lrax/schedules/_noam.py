"""The schedule of the Transformer."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(
    model_size=_checks.positive,
    warmup_steps=_checks.positive_steps,
    factor=_checks.rate,
)
def noam(
    step: Any,
    model_size: Numeric,
    warmup_steps: Numeric,
    factor: Numeric = 1.0,
):
  """The Transformer's own schedule: its peak follows from the model's width.

  Formula:
    t = step + 1
    rate = factor * model_size ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5)

  Args:
    model_size: the width of the model, a finite number > 0.
    warmup_steps: at which t the rate is highest, a whole number >= 1.
    factor: multiplies the rate, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0, and falls for ever.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Vaswani et al., "Attention Is All You Need", 2017, equation 3, whose steps
    count from 1. `inverse_sqrt` has the same curve with its peak given.

  Example:
    >>> import lrax
    >>> policy = lrax.noam(model_size=4, warmup_steps=16)
    >>> [float(policy(t)) for t in (0, 15, 63)]
    [0.0078125, 0.125, 0.0625]
  """
  # The last step of a clock has no successor in an int32.
  time = _wide.whole(step) + 1.0
  warmup = _wide.whole(warmup_steps)
  rising = time / (warmup * _wide.sqrt(warmup))
  falling = 1.0 / _wide.sqrt(time)
  shape = _wide.where(step < warmup_steps, rising, falling)
  return shape * factor / _wide.sqrt(_wide.exact(model_size))
