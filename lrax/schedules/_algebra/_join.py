"""One schedule after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _policy
from lrax._types import Numeric
from lrax.schedules import _wide
from lrax.schedules._algebra import _parts


def _schedules(owner: str, name: str, value: Any) -> tuple[_policy.Schedule, ...]:
  if isinstance(value, _policy.Schedule) or not isinstance(value, Sequence):
    raise _checks.refuse(
        owner, name, 'a list of schedules', value,
        'put even a single one in a list', TypeError,
    )
  if not value:
    raise _checks.refuse(
        owner, name, 'a list of at least one schedule', value, 'pass one'
    )
  return tuple(
      _parts.part(owner, f'{name}[{i}]', part) for i, part in enumerate(value)
  )


def _one_each(owner: str, *, schedules: Any, boundaries: Any) -> None:
  if len(boundaries) != len(schedules) - 1:
    raise _checks.refuse(
        owner, 'boundaries',
        f'one fewer than the {len(schedules)} schedules',
        list(boundaries), 'give one step for each change of schedule',
    )


@_parts.combination(
    together=_one_each, schedules=_schedules, boundaries=_checks.boundaries
)
def join(
    step: Any,
    schedules: Sequence[Any],
    boundaries: Sequence[Numeric],
):
  """Follows one schedule after another; each counts its steps from its start.

  Formula:
    with start_0 = 0 and start_i = boundaries[i - 1], and i the last segment
    that has started, rate = schedules[i](step - start_i)

  Args:
    schedules: the policies in turn, at least one; numbers go in as
      `lrax.constant(number)`.
    boundaries: the steps at which the next one starts, whole numbers >= 0 in
      rising order, one fewer than the schedules. Two equal ones leave a
      segment of no length, which is skipped.

  Returns:
    A `lrax.Schedule`; a closed-loop part decides and remembers only within
    its own segment. Every part is evaluated within its own segment only, so
    gradients with respect to hyperparameters stay finite.

  Raises:
    TypeError: a part is no schedule, or a boundary no whole number.
    ValueError: the boundaries fall, or there are too few or too many.

  Source:
    The same as `optax.join_schedules(schedules, boundaries)`, which drops
    segments silently where boundaries are missing or out of order.

  Example:
    >>> import lrax
    >>> policy = lrax.join(
    ...     [lrax.constant(1.0), lrax.linear(1.0, 0.0, steps=4)], [10])
    >>> [float(policy(t)) for t in (9, 10, 12, 14)]
    [1.0, 1.0, 0.5, 0.0]
  """
  starts = (0, *boundaries)
  ends = (*boundaries, None)
  larger, smaller = np.maximum, np.minimum
  if not _wide.is_known(step, *boundaries):
    larger, smaller = jnp.maximum, jnp.minimum
  rate: Any = None
  for part, start, end in zip(schedules, starts, ends):
    started = step >= start
    active = started if end is None else started & (step < end)
    local = larger(step - start, 0)
    if end is not None:
      local = smaller(local, end - start)
    own = part(local, active)
    rate = own if rate is None else _wide.where(started, own, rate)
  return rate


@_parts.combination(
    _parts.show_method,
    schedule=_parts.part, following=_parts.part, at=_checks.steps,
)
def then(step: Any, schedule: Any, following: Any, at: Numeric):
  """Follows another schedule from a step on: `schedule.then(following, at)`.

  Formula:
    rate = schedule(step)        for step < at
    rate = following(step - at)  from then on

  Args:
    schedule: the policy that comes first.
    following: the policy that comes after it; it counts its own steps.
    at: the first step of `following`, a whole number >= 0 on the clock of the
      whole, so `a.then(b, 10).then(c, 30)` leaves b 20 steps.

  Returns:
    A `lrax.Schedule`; a closed-loop part decides and remembers only within
    its own segment.

  Raises:
    TypeError: a part is no schedule, or `at` no whole number.
    ValueError: `at` is out of range.

  Source:
    `join` of two.

  Example:
    >>> import lrax
    >>> policy = lrax.constant(1.0).then(lrax.linear(1.0, 0.0, steps=4), at=10)
    >>> [float(policy(t)) for t in (9, 10, 12, 14)]
    [1.0, 1.0, 0.5, 0.0]
  """
  xp = _wide.namespace(step, at)
  first = schedule(xp.minimum(step, at), step < at)
  second = following(xp.maximum(step - at, 0), step >= at)
  return _wide.where(step < at, first, second)
