"""Schedules combined rate by rate."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax import _policy
from lrax._types import Numeric
from lrax.schedules import _wide
from lrax.schedules._algebra import _parts


def _show_product(schedule: _policy.Schedule) -> str:
  left, right = schedule.arguments.values()
  # Products group from the left, so only a product on the right needs brackets.
  right = _parts.wrapped(right, ('sum', 'product'))
  return f"{_parts.wrapped(left, ('sum',))} * {right}"


def _show_sum(schedule: _policy.Schedule) -> str:
  left, right = schedule.arguments.values()
  return f"{_parts.wrapped(left, ())} + {_parts.wrapped(right, ('sum',))}"


@_parts.combination(
    _show_product, left=_parts.part_or_number, right=_parts.part_or_number
)
def product(step: Any, left: Any, right: Any):
  """The product of two policies, or of a policy and a number: `left * right`.

  Formula:
    rate = left(step) * right(step)

  Args:
    left: a `lrax.Schedule`, a function of the step, or a finite number >= 0.
    right: the same.

  Returns:
    A `lrax.Schedule`, closed loop where a factor is; each factor sees every
    step.

  Raises:
    TypeError: a factor is none of these.
    ValueError: a number is negative or not finite.

  Source:
    The pointwise product; PyTorch's `ChainedScheduler` multiplies likewise.

  Example:
    >>> import lrax
    >>> policy = 0.5 * lrax.constant(0.5)
    >>> policy, float(policy(0))
    (0.5 * constant(0.5), 0.25)
  """
  return _parts.at(left, step) * _parts.at(right, step)


@_parts.combination(_show_sum, left=_parts.part_or_number, right=_parts.part_or_number)
def sum(step: Any, left: Any, right: Any):  # pylint: disable=redefined-builtin
  """The sum of two policies, or of a policy and a number: `left + right`.

  Formula:
    rate = left(step) + right(step)

  Args:
    left: a `lrax.Schedule`, a function of the step, or a finite number >= 0.
    right: the same.

  Returns:
    A `lrax.Schedule`, closed loop where a term is; each term sees every step.

  Raises:
    TypeError: a term is none of these.
    ValueError: a number is negative or not finite.

  Source:
    The pointwise sum.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=4) + 0.25
    >>> float(policy(4))
    0.25
  """
  return _parts.at(left, step) + _parts.at(right, step)


@_parts.combination(left=_parts.part_or_number, right=_parts.part_or_number)
def minimum(step: Any, left: Any, right: Any):
  """The smaller rate of two policies, step by step.

  Formula:
    rate = min(left(step), right(step))

  Args:
    left: a `lrax.Schedule`, a function of the step, or a finite number >= 0.
    right: the same.

  Returns:
    A `lrax.Schedule`, closed loop where one of them is; both see every step.

  Raises:
    TypeError: one is none of these.
    ValueError: a number is negative or not finite.

  Source:
    The pointwise minimum. The derivative goes to the one that is taken.

  Example:
    >>> import lrax
    >>> policy = lrax.schedules.minimum(lrax.linear(0.0, 1.0, steps=4), 0.5)
    >>> [float(policy(t)) for t in (0, 1, 2, 4)]
    [0.0, 0.25, 0.5, 0.5]
  """
  return _wide.minimum(_parts.at(left, step), _parts.at(right, step))


@_parts.combination(left=_parts.part_or_number, right=_parts.part_or_number)
def maximum(step: Any, left: Any, right: Any):
  """The larger rate of two policies, step by step.

  Formula:
    rate = max(left(step), right(step))

  Args:
    left: a `lrax.Schedule`, a function of the step, or a finite number >= 0.
    right: the same.

  Returns:
    A `lrax.Schedule`, closed loop where one of them is; both see every step.

  Raises:
    TypeError: one is none of these.
    ValueError: a number is negative or not finite.

  Source:
    The pointwise maximum. The derivative goes to the one that is taken.

  Example:
    >>> import lrax
    >>> policy = lrax.schedules.maximum(lrax.linear(1.0, 0.0, steps=4), 0.5)
    >>> [float(policy(t)) for t in (0, 1, 2, 4)]
    [1.0, 0.75, 0.5, 0.5]
  """
  return _wide.maximum(_parts.at(left, step), _parts.at(right, step))


def _bounds_in_order(owner: str, *, min_value: Any, max_value: Any, **_) -> None:
  known = isinstance(min_value, float) and isinstance(max_value, float)
  if known and min_value > max_value:
    raise _checks.refuse(
        owner, 'max_value', f'at least `min_value` = {min_value}', max_value,
        'no rate is within such bounds',
    )


@_parts.combination(
    _parts.show_method, together=_bounds_in_order, schedule=_parts.part
)
def clip(
    step: Any,
    schedule: Any,
    min_value: Numeric = 0.0,
    max_value: Numeric | None = None,
):
  """Keeps the rate within bounds: `schedule.clip(min_value, max_value)`.

  Formula:
    rate = min(max(schedule(step), min_value), max_value)

  Args:
    schedule: the policy.
    min_value: the lowest rate, a finite number >= 0.
    max_value: the highest rate, a finite number >= `min_value`; None for no
      bound.

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is.

  Raises:
    TypeError: `schedule` is no schedule, or a bound no real scalar.
    ValueError: a bound is out of range, or they are in the wrong order.

  Source:
    As `jnp.clip`.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=4).clip(0.25, 0.75)
    >>> [float(policy(t)) for t in (0, 1, 2, 4)]
    [0.75, 0.75, 0.5, 0.25]
  """
  rate = _wide.maximum(schedule(step), min_value)
  return rate if max_value is None else _wide.minimum(rate, max_value)
