"""Decay by a power of the time, after a warmup."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


def _in_order(
    owner: str, *, warmup_steps: Any, knee_steps: Any, steps: Any, cooldown_steps: Any,
    **_: Any,
) -> None:
  if knee_steps is None and isinstance(warmup_steps, int) and warmup_steps == 0:
    raise _checks.refuse(
        owner, 'knee_steps', 'given where `warmup_steps` is 0', None,
        'the decay has no scale of time else',
    )
  if steps is None:
    if not (isinstance(cooldown_steps, int) and cooldown_steps == 0):
      raise _checks.refuse(
          owner, 'steps', 'given where `cooldown_steps` is', None,
          'the cooldown ends there',
      )
    return
  _checks.at_most(owner, 'warmup_steps', warmup_steps, 'steps', steps)
  _checks.at_most(owner, 'cooldown_steps', cooldown_steps, 'steps', steps)


@_schedule.formula(
    together=_in_order,
    exponent=_checks.non_negative,
    knee_steps=_checks.optional(_checks.positive_steps),
)
def power_decay(
    step: Any,
    peak_value: Numeric,
    warmup_steps: Numeric,
    exponent: Numeric = 0.51,
    knee_steps: Numeric | None = None,
    steps: Numeric | None = None,
    cooldown_steps: Numeric = 0,
    end_value: Numeric = 0.0,
):
  """A linear warmup, a hold, then decay by a power of the time.

  Formula:
    rate = peak_value * step / warmup_steps                           in the warmup
    rate = peak_value * min(1, (step / knee_steps) ** -exponent)      after it
    from step steps - cooldown_steps on, a line from there to `end_value`

  Args:
    peak_value: the highest rate, a finite number >= 0.
    warmup_steps: length of the warmup, a whole number >= 0, at least 1 where
      `knee_steps` is None; traced, 0 counts as 1 there.
    exponent: a finite number >= 0.
    knee_steps: the step up to which the peak is held, a whole number >= 1;
      None for the end of the warmup.
    steps: the whole length with the cooldown, a whole number >= 0; None for a
      schedule without an end.
    cooldown_steps: length of the line at the end, a whole number >= 0.
    end_value: the rate from step `steps` on, where there is one.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0; past the end it is `end_value`, and without an
    end it falls for ever.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range, the lengths do not fit into each
      other, or there is no scale of time.

  Source:
    Shen et al., "Power Scheduler", 2024, equation 8: min(b, B * a * n ** -0.51)
    for n tokens in batches of B, which is peak_value = b and knee_steps =
    (B * a / b) ** (1 / 0.51) / (tokens of a batch). OLMo-core's
    `PowerLR` has the tail.

  Example:
    >>> import lrax
    >>> policy = lrax.power_decay(1.0, warmup_steps=4, exponent=0.5)
    >>> [float(policy(t)) for t in (0, 2, 4, 16, 64)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
  """
  knee = warmup_steps if knee_steps is None else knee_steps
  knee = _wide.namespace(knee).maximum(knee, 1)

  def before_the_end(step):
    later = _wide.namespace(step, knee).maximum(step, knee)
    falling = _wide.power(_wide.ratio(later, knee), _wide.exact(exponent) * -1.0)
    return _wide.where(
        step < warmup_steps, _progress.elapsed(step, warmup_steps), falling
    ) * peak_value

  if steps is None:
    return before_the_end(step)
  at = _wide.namespace(steps, cooldown_steps).maximum(steps - cooldown_steps, 0)
  reached = before_the_end(_wide.namespace(step, at).minimum(step, at))
  done, left = _progress.phase(step, at, cooldown_steps)
  ending = left * reached + done * end_value
  return _wide.where(step < at, reached, ending)
