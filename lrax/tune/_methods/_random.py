"""Random search."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax.tune._methods import _searcher


class Random(_searcher.Searcher):
  """Independent draws, even over each dimension. It never widens a range.

  Source:
    Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", 2012.
  """

  def __init__(self, space: Any, budget: int, seed: int = 0):
    super().__init__(space, budget, seed)
    generator = np.random.default_rng(self.seed)
    draw = lambda: tuple(generator.uniform(size=len(self.space)))
    self._draws = iter(draw, None)

  def _next(self) -> _searcher.Key | None:
    return self._first_new(self._draws)
