"""Half a period of a cosine, from one rate down to another."""

from __future__ import annotations

import jax

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(exponent=_checks.positive)
def cosine_annealing(
    step: jax.Array,
    init_value: Numeric,
    steps: Numeric,
    end_value: Numeric = 0.0,
    exponent: Numeric = 1.0,
):
  """Goes from `init_value` to `end_value` along half a period of a cosine.

  Formula:
    weight = ((1 + cos(pi * min(step, steps) / steps)) / 2) ** exponent
    rate = end_value + (init_value - end_value) * weight

    computed as sin(pi / 2 * left) ** 2 of the share of steps left, which keeps
    its digits to the end.

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    steps: the length, a whole number >= 0; of length 0 it is at its end.
    end_value: the rate from step `steps` on, a finite number >= 0.
    exponent: bends the curve, a finite number > 0; 1 is the cosine.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Loshchilov and Hutter, "SGDR", 2017, equation 5, one cycle. The same as
    `optax.cosine_decay_schedule(init_value, steps, alpha, exponent)` with
    `alpha = end_value / init_value`. Past `steps` this holds `end_value`, as
    Optax and Keras do; PyTorch's `CosineAnnealingLR` rises again.

  Example:
    >>> import lrax
    >>> policy = lrax.cosine_annealing(1.0, steps=100)
    >>> [round(float(policy(t)), 6) for t in (0, 50, 100, 200)]
    [1.0, 0.5, 0.0, 0.0]
  """
  done, left = _progress.cosine_phase(step, 0, steps)
  rest = _progress.complement(done, left, exponent)
  return _progress.between(init_value, end_value, rest, _wide.power(left, exponent))
