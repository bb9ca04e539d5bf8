"""Sobol points: random ones that keep out of each other's way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrax.tune._methods import _searcher


class Sobol(_searcher.Searcher):
  """A scrambled Sobol sequence, even over each dimension and over pairs.

  It never widens a range.

  Source:
    Sobol, "On the distribution of points in a cube", 1967; Owen, "Randomly
    permuted (t, m, s)-nets", 1995; as a default for tuning: Bousquet et al.,
    "Critical Hyper-Parameters: No Random, No Cry", 2017.
  """

  def __init__(self, space: Any, budget: int, seed: int = 0):
    super().__init__(space, budget, seed)
    # Twice the budget, since whole numbers and options may repeat.
    self._places = iter(places(2 * self.budget, len(self.space), self.seed))

  def _next(self) -> _searcher.Key | None:
    return self._first_new(self._places)


def places(count: int, dimensions: int, seed: int) -> np.ndarray:
  """(count rounded up to a power of 2, dimensions), in [0, 1)."""
  from scipy.stats import qmc

  # scipy below 1.15, which jax still takes, does not know `rng`.
  generator = np.random.default_rng(seed)
  sequence = qmc.Sobol(dimensions, seed=generator)  # pyright: ignore
  return sequence.random_base2(math.ceil(math.log2(count)))
