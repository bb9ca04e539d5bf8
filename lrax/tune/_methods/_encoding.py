"""How a model sees points: as columns of numbers, one-hot for options."""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np

from lrax.tune import _dimension

_FEW = 4096  # whole numbers that are told apart


class Encoding:
  """Takes places in the cube to columns.

  Attributes:
    groups: for each column the number of its dimension.
  """

  def __init__(self, dimensions: Sequence[_dimension.Dimension]):
    self._dimensions = tuple(dimensions)
    self._grids = [_grid(dimension) for dimension in self._dimensions]
    groups = []
    for group, dimension in enumerate(self._dimensions):
      one_hot = isinstance(dimension, _dimension.Choice)
      groups += [group] * (int(dimension.count) if one_hot else 1)
    self.groups: tuple[int, ...] = tuple(groups)

  def snap(self, places: np.ndarray) -> np.ndarray:
    """(n, dimensions), the places of the values that these stand for."""
    columns = []
    for grid, column in zip(self._grids, places.T):
      if grid is not None:
        middles = (grid[1:] + grid[:-1]) / 2
        column = grid[np.searchsorted(middles, column)]
      columns.append(column)
    return np.stack(columns, axis=1)

  def columns(self, places: np.ndarray) -> np.ndarray:
    """(n, columns); two options are at a distance of 1."""
    columns = []
    for dimension, column in zip(self._dimensions, places.T):
      if isinstance(dimension, _dimension.Choice):
        index = np.floor(column * dimension.count)
        one_hot = np.equal.outer(np.arange(dimension.count), index)
        columns += list(one_hot / math.sqrt(2))
      else:
        columns.append(column)
    return np.stack(columns, axis=1)


def _grid(dimension: _dimension.Dimension) -> np.ndarray | None:
  """The places of all values, rising; None where there are too many to tell."""
  if dimension.count > _FEW:
    return None
  if isinstance(dimension, _dimension.Choice):
    return np.asarray([dimension.to_unit(v) for v in dimension.options])
  values = range(dimension.low, dimension.high + 1)
  return np.asarray([dimension.to_unit(v) for v in values])
