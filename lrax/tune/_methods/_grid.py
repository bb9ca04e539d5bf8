"""A grid: every combination of evenly spaced values."""

from __future__ import annotations

import itertools
import math
from typing import Any

from lrax import _checks
from lrax.tune import _dimension
from lrax.tune._methods import _searcher


class Grid(_searcher.Searcher):
  """Evenly spaced values of each range, its ends included, and all options.

  Of several dimensions it takes all combinations, with as many values of each
  range as the budget allows: the range with the fewest gets the next one, the
  learning rate first. What is left of the budget is not used. The seed plays no
  part. It never widens a range.

  Raises:
    ValueError: the budget is below the number of combinations of options.
  """

  def __init__(self, space: Any, budget: int, seed: int = 0):
    super().__init__(space, budget, seed)
    sizes = self._sizes()
    values = [_values(d, sizes[name]) for name, d in self.space.items()]
    self._points = list(itertools.product(*values))

  def _sizes(self) -> dict[str, int]:
    """How many values of each dimension."""
    sizes = {
        name: int(d.count) if isinstance(d, _dimension.Choice) else 1
        for name, d in self.space.items()
    }
    least = math.prod(sizes.values())
    if least > self.budget:
      raise _checks.refuse(
          self.owner, 'budget', f'at least {least}, the combinations of options',
          self.budget, "take fewer options, or method='random'",
      )
    names = [n for n, d in self.space.items() if sizes[n] < d.count]
    names.sort(key=lambda name: name != self._main)
    while names:
      name = min(names, key=sizes.__getitem__)
      sizes[name] += 1
      if math.prod(sizes.values()) > self.budget:
        sizes[name] -= 1
        names.remove(name)
      elif sizes[name] >= self.space[name].count:
        names.remove(name)
    return sizes

  def _next(self) -> _searcher.Key | None:
    return next(filter(self._is_new, self._points), None)


def _values(dimension: _dimension.Dimension, size: int) -> list[Any]:
  """So many values: all of them, or evenly spaced ones."""
  if isinstance(dimension, _dimension.Choice):
    return list(dimension.options)
  if size == 1:
    return [dimension.from_unit(0.5)]
  return [dimension.from_unit(i / (size - 1)) for i in range(size)]
