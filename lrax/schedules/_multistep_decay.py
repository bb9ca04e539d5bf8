"""Drops at the steps that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _schedule
from lrax.schedules import _wide


def _one_each(owner: str, *, boundaries: Any, decay_rate: Any, **_: Any) -> None:
  if isinstance(decay_rate, tuple) and len(decay_rate) != len(boundaries):
    raise _checks.refuse(
        owner, 'decay_rate', f'one number, or {len(boundaries)} of them',
        list(decay_rate), 'one for each of the boundaries',
    )


def _factors(owner: str, name: str, value: Any) -> Any:
  if isinstance(value, (list, tuple)):
    return _checks.several(_checks.non_negative)(owner, name, value)
  return _checks.non_negative(owner, name, value)


@_schedule.formula(
    together=_one_each, boundaries=_checks.boundaries, decay_rate=_factors
)
def multistep_decay(
    step: Any,
    init_value: Numeric,
    boundaries: Sequence[Numeric],
    decay_rate: Numeric | Sequence[Numeric] = 0.1,
):
  """Multiplies the rate by a factor at each of the steps that are given.

  Formula:
    rate = init_value * product of decay_rate over the boundaries <= step

  Args:
    init_value: the rate before the first boundary, a finite number >= 0.
    boundaries: the steps of the drops, whole numbers >= 0 in rising order.
      Two equal ones drop twice.
    decay_rate: the factor, a finite number >= 0, or a list of one for each
      boundary.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and the last one past the last boundary.

  Raises:
    TypeError: an argument is no real scalar, or no list of them.
    ValueError: an argument is out of range, the boundaries fall, or the
      factors are too few or too many.

  Source:
    PyTorch's `MultiStepLR`, whose gamma is 0.1 too; with a list of factors
    `optax.piecewise_constant_schedule`.

  Example:
    >>> import lrax
    >>> policy = lrax.multistep_decay(1.0, [10, 20], decay_rate=0.5)
    >>> [float(policy(t)) for t in (9, 10, 19, 20)]
    [1.0, 0.5, 0.5, 0.25]
  """
  several = isinstance(decay_rate, tuple)
  rate = reached = _wide.exact(init_value)
  for index, boundary in enumerate(boundaries):
    reached = reached * _wide.exact(decay_rate[index] if several else decay_rate)
    rate = _wide.where(step >= boundary, reached, rate)
  return rate
