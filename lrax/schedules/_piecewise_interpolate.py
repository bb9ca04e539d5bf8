"""A path through the rates that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
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
    shape=_checks.choice('linear', 'cosine'),
)
def piecewise_interpolate(
    step: Any,
    values: Sequence[Numeric],
    boundaries: Sequence[Numeric],
    shape: str = 'linear',
):
  """Goes from rate to rate: a path through the points that are given.

  Formula:
    with knots (0, values[0]), (boundaries[0], values[1]), (boundaries[1],
    values[2]), …, between two of them (a, v) and (b, w)
    rate = v + (w - v) * p  'linear', v + (w - v) * (1 - cos(pi * p)) / 2  'cosine'
    for p = (step - a) / (b - a)

  Args:
    values: the rates at the knots, finite numbers >= 0, the first one that of
      step 0: one more than the boundaries.
    boundaries: the steps of the other knots, whole numbers >= 0 in rising
      order. Between two equal ones the rate jumps.
    shape: 'linear' or 'cosine'.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `values[0]` before 0 and the last value from the last boundary on.

  Raises:
    TypeError: an argument is no list of real scalars, or `shape` no word.
    ValueError: a number is out of range, the boundaries fall, or the values
      are too few or too many.

  Source:
    Ignite's `PiecewiseLinear`; `optax.piecewise_interpolate_schedule`, which
    is given factors and interpolates their running products.

  Example:
    >>> import lrax
    >>> policy = lrax.piecewise_interpolate([0.0, 1.0, 0.5], [4, 8])
    >>> [float(policy(t)) for t in (0, 1, 4, 6, 8, 9)]
    [0.0, 0.25, 1.0, 0.75, 0.5, 0.5]
  """
  if not boundaries:
    return _wide.exact(values[0])
  # Which piece, and from which value to which one it goes; one share for all.
  starts = (0, *boundaries)
  steps = [end - begin for begin, end in zip(starts, boundaries)]
  first, last = _wide.exact(values[0]), _wide.exact(values[1])
  start, length = starts[0], steps[0]
  choose = _wide.namespace(step, *starts).where
  for begin, own, low, high in zip(starts[1:], steps[1:], values[1:], values[2:]):
    began = step >= begin
    start, length = choose(began, begin, start), choose(began, own, length)
    first, last = _wide.where(began, low, first), _wide.where(began, high, last)
  done, left = _progress.phase(step, start, length)
  if shape == 'cosine':
    done, left = _wide.half_cosine(done, left)
  return left * first + done * last
