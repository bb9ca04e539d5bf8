"""Schedules compared by their bounds, without training."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import NamedTuple

from jax.core import Tracer
import numpy as np

from lrax import _checks
from lrax.stability import _last_iterate_bound
from lrax.stability import _schedule_rates


class BoundRow(NamedTuple):
  """What the bound says of one schedule, at the factor that is best at the end."""

  name: str
  learning_rate: float  # the largest rate
  factor: float  # what to multiply the schedule by
  bound: float  # loss above the least one, at the end
  ratio: float  # to the least bound of all schedules, >= 1
  rates: np.ndarray  # (points,): the latest rate at each stop
  curve: np.ndarray  # (points,): the bound at each stop; infinite before any rate


@dataclasses.dataclass(frozen=True, eq=False)
class BoundComparison:
  """Schedules and their bounds, the least bound first; it prints as a table.

  Attributes:
    steps: how many rates each schedule has.
    distance: between the start and the minimiser.
    gradient_norm: what bounds the gradient's norm, a float or (steps,).
    rows: a `BoundRow` for each schedule.
    stops: (points,) int, rising from 1 to `steps`: after so many rates the curves
      of the rows are known.
  """

  steps: int
  distance: float
  gradient_norm: float | np.ndarray
  rows: tuple[BoundRow, ...]
  stops: np.ndarray

  def table(self) -> list[dict[str, Any]]:
    """A dict for each schedule: name, learning_rate, factor, bound and ratio."""
    shown = ('name', 'learning_rate', 'factor', 'bound', 'ratio')
    return [{name: getattr(row, name) for name in shown} for row in self.rows]

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; None where it is not finite, as JSON needs."""
    plain = lambda x: [float(v) if np.isfinite(v) else None for v in x]
    rows = [
        told | {'rates': plain(row.rates), 'curve': plain(row.curve)}
        for told, row in zip(self.table(), self.rows)
    ]
    norm = self.gradient_norm
    return {
        'steps': self.steps,
        'distance': self.distance,
        'gradient_norm': plain(norm) if isinstance(norm, np.ndarray) else norm,
        'rows': rows,
        'stops': [int(stop) for stop in self.stops],
    }

  def __str__(self) -> str:
    width = max(8, *(len(row.name) for row in self.rows))
    norm = self.gradient_norm
    norms = 'as given' if isinstance(norm, np.ndarray) else f'{norm:.4g}'
    lines = [
        f'Bounds on the loss above the least one after {self.steps:,} steps, for a'
        f' distance of {self.distance:.4g} and gradient norms {norms}:',
        f'{"schedule":<{width}}  {"best rate":>10}  {"bound":>10}  {"to best":>8}',
    ]
    lines += [
        f'{row.name:<{width}}  {row.learning_rate:>10.4g}  {row.bound:>10.4g}'
        f'  {row.ratio:>8.3f}'
        for row in self.rows
    ]
    return '\n'.join(lines)


def compare_schedules(
    schedules: Mapping[str, Any],
    steps: int,
    *,
    distance: float = 1.0,
    gradient_norm: Any = 1.0,
    points: int = 200,
) -> BoundComparison:
  """Ranks schedules by the bound on the last iterate, each at its best rate.

  No training is needed. Only the form of a schedule counts: each is multiplied by
  the factor that makes its bound at the end least. Neither the ranking nor the
  ratios depend on `distance`, nor on the size of `gradient_norm`; the rates and the
  bounds do. A schedule whose last rate is tiny but not 0 looks worse than it is:
  see `last_iterate_bound`.

  Args:
    schedules: by name, open-loop `lrax.Schedule`s, functions of the step, or arrays
      of rates, (steps,); at least one.
    steps: how many rates, a whole number >= 1.
    distance: between the start and the minimiser, > 0.
    gradient_norm: what bounds the root mean square of the gradient's norm, >= 0: a
      number, or (steps,).
    points: at how many stops at most the curves are computed, a whole number >= 2;
      each takes time in proportion to its steps.

  Returns:
    A `BoundComparison`.

  Raises:
    TypeError: an argument is of the wrong kind, traced or closed loop.
    ValueError: an argument is out of range, or there is no schedule.

  Source:
    Schaipp et al., "The Surprising Agreement Between Convex Optimization Theory and
    Learning-Rate Scheduling for Large Model Training", 2025 (arXiv 2501.18965),
    theorem 1.

  Example:
    >>> import lrax
    >>> result = lrax.stability.compare_schedules({
    ...     'constant': lrax.constant(1.0),
    ...     'cosine': lrax.cosine_annealing(1.0, steps=400),
    ...     'linear': lrax.linear(1.0, 0.0, steps=400)}, steps=400)
    >>> print(result)
    Bounds on the loss above the least one after 400 steps, for a distance of 1 and gradient norms 1:
    schedule   best rate       bound   to best
    linear       0.04956      0.1006     1.000
    cosine       0.04824      0.1034     1.027
    constant     0.01818      0.1375     1.367
  """  # noqa: E501
  owner = 'compare_schedules'
  if not isinstance(schedules, Mapping):
    raise _checks.refuse(
        owner, 'schedules', 'a dict of schedules by name', schedules,
        "for example {'linear': lrax.linear(1.0, 0.0, 100)}", TypeError,
    )
  if not schedules:
    raise _checks.refuse(
        owner, 'schedules', 'at least one schedule', schedules, 'name one'
    )
  steps = int(_checks.positive_steps(owner, 'steps', steps))
  points = int(_points(owner, 'points', points))
  distance = float(_checks.positive(owner, 'distance', distance))
  half = points // 2
  stops = np.unique(
      np.concatenate([
          np.rint(np.linspace(1, steps, points - half)),
          np.rint(np.geomspace(1, steps, half)),
      ])
  ).astype(np.int64)
  rows = []
  for name, schedule in schedules.items():
    rates = _schedule_rates.rates_of(owner, schedule, steps)
    if isinstance(rates, Tracer) or isinstance(gradient_norm, Tracer):
      raise _checks.refuse(
          owner, 'schedules', 'of known rates and norms', 'traced ones',
          'last_iterate_bound takes traced ones', TypeError,
      )
    bounds = _last_iterate_bound.last_iterate_bound(
        rates, distance=distance, gradient_norm=gradient_norm, stops=stops
    )
    factor = bounds.best_factor[-1]
    rows.append(
        BoundRow(
            name=str(name),
            learning_rate=float(bounds.best_learning_rate[-1]),
            factor=float(factor),
            bound=float(bounds.best_bound[-1]),
            ratio=np.nan,
            rates=factor * rates[stops - 1],
            curve=bounds.at_factor(factor),
        )
    )
  best = min(row.bound for row in rows)
  rows.sort(key=lambda row: row.bound)
  norms = np.asarray(gradient_norm, np.float64)
  return BoundComparison(
      steps=steps,
      distance=distance,
      gradient_norm=norms if norms.ndim else float(norms),
      rows=tuple(row._replace(ratio=row.bound / best) for row in rows),
      stops=stops,
  )


_points = _checks.number(
    'a whole number >= 2', lambda x: x >= 2, 'both ends are stops', whole=True
)
