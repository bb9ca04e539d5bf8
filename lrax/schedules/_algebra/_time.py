"""The same schedule on another clock."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax import _policy
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import _wide
from lrax.schedules._algebra import _parts


@_parts.combination(
    _parts.show_method,
    schedule=_parts.part,
    steps=_checks.positive_steps,
    times=_checks.optional(_checks.positive_steps),
)
def repeat(
    step: Any, schedule: Any, steps: Numeric, times: Numeric | None = None
):
  """Starts a schedule again every so many steps: `schedule.repeat(steps)`.

  Formula:
    rate = schedule(step mod steps); after `times` rounds, schedule(steps)

  Args:
    schedule: the policy; the memory of a closed-loop one goes on through all
      rounds, only its clock starts again.
    steps: the length of a round, a whole number >= 1.
    times: how many rounds, a whole number >= 1; None for no end.

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is.

  Raises:
    TypeError: `schedule` is no schedule, or a number is not whole.
    ValueError: a number is out of range.

  Source:
    lrax's own; `warm_restarts` and `cyclical` are repeated formulas.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=4).repeat(4, times=2)
    >>> [float(policy(t)) for t in (0, 3, 4, 7, 8, 9)]
    [1.0, 0.25, 1.0, 0.25, 0.0, 0.0]
  """
  round_ = step // steps
  local = step - round_ * steps
  if times is not None:
    local = _wide.namespace(step, steps, times).where(round_ < times, local, steps)
  return schedule(local)


_any_steps = _checks.number(
    'a whole number > -2**31 and < 2**31',
    lambda x: abs(x) <= _types.MAX_STEP,
    'count optimizer updates',
    whole=True,
)


@_parts.combination(_parts.show_method, schedule=_parts.part, steps=_any_steps)
def shift(step: Any, schedule: Any, steps: Numeric):
  """Moves a schedule to later, or to sooner: `schedule.shift(steps)`.

  Formula:
    rate = schedule(max(0, step - steps))

  Args:
    schedule: the policy; a closed-loop one starts when its own step 0 comes.
    steps: how many steps later, a whole number; below 0 the schedule starts
      as if so many steps had passed.

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is.

  Raises:
    TypeError: `schedule` is no schedule, or `steps` is not whole.
    ValueError: `steps` is out of range.

  Source:
    lrax's own. To move the clock of a run, use `lrax.restart_schedule`.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=4)
    >>> float(policy.shift(10)(12)), float(policy.shift(-1)(0))
    (0.5, 0.75)
  """
  xp = _wide.namespace(step, steps)
  # step - steps must not pass the largest int32.
  step = xp.minimum(step, _types.MAX_STEP + xp.minimum(steps, 0))
  return schedule(xp.maximum(step - steps, 0), step >= steps)


@_parts.combination(
    _parts.show_method, schedule=_parts.part, steps=_checks.positive_steps
)
def every(step: Any, schedule: Any, steps: Numeric):
  """Moves a schedule once in so many updates: `schedule.every(steps)`.

  Formula:
    rate = schedule(floor(step / steps))

  For accumulation where `update` is called for every micro-batch and the
  schedule counts whole batches. Inside `optax.MultiSteps`, which calls
  `update` once for a whole batch, none is needed; there a schedule that was
  written in micro-batches is `schedule.stretch(1 / k)`.

  Args:
    schedule: the policy; a closed-loop one sees every update.
    steps: updates for one step of the schedule, a whole number >= 1.

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is.

  Raises:
    TypeError: `schedule` is no schedule, or `steps` is not whole.
    ValueError: `steps` is out of range.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=4).every(2)
    >>> [float(policy(t)) for t in (0, 1, 2, 8)]
    [1.0, 1.0, 0.75, 0.0]
  """
  return schedule(step // steps)


# A stretch reads its part at two steps, so n of them read the innermost at 2**n.
_MOST_NESTED = 6


def _nested(schedule: _policy.Schedule) -> int:
  """How many stretches lie within each other."""
  inner = max(map(_nested, _parts.parts_of(schedule.arguments)), default=0)
  return inner + (schedule.constructor is stretch)


def _not_too_deep(owner: str, *, schedule: _policy.Schedule, **_: Any) -> None:
  if _nested(schedule) >= _MOST_NESTED:
    raise _checks.refuse(
        owner, 'schedule', f'with fewer than {_MOST_NESTED} stretches inside',
        f'{_nested(schedule)} of them', 'multiply their factors into one',
    )


@_parts.combination(
    _parts.show_method,
    together=_not_too_deep,
    schedule=_parts.part,
    factor=_checks.positive,
)
def stretch(step: Any, schedule: Any, factor: Numeric):
  """Makes a schedule so many times as long: `schedule.stretch(factor)`.

  Formula:
    rate = schedule(step / factor), on the straight line between whole steps

  Args:
    schedule: the policy. One that drops in stairs ramps down over `factor`
      steps here; `every` keeps stairs.
    factor: how many times as long, a finite number > 0; below 1 it is shorter. With a
      traced 0 it is over at step 1.

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is.

  Raises:
    TypeError: `schedule` is no schedule, or `factor` no real scalar.
    ValueError: `factor` is out of range, or six stretches lie within each other
      in `schedule` already: each one doubles the work.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=2).stretch(2)
    >>> [float(policy(t)) for t in (0, 1, 2, 4)]
    [1.0, 0.75, 0.5, 0.0]
  """
  if isinstance(factor, float) and factor.is_integer():
    times = int(min(factor, _types.MAX_STEP))
    before = step // times
    share = _wide.ratio(step - before * times, times)
  else:
    factor = _wide.exact(factor)
    # All that is shorter is over at step 1, and a traced 0 too.
    factor = _wide.namespace(factor).maximum(factor, 2.0**-31)
    before, share = _wide.floor(_wide.whole(step) / factor)
  xp = _wide.namespace(before)
  after = xp.minimum(before, _types.MAX_STEP - 1) + 1
  rate = schedule(before)
  return rate * (1.0 - share) + schedule(after, False) * share
