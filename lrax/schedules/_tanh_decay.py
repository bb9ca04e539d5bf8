"""Hyperbolic-tangent decay."""

from __future__ import annotations

import math
from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


def _upwards(owner: str, *, lower: Any, upper: Any, **_: Any) -> None:
  if isinstance(lower, float) and isinstance(upper, float) and not lower < upper:
    raise _checks.refuse(
        owner, 'upper', f'above `lower` = {lower}', upper, 'the rate is to fall'
    )


@_schedule.formula(together=_upwards)
def tanh_decay(
    step: Any,
    init_value: Numeric,
    steps: Numeric,
    end_value: Numeric = 0.0,
    lower: Numeric = -6.0,
    upper: Numeric = 3.0,
):
  """Hyperbolic-tangent decay: flat, then a fall, then flat again.

  Formula:
    z = lower + (upper - lower) * step / steps
    rate = end_value + (init_value - end_value) * (1 - tanh(z)) / 2  for step < steps
    rate = end_value  from then on

  Args:
    init_value: the rate from which it falls, a finite number >= 0. At step 0
      it is lower by the share (1 + tanh(lower)) / 2, 6e-6 for the default.
    steps: the length, a whole number >= 0; of length 0 it is at its end.
    end_value: the rate from step `steps` on, a finite number >= 0.
    lower: where on the tangent it starts, a finite number.
    upper: where it ends, a finite number above `lower`. Just before `steps` the
      share (1 - tanh(upper)) / 2 of the way is left, 0.0025 for the default.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range, or `upper` is not above `lower`.

  Source:
    Hsueh, Li and Wu, "Stochastic Gradient Descent with Hyperbolic-Tangent Decay
    on Classification", 2019, equation 4, with the L = -6, U = 3 of its section
    5. timm's `TanhLRScheduler` has -7 and 3, and the same jump at the end.

  Example:
    >>> import lrax
    >>> policy = lrax.tanh_decay(1.0, steps=9)
    >>> [round(float(policy(t)), 4) for t in (0, 6, 8, 9)]
    [1.0, 0.5, 0.018, 0.0]
  """
  done = _progress.elapsed(step, steps)
  if _within(lower, upper):
    risen = 2.0 * (upper - lower)
    fallen = _wide.scaled_power(math.exp(2.0 * lower), math.exp(risen), done)
    kept = _wide.scaled_power(math.exp(-2.0 * lower), math.exp(-risen), done)
  else:
    z = done * _wide.exact(upper) + (1.0 - done) * _wide.exact(lower)
    # Beyond 43 the tangent is 1 to all digits, and its powers overflow.
    z = _wide.maximum(_wide.minimum(z, 43.0), -43.0)
    fallen, kept = _wide.exp(z * 2.0), _wide.exp(z * -2.0)
  left = _wide.where(step < steps, 1.0 / (fallen + 1.0), 0.0)
  done = _wide.where(step < steps, 1.0 / (kept + 1.0), 1.0)
  return _progress.between(init_value, end_value, done, left)


def _within(*bounds: Any) -> bool:
  """Whether no power of e that the formula takes is near an overflow."""
  return all(isinstance(z, float) and abs(z) <= 43 for z in bounds)
