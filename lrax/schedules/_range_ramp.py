"""The ramp of a range test."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule


def _positive_start(owner: str, *, shape: str, init_value: Any, end_value: Any, **_):
  for name, value in (('init_value', init_value), ('end_value', end_value)):
    if shape == 'exponential' and isinstance(value, float) and value == 0:
      raise _checks.refuse(
          owner, name, "above 0 for 'exponential'", value, "or take shape='linear'"
      )


@_schedule.formula(
    together=_positive_start, shape=_checks.choice('exponential', 'linear')
)
def range_ramp(
    step: Any,
    init_value: Numeric,
    end_value: Numeric,
    steps: Numeric,
    shape: str = 'exponential',
):
  """Sweeps the rate from a low one to a high one, as range tests do.

  Formula:
    rate = init_value * (end_value / init_value) ** (step / steps)  'exponential'
    rate = init_value + (end_value - init_value) * step / steps     'linear'

  Args:
    init_value: the rate at step 0, a finite number > 0, or >= 0 for 'linear'.
    end_value: the rate from step `steps` on, the same.
    steps: the length, a whole number >= 0. A test of N updates that ends on
      `end_value` has steps = N - 1.
    shape: 'exponential', equal steps in the logarithm, or 'linear'.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0 and `end_value` past the end.

  Raises:
    TypeError: an argument is no real scalar, or `shape` no string.
    ValueError: an argument is out of range, or `shape` is unknown.

  Source:
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
    section 3.3 ('linear'); Gugger, "How Do You Find A Good Learning Rate",
    2018 ('exponential', as in fastai and torch-lr-finder). `lrax.tune` runs
    the whole test.

  Example:
    >>> import lrax
    >>> policy = lrax.range_ramp(1e-4, 1.0, steps=4)
    >>> [round(float(policy(t)), 6) for t in (0, 1, 4)]
    [0.0001, 0.001, 1.0]
  """
  left, done = _progress.remaining(step, steps), _progress.elapsed(step, steps)
  if shape == 'linear':
    return _progress.between(init_value, end_value, done, left)
  return _progress.geometric(init_value, end_value, done, left)
