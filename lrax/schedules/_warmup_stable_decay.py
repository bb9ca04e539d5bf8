"""Warmup, hold, cooldown."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _shapes
from lrax.schedules import _wide


def _within_the_whole(
    owner: str, *, steps: Any, warmup_steps: Any, decay_steps: Any, **shape: Any
) -> None:
  _shapes.check_cooldown(owner, **shape)
  known = isinstance(warmup_steps, int) and isinstance(decay_steps, int)
  if known and isinstance(steps, int) and warmup_steps + decay_steps > steps:
    raise _checks.refuse(
        owner, 'steps', 'at least `warmup_steps` + `decay_steps` ='
        f' {warmup_steps + decay_steps}', steps, 'they count inside it',
    )


@_schedule.formula(
    together=_within_the_whole,
    shape=_checks.choice(*_shapes.COOLDOWNS),
    shape_parameter=_checks.optional(_checks.positive),
)
def warmup_stable_decay(
    step: Any,
    peak_value: Numeric,
    steps: Numeric,
    warmup_steps: Numeric,
    decay_steps: Numeric,
    shape: str = 'linear',
    shape_parameter: Numeric | None = None,
    init_value: Numeric = 0.0,
    end_value: Numeric = 0.0,
):
  """Warmup, a hold at the peak, and a cooldown: WSD, also called trapezoid.

  Formula:
    rate = init_value + (peak_value - init_value) * step / warmup_steps  at first
    rate = peak_value                             until step steps - decay_steps
    rate = end_value + (peak_value - end_value) * fall(q)            from then on

    with q = (step - steps + decay_steps) / decay_steps and fall(q) = 1 - q for
    'linear'; (1 + cos(pi * q)) / 2 for 'cosine'; 1 - sqrt(q) for 'sqrt';
    1 - q ** 2 for 'square'; 1 - q ** k for 'power'; (r ** q - r) / (1 - r) for
    'exponential'

  Args:
    peak_value: the rate that is held, a finite number >= 0.
    steps: the whole length, a whole number >= warmup_steps + decay_steps.
    warmup_steps: length of the linear warmup, a whole number >= 0.
    decay_steps: length of the cooldown, a whole number >= 0.
    shape: the shape of the cooldown, one of the words above.
    shape_parameter: k > 0 for 'power' (None for 2), r in (0, 1) for
      'exponential' (None for 0.1).
    init_value: the rate at step 0, a finite number >= 0.
    end_value: the rate from step `steps` on, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or the lengths do not fit.

  Source:
    Zhai et al., "Scaling Vision Transformers", 2022, section 3.4; Hu et al.,
    "MiniCPM", 2024, equation 1; Hägele et al., "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", 2024, section 3,
    for 'sqrt' and a `decay_steps` of 0.1 to 0.2 of `steps`. To cool down a run
    whose end was not planned, see `Schedule.cooldown`.

  Example:
    >>> import lrax
    >>> policy = lrax.warmup_stable_decay(1.0, 20, warmup_steps=4, decay_steps=8)
    >>> [float(policy(t)) for t in (0, 2, 4, 12, 16, 20, 21)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
  """
  rate = _progress.warming(step, warmup_steps, init_value, peak_value)
  done, left = _progress.phase(step, steps - decay_steps, decay_steps)
  done, left = _shapes.cooldown(shape, shape_parameter, done, left)
  falling = _progress.between(peak_value, end_value, done, left)
  return _wide.where(step >= steps - decay_steps, falling, rate)
