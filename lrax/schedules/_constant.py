"""The fixed rate."""

from __future__ import annotations

import jax

from lrax._types import Numeric
from lrax.schedules import _schedule


@_schedule.formula
def constant(step: jax.Array, value: Numeric):
  """The same rate at every step.

  Formula:
    rate = value

  Args:
    value: the rate, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    and is `value` before 0 and for ever.

  Raises:
    TypeError: `value` is no real scalar.
    ValueError: `value` is negative or not finite.

  Source:
    Robbins and Monro, "A Stochastic Approximation Method", 1951, study the
    fixed rate and its decay. The same as `optax.constant_schedule`.

  Example:
    >>> import lrax
    >>> float(lrax.constant(0.5)(1_000))
    0.5
  """
  del step
  return value
