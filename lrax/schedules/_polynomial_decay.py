"""From one rate to another along a power of the steps left."""

from __future__ import annotations

import jax

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(power=_checks.positive)
def polynomial_decay(
    step: jax.Array,
    init_value: Numeric,
    end_value: Numeric,
    power: Numeric,
    steps: Numeric,
):
  """Goes from `init_value` to `end_value` along a power of the steps left.

  Formula:
    left = max(0, steps - step) / steps
    rate = end_value + (init_value - end_value) * left ** power

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    end_value: the rate from step `steps` on, a finite number >= 0.
    power: the exponent, a finite number > 0; 1 is `linear`.
    steps: the length, a whole number >= 0; of length 0 it is at its end.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Chen et al., "DeepLab", 2017, section 4.1, the "poly" policy. The same as
    `optax.polynomial_schedule`, where a length of 0 stays at `init_value` for
    ever, and as Keras's `PolynomialDecay` without `cycle`.

  Example:
    >>> import lrax
    >>> policy = lrax.polynomial_decay(1.0, 0.0, power=2.0, steps=4)
    >>> [float(policy(t)) for t in (0, 2, 4, 5)]
    [1.0, 0.25, 0.0, 0.0]
  """
  left, done = _progress.remaining(step, steps), _progress.elapsed(step, steps)
  rest = _progress.complement(done, left, power)
  return _progress.between(init_value, end_value, rest, _wide.power(left, power))
