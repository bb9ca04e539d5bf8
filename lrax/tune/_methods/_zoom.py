"""Zoom: a coarse grid, then finer ones around the best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrax.tune import _dimension
from lrax.tune._methods import _searcher

# Of the smallest whole plan: points of the first grid over the learning rate,
# over another range, and of each finer grid over them.
_GRID, _OTHER_GRID = 8, 4
_FINER, _OTHER_FINER = 4, 2
_ROUNDING = 1e-9  # of the range


class Zoom(_searcher.Searcher):
  """A grid over a range, then the bracket of the best, and that of its best.

  Of one range: 8 evenly spaced points; then 4 between the best one's
  neighbours, two on either side; then 4 between those of the best so far; and
  so on. A budget of 16 m takes m times as many each time, so it ends after
  three grids. The seed shifts the first grid. Where the first grid has another
  valley, at least two points off and lower than both neighbours of the best,
  the second grid is shared between the two.

  Of several, the same one range after another, the learning rate first, with
  the others as they are in the best point so far, in the middle at first: 8
  points and then 4, and for each other range 4 and then 2. Of a choice all
  options are tried, then again the best of the others.

  Where the best lies on the end of its range, the next grid reaches beyond it,
  as far as `within` allows. Points come in grids: the next one is asked for
  when all of the last one have been told. Where none is finite the smallest
  value counts as the best.

  Source:
    lrax's own; for one range it is a search by brackets, with more than two
    points at a time since they can be tried side by side.
  """

  def __init__(self, space: Any, budget: int, seed: int = 0):
    super().__init__(space, budget, seed)
    names = [n for n in self.space if n != self._main]
    self._order = names if self._main is None else [self._main, *names]
    whole = _GRID + 2 * _FINER
    whole += (len(names) if self._main else len(names) - 1) * (
        _OTHER_GRID + 2 * _OTHER_FINER
    )
    self._times = max(1, self.budget // whole)
    self._grids = 0  # begun so far
    self._spacing: dict[str, float] = {}  # of the last grid over each range
    self._first: dict[str, float] = {}  # of the first one
    self._offsets = np.random.default_rng(self.seed).uniform(size=len(self.space))
    self._queue: list[_searcher.Key] = []

  def _next(self) -> _searcher.Key | None:
    idle = 0
    while not self._queue and not self._pending and idle <= len(self.space):
      # A grid of whole numbers or options may have nothing new.
      self._queue = self._grid()
      idle += 1
    return self._queue.pop(0) if self._queue else None

  def _grid(self) -> list[_searcher.Key]:
    """The points of the next grid that are new."""
    level, index = divmod(self._grids, len(self._order))
    self._grids += 1
    name = self._order[index]
    dimension = self.space[name]
    leader = self._leader()
    if leader is None:
      leader = self._at([0.5] * len(self.space))
    if isinstance(dimension, _dimension.Choice):
      values = self._options(name, level)
    elif level == 0:
      size = (_OTHER_GRID if index else _GRID) * self._times
      size = min(size, int(min(dimension.count, self.budget)))
      self._spacing[name] = self._first[name] = 1 / size
      units = (np.arange(size) + self._offsets[index]) / size
      values = [dimension.from_unit(u) for u in units]
    else:
      size = (_OTHER_FINER if index else _FINER) * self._times
      values = [dimension.from_unit(u) for u in self._finer(name, size, leader)]
    place = list(self.space).index(name)
    keys = [leader[:place] + (value,) + leader[place + 1 :] for value in values]
    return [key for key in dict.fromkeys(keys) if self._is_new(key)]

  def _options(self, name: str, level: int) -> list[Any]:
    """All options; later the best of them, for the leader may have moved."""
    options = list(self.space[name].options)  # pyright: ignore
    if level == 0:
      return options
    place = list(self.space).index(name)
    score = {o: math.inf for o in options}
    for key, value in self._scores.items():
      score[key[place]] = min(score[key[place]], value)
    return sorted(options, key=score.__getitem__)[: 1 + _OTHER_FINER * self._times]

  def _finer(self, name: str, size: int, leader: _searcher.Key) -> list[float]:
    """So many places in the brackets around the best."""
    place = list(self.space).index(name)
    best = self._units(leader)[place]
    centers = [best]
    if len(self.space) == 1 and self._grids == 2:
      centers += self._other_valley(best)
    spacing, found = 0.0, []
    for center in centers:
      share = size // len(centers)
      for way, count in ((-1, share - share // 2), (1, share // 2)):
        end, tried = self._end(name, center, way)
        gap = abs(end - center) / (count + tried)
        found += [center + way * gap * (i + 1) for i in range(count)]
        spacing = max(spacing, gap)
    self._spacing[name] = spacing
    return found

  def _end(self, name: str, center: float, way: int) -> tuple[float, bool]:
    """Where the bracket ends on one side, and whether that was tried."""
    side = (1 + way) // 2
    end = self._range[name][side]
    reach = self._spacing[name]
    if abs(center - end) > _ROUNDING:
      if abs(center - end) < reach - _ROUNDING:
        return end, False
      return center + way * reach, True
    dimension = self.space[name]
    if dimension.count < math.inf:
      return end, True
    most = dimension.to_unit(dimension.bounds[side])
    end = way * min(way * most, way * center + self._first[name])
    low, high = self._range[name]
    self._range[name] = (end, high) if way < 0 else (low, end)
    return end, False

  def _other_valley(self, best: float) -> list[float]:
    """The place of the best point of another valley, if there is one."""
    curve = sorted((self._units(k)[0], score) for k, score in self._scores.items())
    scores = [math.inf, *(score for _, score in curve), math.inf]
    here = [unit for unit, _ in curve].index(best) + 1
    limit = min(scores[here - 1], scores[here + 1])
    valleys = [
        i
        for i in range(1, len(scores) - 1)
        if abs(i - here) > 1
        and scores[i] < min(limit, scores[i - 1], scores[i + 1])
    ]
    return [curve[i - 1][0] for i in sorted(valleys, key=scores.__getitem__)[:1]]
