"""Cosine and polynomial decay along a power of the progress."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


@_schedule.formula(
    k=_checks.positive,
    shape=_checks.choice('cosine', 'polynomial'),
    power=_checks.positive,
)
def k_decay(
    step: Any,
    init_value: Numeric,
    steps: Numeric,
    k: Numeric = 1.5,
    shape: str = 'cosine',
    power: Numeric = 1.0,
    end_value: Numeric = 0.0,
):
  """Cosine or polynomial decay that stays high for longer: p ** k for p.

  Formula:
    q = (step / steps) ** k
    rate = end_value + (init_value - end_value) * fall(q)
    fall(q) = (1 + cos(pi * q)) / 2 for 'cosine', (1 - q) ** power for 'polynomial'

  Args:
    init_value: the rate at step 0, a finite number >= 0.
    steps: the length, a whole number >= 0; of length 0 it is at its end.
    k: above 1 the rate stays high for longer, below 1 it falls sooner, a
      finite number > 0.
    shape: 'cosine' or 'polynomial'.
    power: the power for 'polynomial', a finite number > 0; not used by 'cosine'.
    end_value: the rate from step `steps` on, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar, or `shape` no string.
    ValueError: an argument is out of range, or `shape` is unknown.

  Source:
    Zhang and Li, "k-decay: A New Method For Learning Rate Schedule", 2020,
    equations 5 and 6; 1.5 is among the values it recommends. timm's `k_decay`
    argument, which is 1 by default.

  Example:
    >>> import lrax
    >>> policy = lrax.k_decay(1.0, steps=4, k=2.0, shape='polynomial')
    >>> [float(policy(t)) for t in (0, 2, 4, 5)]
    [1.0, 0.75, 0.0, 0.0]
  """
  left, done = _progress.remaining(step, steps), _progress.elapsed(step, steps)
  done, left = _wide.power(done, k), _progress.complement(left, done, k)
  if shape == 'cosine':
    left, done = _wide.half_cosine(left, done)
  else:
    done, left = _progress.complement(done, left, power), _wide.power(left, power)
  return _progress.between(init_value, end_value, done, left)
