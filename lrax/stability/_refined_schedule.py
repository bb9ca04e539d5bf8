"""A schedule refined from the gradient norms of a run before."""

from __future__ import annotations

from typing import Any

from jax.core import Tracer
import numpy as np

from lrax import _checks
from lrax import _policy
from lrax import schedules
from lrax.stability import _refined_rates

_DIGITS = 6  # of a knot's rate: rounding to them adds at most 5e-6 of the peak
_MOST_KNOTS = 128

_tolerance = _checks.number(
    'a number from 1e-4 to 1', lambda x: 1e-4 <= x <= 1, 'it is a share of the peak'
)


def refined_schedule(
    norms: Any,
    *,
    steps: int | None = None,
    peak_value: float = 1.0,
    smoothing: float = 0.1,
    norm: str = 'l2',
    tolerance: float = 0.005,
) -> _policy.Schedule:
  """A schedule that suits the gradient norms of a run before.

  The rates of `refined_rates`, as straight lines between as few knots as keep within
  the tolerance of them. Train once with any schedule, log the gradient's norm, make
  the schedule of the next run from it.

  Args:
    norms: the norm of the gradient, (logged steps,) with 2 at least, finite and > 0,
      evenly spaced over the run.
    steps: how long the next run is, a whole number >= 2; None for as many steps as
      there are norms. For another number the rates are stretched.
    peak_value: the largest rate, > 0.
    smoothing: over what share of the run the median of the norms goes, in [0, 1].
    norm: 'l2' for the Euclidean norm, for SGD; 'l1' for the sum of absolute values,
      for Adam and its kin.
    tolerance: how far a rate may be from the refined one, as a share of
      `peak_value`, from 1e-4 to 1.

  Returns:
    A `lrax.Schedule`, a `piecewise_interpolate`: it prints, pickles and goes to and
    from a dict. At every step before `steps` its rate is within
    `tolerance * peak_value` of the refined one; it is 0 at step `steps - 1` and from
    there on, so that the last update of `steps` moves nothing, as in the paper.

  Raises:
    TypeError: an argument is of the wrong kind, or traced.
    ValueError: an argument is out of range, or more than 128 knots are needed.

  Source:
    Defazio et al., "When, Why and How Much? Adaptive Learning Rate Scheduling by
    Refinement", 2023 (arXiv 2310.07831). Knots by the method of Ramer, 1972, and
    Douglas and Peucker, 1973.

  Example:
    >>> import lrax
    >>> import numpy as np
    >>> norms = 1 + 9 * np.exp(-np.arange(1000) / 50)
    >>> policy = lrax.stability.refined_schedule(norms, peak_value=0.1, tolerance=0.1)
    >>> len(policy.arguments['boundaries'])
    4
    >>> float(policy(0)) < 0.1 * float(policy(300)), float(policy(999))
    (True, 0.0)
  """
  owner = 'refined_schedule'
  if isinstance(norms, Tracer):
    raise _checks.refuse(
        owner, 'norms', 'known', norms, 'refined_rates takes traced ones', TypeError
    )
  norms = _refined_rates.checked_norms(owner, norms)
  if steps is not None:
    steps = int(_checks.positive_steps(owner, 'steps', steps))
    if steps < 2:
      raise _checks.refuse(owner, 'steps', 'at least 2', steps, 'the last rate is 0')
  peak = float(_checks.positive(owner, 'peak_value', peak_value))
  smoothing = float(_checks.share(owner, 'smoothing', smoothing))
  norm = _refined_rates.norm_kind(owner, 'norm', norm)
  tolerance = float(_tolerance(owner, 'tolerance', tolerance))

  rates = _refined_rates.refined_rates(norms, smoothing=smoothing, norm=norm)
  if steps is not None and steps != len(rates):
    before = np.linspace(0, 1, len(rates))
    rates = np.interp(np.linspace(0, 1, steps), before, rates)
  knots = _knots(rates, tolerance - 1e-5)
  if len(knots) > _MOST_KNOTS:
    raise _checks.refuse(
        owner, 'tolerance', f'such that {_MOST_KNOTS} knots are enough', tolerance,
        f'more are needed: smooth more than smoothing={smoothing}, or tolerate more',
    )
  values = [float(f'{rate * peak:.{_DIGITS}g}') for rate in rates[knots]]
  return schedules.piecewise_interpolate(values, [int(k) for k in knots[1:]])


def _knots(rates: np.ndarray, tolerance: float) -> np.ndarray:
  """Indices between which straight lines are within the tolerance of the rates.

  It stops early, with more than `_MOST_KNOTS` of them, where so many do not do.
  """
  found, open_parts = [0, len(rates) - 1], [(0, len(rates) - 1)]
  while open_parts and len(found) <= _MOST_KNOTS:
    first, last = open_parts.pop()
    line = np.linspace(rates[first], rates[last], last - first + 1)
    errors = np.abs(rates[first : last + 1] - line)
    worst = int(np.argmax(errors))
    if errors[worst] > tolerance:
      found.append(first + worst)
      open_parts += [(first, first + worst), (first + worst, last)]
  return np.sort(found)
