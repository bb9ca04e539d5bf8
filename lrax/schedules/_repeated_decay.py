"""Hold and decay again and again, without rewinding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _shapes
from lrax.schedules import _wide


def _room_to_decay(
    owner: str, *, boundaries: Any, decay_steps: Any, warmup_steps: Any, **rest: Any
) -> None:
  _shapes.check_cooldown(owner, **rest)
  if not boundaries:
    raise _checks.refuse(
        owner, 'boundaries', 'at least one step', [], 'each ends one decay'
    )
  numbers = (decay_steps, warmup_steps, *boundaries)
  if not all(isinstance(n, int) for n in numbers):
    return
  starts = (warmup_steps, *boundaries)
  for start, end in zip(starts, boundaries):
    if end - start < decay_steps:
      raise _checks.refuse(
          owner, 'decay_steps', f'at most the {end - start} steps before the'
          f' boundary {end}', decay_steps, 'each period ends with a decay',
      )


@_schedule.formula(
    together=_room_to_decay,
    boundaries=_checks.boundaries,
    shape=_checks.choice(*_shapes.COOLDOWNS),
    shape_parameter=_checks.optional(_checks.positive),
    peak_decay=_checks.positive,
)
def repeated_decay(
    step: Any,
    peak_value: Numeric,
    boundaries: Sequence[Numeric],
    decay_steps: Numeric,
    warmup_steps: Numeric = 0,
    shape: str = 'linear',
    shape_parameter: Numeric | None = None,
    peak_decay: Numeric = 1.0,
    end_value: Numeric = 0.0,
):
  """Holds, decays and goes back to the peak, again and again: WSD-S.

  Formula:
    period i ends at boundaries[i] and has peak_i = peak_value * peak_decay ** i
    rate = peak_i, and in its last `decay_steps` steps
    rate = end_value + (peak_i - end_value) * fall(q), q the share of them done
    the rate of step boundaries[i] is `end_value`, and the next period starts
    after it; the warmup is a line from 0

  Args:
    peak_value: the rate that is held, a finite number >= 0.
    boundaries: the steps at which the decays end, whole numbers in rising
      order, at least one: the steps to evaluate and to keep a checkpoint of.
    decay_steps: length of each decay, a whole number >= 0 that fits into every
      period.
    warmup_steps: length of the linear warmup, a whole number >= 0.
    shape: the shape of the decays; see `warmup_stable_decay`.
    shape_parameter: k > 0 for 'power' (None for 2), r in (0, 1) for
      'exponential' (None for 0.1).
    peak_decay: each peak over the last one, a finite number > 0.
    end_value: the rate that each period falls to, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and `end_value` past the last boundary.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, the boundaries fall or are none,
      or a decay does not fit.

  Source:
    Wen et al., "Understanding Warmup-Stable-Decay Learning Rates: A River
    Valley Loss Landscape Perspective", 2024, section 5 (WSD-S); OLMo-core's
    `WSDS`.

  Example:
    >>> import lrax
    >>> policy = lrax.repeated_decay(1.0, [8, 16], decay_steps=4)
    >>> [float(policy(t)) for t in (0, 4, 6, 8, 9, 14, 16)]
    [1.0, 1.0, 0.5, 0.0, 1.0, 0.5, 0.0]
  """
  rate = _progress.elapsed(step, warmup_steps) * peak_value
  peak = _wide.exact(peak_value)
  start = 0
  for index, end in enumerate(boundaries):
    done, left = _progress.phase(step, end - decay_steps, decay_steps)
    done, left = _shapes.cooldown(shape, shape_parameter, done, left)
    falling = left * peak + done * end_value
    if index:
      rate = _wide.where(step > start, peak, rate)
    started = step >= end - decay_steps
    rate = _wide.where(started & (step > start) if index else started, falling, rate)
    start, peak = end, peak * _wide.exact(peak_decay)
  return rate
