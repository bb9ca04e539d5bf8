"""Rates that hold between the steps that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _schedule
from lrax.schedules import _wide


def _one_more(owner: str, *, values: Any, boundaries: Any, **_: Any) -> None:
  if len(values) != len(boundaries) + 1:
    raise _checks.refuse(
        owner, 'values', f'one more than the {len(boundaries)} boundaries',
        list(values), 'the first one is the rate from step 0 on',
    )


@_schedule.formula(
    together=_one_more,
    values=_checks.several(_checks.rate),
    boundaries=_checks.boundaries,
    at_boundary=_checks.choice('new', 'old'),
)
def piecewise_constant(
    step: Any,
    values: Sequence[Numeric],
    boundaries: Sequence[Numeric],
    at_boundary: str = 'new',
):
  """Holds one rate after another, each from the step that is given.

  Formula:
    rate = values[number of boundaries <= step]
    with at_boundary='old', of boundaries < step

  Args:
    values: the rates in turn, finite numbers >= 0, one more than the boundaries.
    boundaries: the steps at which they change, whole numbers >= 0 in rising
      order. Between two equal ones a rate has no step and is skipped.
    at_boundary: which rate the step of a boundary has, the 'new' or the 'old'.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and the last one past the last boundary.

  Raises:
    TypeError: an argument is no list of real scalars, or `at_boundary` no word.
    ValueError: a number is out of range, the boundaries fall, or the values
      are too few or too many.

  Source:
    The steps of a staircase. 'new' is the convention of PyTorch's and Optax's
    factors (`multistep_decay`), 'old' that of Keras' `PiecewiseConstantDecay`.

  Example:
    >>> import lrax
    >>> policy = lrax.piecewise_constant([1.0, 0.5, 0.25], [10, 20])
    >>> [float(policy(t)) for t in (0, 9, 10, 20, 99)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
  """
  rate = _wide.exact(values[0])
  for boundary, value in zip(boundaries, values[1:]):
    is_past = step >= boundary if at_boundary == 'new' else step > boundary
    rate = _wide.where(is_past, _wide.exact(value), rate)
  return rate
