"""The runs of `find`: what was tried, and what to try next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

from lrax import _checks
from lrax.tune import _objective
from lrax.tune import _range_test

# Rates are tried at suggestion * 2 ** (place / 2), places being whole numbers:
# a first grid a factor of 4 apart, then the best one's neighbours at 2, at
# sqrt(2). A tenth of the minimum is about a quarter of the best rate, so the
# grid starts there and looks up.
_FIRST = (0, 4, 8)
_REFINE = (2, 1)
_WIDEN = 6  # times, in either direction


class Progress(NamedTuple):
  """What `on_progress` is told."""

  stage: str  # 'range test', 'sweep' or 'pick'
  done: int  # runs of this stage
  planned: int  # runs of this stage as far as is known now
  result: Any  # the RangeTest when it is complete, a Trial, or None
  optimizer: str = ''  # whose turn it is, where several are compared


class Search:
  """The runs of one search: what was tried, and what may still be."""

  def __init__(self, objective: _objective.Objective, budget, tell):
    self.objective, self.budget, self.tell = objective, budget, tell
    self.steps, self.seeds = objective.steps, objective.seeds
    steps, seeds = self.steps, self.seeds
    self.rows: dict[int, _objective.Row] = {}  # by place
    self.out_of_budget = False
    self.start = np.nan  # the rate at place 0
    ramp = int(np.clip(steps, 10, 100))
    self.ramp_steps, self.ramp_seeds = ramp, seeds[:2]
    least = ramp * len(self.ramp_seeds) + len(_FIRST) * steps * len(seeds)
    if budget is not None and budget < least:
      raise _checks.refuse(
          'find', 'budget', f'at least {least} steps', budget,
          f'that is the range test and {len(_FIRST)} rates, each of {steps} steps'
          f' for every seed ({len(seeds)}); lower steps or seeds',
      )

  @property
  def spent(self) -> int:
    """Updates of all runs so far."""
    return self.objective.updates

  def range_test(self) -> _range_test.RangeTest:
    told = lambda done, planned: self.tell(
        Progress('range test', done, planned, None)
    )
    test = _range_test.run(
        self.objective.engine, 1e-7, 10.0, self.ramp_steps, self.ramp_seeds,
        on_seed=told,
    )
    total = len(self.ramp_seeds)
    self.tell(Progress('range test', total, total, test))
    return test

  def sweep(self, suggestion: float) -> None:
    """Fills `rows`: the first grid, widened, then refined around the best."""
    # With nothing to start from, the widening has to find the place.
    self.start = suggestion if np.isfinite(suggestion) else 1e-3
    if not self.try_places(_FIRST):
      return
    for _ in range(2 * _WIDEN):
      edge = self.beyond_edge()
      if edge is None:
        break
      if not self.try_places([edge]):
        return
    for width in _REFINE:
      best = self.best()
      if best is None or not self.try_places([best - width, best + width]):
        return

  def surround(self, learning_rate: float) -> bool:
    """Tries a factor of 2 beside a rate where nothing nearer was; if it did."""
    if not np.isfinite(learning_rate):
      return False
    place = round(2 * np.log2(learning_rate / self.start))
    missing = [
        place + 2 * way
        for way in (-1, 1)
        if place + way not in self.rows
        and place + 2 * way not in self.rows
        and min(self.rows) < place + 2 * way < max(self.rows)
    ]
    return bool(missing) and self.try_places(missing)

  def sorted_rows(self) -> list[_objective.Row]:
    """What was tried, by rising rate."""
    return [self.rows[place] for place in sorted(self.rows)]

  def best(self) -> int | None:
    """The place of the lowest mean loss; the lower one of two equal."""
    known = {
        p: r.validation_loss
        for p, r in sorted(self.rows.items())
        if np.isfinite(r.validation_loss)
    }
    return min(known, key=known.__getitem__) if known else None

  def beyond_edge(self) -> int | None:
    """The place to try next where the best one is on the edge."""
    best, low, high = self.best(), min(self.rows), max(self.rows)
    if best is None or best == low:
      place = low - 4
    elif best == high:
      place = high + 4
    else:
      return None
    within = _FIRST[0] - 4 * _WIDEN <= place <= _FIRST[-1] + 4 * _WIDEN
    return place if within else None

  def try_places(self, places: Sequence[int]) -> bool:
    """Trains at these places with every seed; False where the budget ends."""
    waiting = [place for place in places if place not in self.rows]
    cost = self.steps * len(self.seeds)
    while waiting:
      affordable = len(waiting)
      if self.budget is not None:
        affordable = min(affordable, (self.budget - self.spent) // cost)
      if affordable < 1:
        self.out_of_budget = True
        return False
      self.train(waiting[:affordable], (len(self.rows) + len(waiting)))
      waiting = waiting[affordable:]
    return True

  def try_points(
      self, points: Sequence[_objective.Point]
  ) -> list[_objective.Row]:
    """Trains other points with every seed; none where the budget ends."""
    each = [int(point.get('steps', self.steps)) for point in points]
    cost = sum(each) * len(self.seeds)
    if self.budget is not None and self.spent + cost > self.budget:
      self.out_of_budget = True
      return []
    done = 0

    def told(trial: _objective.Trial) -> None:
      nonlocal done
      done += 1
      self.tell(Progress('pick', done, len(points) * len(self.seeds), trial))

    found = self.objective.run(points, told)
    return [_objective.row_of(p, trials) for p, trials in zip(points, found)]

  def train(self, places: Sequence[int], planned: int) -> None:
    """Trains at some places, all at once, and keeps their rows."""
    rates = [float(self.start * 2 ** (place / 2)) for place in places]
    done = len(self.rows) * len(self.seeds)

    def told(trial: _objective.Trial) -> None:
      nonlocal done
      done += 1
      self.tell(Progress('sweep', done, planned * len(self.seeds), trial))

    points = [{'learning_rate': rate} for rate in rates]
    found = self.objective.run(points, told)
    for place, point, trials in zip(places, points, found):
      self.rows[place] = _objective.row_of(point, trials)
