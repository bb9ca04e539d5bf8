"""Zoom: a coarse grid, then finer ones around the best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrax.tune import _dimension
from lrax.tune._methods import _searcher

# Of the smallest whole plan: points of the first grid over the learning rate,
# and over each other range; then of each finer one.
_GRID, _OTHER_GRID = 8, 4
_FINER, _OTHER_FINER = 4, 2
_ROUNDING = 1e-9  # of a range


class Zoom(_searcher.Searcher):
  """A grid over a range, then a finer one over the bracket of the best point.

  Over one range: 8 evenly spaced points, shifted by the seed; then 4 in the
  bracket of the best, two between it and either neighbour; then 4 in the bracket
  of the best so far; and so on. With a budget of 16 m each grid has m times as
  many points, so that there are three. Where the first grid has a second valley,
  whose lowest point is lower than both neighbours of the best, the second grid
  is shared between the two brackets.

  Over several, one after another and round again, the learning rate first: a
  grid along one range runs through the best point so far, at first through the
  middle of all. The rate has grids of 8, 4, 4, ... points, another range 4, 2,
  2, .... Of a choice all options are tried, then again the best others.

  Where the best lies on the end of its range, the next grid reaches beyond it by
  a step of the first, as far as `within` allows. The points of a grid are asked
  for when all of the last one were told. Where none is finite, the smallest
  counts as the best.

  Args:
    space: what to search, names and dimensions.
    budget: how many points to ask for at most, a whole number >= 1.
    seed: for the shift of the first grids, a whole number >= 0.

  Source:
    lrax's own: a search by brackets, with several points at a time since they
    can be tried side by side.
  """

  def __init__(self, space: Any, budget: int, seed: int = 0):
    super().__init__(space, budget, seed)
    others = [name for name in self.space if name != self._main]
    self._order = others if self._main is None else [self._main, *others]
    smallest = _GRID + 2 * _FINER + (len(self._order) - 1) * (
        _OTHER_GRID + 2 * _OTHER_FINER
    )
    self._times = max(1, self.budget // smallest)
    self._shifts = np.random.default_rng(self.seed).uniform(size=len(self.space))
    self._grids = 0  # begun so far
    self._queue: list[_searcher.Key] = []  # what is left of the last one
    self._first_step: dict[str, float] = {}  # of the first grid over each range
    self._step: dict[str, float] = {}  # of the last one

  def _next(self) -> _searcher.Key | None:
    if not self._queue and not self._pending:
      # A grid of whole numbers or options may have nothing new.
      for _ in range(1 + len(self._order)):
        self._queue = self._grid()
        if self._queue:
          break
    return self._queue.pop(0) if self._queue else None

  def _grid(self) -> list[_searcher.Key]:
    """The new points of the next grid."""
    level, turn = divmod(self._grids, len(self._order))
    self._grids += 1
    name = self._order[turn]
    best = self._leader() or self._at([0.5] * len(self.space))
    if isinstance(self.space[name], _dimension.Choice):
      values = self._options(name, level)
    elif level == 0:
      values = self._coarse(name, turn)
    else:
      size = (_OTHER_FINER if turn else _FINER) * self._times
      values = map(self.space[name].from_unit, self._finer(name, size, best))
    place = list(self.space).index(name)
    keys = [best[:place] + (value,) + best[place + 1 :] for value in values]
    return [key for key in dict.fromkeys(keys) if self._is_new(key)]

  def _options(self, name: str, level: int) -> list[Any]:
    """All options; later those that did best, since the other values moved."""
    options = list(self.space[name].options)  # pyright: ignore
    if level == 0:
      return options
    place = list(self.space).index(name)
    lowest = dict.fromkeys(options, math.inf)
    for key, score in self._scores.items():
      lowest[key[place]] = min(lowest[key[place]], score)
    options.sort(key=lowest.__getitem__)
    return options[: 1 + _OTHER_FINER * self._times]

  def _coarse(self, name: str, turn: int) -> list[Any]:
    """The values of the first grid over a range, one in each of equal parts."""
    size = (_OTHER_GRID if turn else _GRID) * self._times
    size = int(min(size, self.space[name].count, self.budget))
    self._step[name] = self._first_step[name] = 1 / size
    return [
        self.space[name].from_unit((i + self._shifts[turn]) / size)
        for i in range(size)
    ]

  def _finer(self, name: str, size: int, best: _searcher.Key) -> list[float]:
    """So many places in the bracket of the best; sets the new step."""
    centers = [self._units(best)[list(self.space).index(name)]]
    if len(self.space) == 1 and self._grids == 2:
      centers += self._second_valley(centers[0])
    share = size // len(centers)
    found, gaps = [], []
    for center in centers:
      for way, count in ((-1, share - share // 2), (1, share // 2)):
        end, tried = self._bracket(name, center, way)
        gap = abs(end - center) / max(count + tried, 1)
        found += [center + way * gap * (i + 1) for i in range(count)]
        gaps.append(gap)
    self._step[name] = max(gaps)
    return found

  def _bracket(self, name: str, center: float, way: int) -> tuple[float, bool]:
    """Where the bracket ends on one side, and whether that place was tried."""
    upper = way > 0
    end, step = self._range[name][upper], self._step[name]
    room = abs(end - center)
    if room > _ROUNDING or self.space[name].count < math.inf:
      return (center + way * step, True) if room > step else (end, False)
    # The best is on the end: widen the range.
    most = self.space[name].to_unit(self.space[name].bounds[upper])
    reach = min(self._first_step[name], abs(most - center))
    low, high = self._range[name]
    end = center + way * reach
    self._range[name] = (low, end) if upper else (end, high)
    return end, False

  def _second_valley(self, best: float) -> list[float]:
    """The lowest place of another valley, if there is one."""
    curve = sorted((self._units(k)[0], score) for k, score in self._scores.items())
    scores = [math.inf, *(score for _, score in curve), math.inf]
    here = [place for place, _ in curve].index(best) + 1
    limit = min(scores[here - 1], scores[here + 1])
    lowest = [
        i
        for i in range(1, len(scores) - 1)
        if abs(i - here) > 1
        and scores[i] < limit
        and scores[i] <= min(scores[i - 1], scores[i + 1])
    ]
    return [curve[min(lowest, key=scores.__getitem__) - 1][0]] if lowest else []
