"""A cooldown from any step of a schedule."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _shapes
from lrax.schedules import _wide
from lrax.schedules._algebra import _parts


@_parts.combination(
    _parts.show_method,
    together=_shapes.check_cooldown,
    schedule=_parts.part,
    at=_checks.steps,
    steps=_checks.steps,
    shape=_checks.choice(*_shapes.COOLDOWNS),
    shape_parameter=_checks.optional(_checks.positive),
)
def cooldown(
    step: Any,
    schedule: Any,
    at: Numeric,
    steps: Numeric,
    shape: str = 'linear',
    end_value: Numeric = 0.0,
    shape_parameter: Numeric | None = None,
):
  """Leaves a schedule for its end, at any step: `schedule.cooldown(at, steps)`.

  Formula:
    rate = schedule(step)  for step < at
    rate = end_value + (schedule(at) - end_value) * fall((step - at) / steps)
      from then on

    with fall(q) = 1 - q for 'linear'; (1 + cos(pi * q)) / 2 for 'cosine';
    1 - sqrt(q) for 'sqrt'; 1 - q ** 2 for 'square'; 1 - q ** k for 'power';
    (r ** q - r) / (1 - r) for 'exponential'

  Args:
    schedule: the policy to leave; a closed-loop one decides no more from `at`
      on, and its last rate is the one to fall from.
    at: the step at which the cooldown begins, a whole number >= 0.
    steps: its length, a whole number >= 0; 0 is a jump to the end.
    shape: one of the words above.
    end_value: the rate from step `at + steps` on, a finite number >= 0.
    shape_parameter: k > 0 for 'power' (None for 2), r in (0, 1) for
      'exponential' (None for 0.1).

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is.

  Raises:
    TypeError: `schedule` is no schedule, or a number is no real scalar.
    ValueError: a number is out of range, or `shape` and `shape_parameter` do
      not go together.

  Source:
    Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed
    Training Durations", 2024, section 3 ('linear' and 'sqrt', theirs being
    1 - sqrt); Hu et al., "MiniCPM", 2024, section 4.3 ('exponential').
    With `end_value` above 0 it is PyTorch's `SWALR`; every shape falls to
    `end_value`, where some libraries drop it for all but 'cosine'.

  Example:
    >>> import lrax
    >>> policy = lrax.constant(1.0).with_warmup(2).cooldown(at=10, steps=4)
    >>> [float(policy(t)) for t in (1, 10, 11, 14, 20)]
    [0.5, 1.0, 0.75, 0.0, 0.0]
  """
  xp = _wide.namespace(step, at)
  base = schedule(xp.minimum(step, at), step < at)
  done, left = _progress.phase(step, at, steps)
  done, left = _shapes.cooldown(shape, shape_parameter, done, left)
  falling = _progress.between(base, end_value, done, left)
  return _wide.where(step < at, base, falling)
