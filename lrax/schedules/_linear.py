"""A straight line from one rate to another."""

from __future__ import annotations

import jax

from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule


@_schedule.formula
def linear(
    step: jax.Array,
    init_value: Numeric,
    end_value: Numeric,
    steps: Numeric,
):
  """A straight line from `init_value` to `end_value`, down or up.

  Formula:
    done = min(step, steps) / steps, left = max(0, steps - step) / steps
    rate = init_value * left + end_value * done

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    end_value: the rate from step `steps` on, a finite number >= 0.
    steps: the length, a whole number >= 0; of length 0 it is at its end.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    The same as `optax.linear_schedule(init_value, end_value, steps)` for
    lengths above 0, and as PyTorch's `LinearLR` with its factors times the
    base rate. Defazio et al., "Optimal Linear Decay Learning Rate Schedules
    and Further Refinements", 2023, give a reason for the line to 0.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=4)
    >>> [float(policy(t)) for t in (0, 1, 4, 5)]
    [1.0, 0.75, 0.0, 0.0]
  """
  left, done = _progress.remaining(step, steps), _progress.elapsed(step, steps)
  return _progress.between(init_value, end_value, done, left)
