"""Parallel coordinates: an axis for each hyperparameter, a line for each point."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax.plot import _colours
from lrax.plot import _losses
from lrax.plot import _style
from lrax.tune import _dimension

_TICKS = 6  # at most on an axis
_NAMES = 40  # characters that fit under the axes side by side
_CHARACTER = 0.015  # of the width, that one of the values takes
_GOOD, _FEW = 4, 8  # the best quarter stands out, or some of the best


def parallel(
    ax: Any, space: Any, points: Any, losses: np.ndarray, status: np.ndarray,
    best: Any,
) -> None:
  """Draws each point as a line that crosses every hyperparameter's own axis.

  Args:
    ax: matplotlib axes.
    space: the dimensions by name.
    points: values by name.
    losses: (points,), validation losses.
    status: (points,), how each ended: a word of `Trial.status`.
    best: the best point, or None.
  """
  names = list(space)
  axes = [_Axis(space[name], [point[name] for point in points]) for name in names]
  places = lambda point: [axis.place(point[n]) for n, axis in zip(names, axes)]
  whole = np.flatnonzero(status == _losses.FINISHED)
  rest = {'linewidth': 0.9, 'zorder': 1}
  for kind, style in (
      (_losses.DIVERGED, {'color': _style.RED, 'alpha': 0.6, 'linestyle': ':'}),
      (_losses.STOPPED, {'color': _style.FAINT}),
  ):
    for index, which in enumerate(np.flatnonzero(status == kind)):
      label = None if index else kind
      ax.plot(places(points[which]), label=label, **rest, **style)
  if len(whole):
    log = _losses.far_apart(losses[whole])
    colours = _colours.scale(losses[whole], log)
    worst_first = whole[np.argsort(-losses[whole], kind='stable')]
    for rank, index in enumerate(worst_first):
      colour = colours.to_rgba(losses[index])
      if points[index] == best:
        ax.plot(
            places(best), color=colour, linewidth=4, zorder=4, label='best',
            marker='o', markersize=8,
        )
      else:
        good = len(whole) - rank <= max(len(whole) // _GOOD, _FEW)
        ax.plot(
            places(points[index]), color=colour, linewidth=1.2, zorder=2,
            alpha=1.0 if good else 0.4,
        )
    shown = _colours.bar(colours, ax, 'validation loss')
    if log:
      _losses.write_plainly(shown.yaxis)
  for x, axis in enumerate(axes):
    axis.draw(ax, x)
  _set_axes(ax, names, max(map(len, map(_written, axes[-1].ticks()))))


def _set_axes(ax: Any, names: list[str], last: int) -> None:
  wide = len(names) - 1
  # With room for the last one's values, which have so many characters.
  room = min(0.03 + last * _CHARACTER, 0.5)
  ax.set_xlim(-0.03 * wide, wide / (1 - room))
  ax.set_ylim(-0.04, 1.04)
  ax.set_yticks([])
  for side in ('left', 'right', 'top', 'bottom'):
    ax.spines[side].set_visible(False)
  ax.tick_params(axis='x', length=0)
  if sum(map(len, names)) > _NAMES:
    ax.set_xticks(range(len(names)), names, rotation=20, ha='right')
  else:
    ax.set_xticks(range(len(names)), names)


def _written(value: Any) -> str:
  return f'{value:g}' if isinstance(value, float) else str(value)


class _Axis:
  """The axis of one hyperparameter, as long as its range and all that was tried."""

  def __init__(self, dimension: Any, values: list[Any]):
    self.dimension = dimension
    self.log = isinstance(dimension, _dimension.LogUniform) or (
        isinstance(dimension, _dimension.Integer) and dimension.log
    )
    if not isinstance(dimension, _dimension.Choice):
      self.low = min([dimension.low, *values])
      self.high = max([dimension.high, *values])

  def place(self, value: Any) -> float:
    """Where a value is, in [0, 1]."""
    if isinstance(self.dimension, _dimension.Choice):
      return self.dimension.to_unit(value)
    forth = np.log if self.log else float
    low, high = forth(self.low), forth(self.high)
    return float((forth(value) - low) / (high - low))

  def ticks(self) -> list[Any]:
    """Values to write beside the axis."""
    from matplotlib import ticker

    if isinstance(self.dimension, _dimension.Choice):
      return list(self.dimension.options)
    whole = isinstance(self.dimension, _dimension.Integer)
    if self.log and self.high / self.low >= 10:
      locator = ticker.LogLocator(numticks=_TICKS)
    else:
      locator = ticker.MaxNLocator(_TICKS - 1, integer=whole)
    slack = 1e-9 * (self.high - self.low)
    values = locator.tick_values(self.low, self.high)
    return [v for v in values if self.low - slack <= v <= self.high + slack]

  def draw(self, ax: Any, x: int) -> None:
    """The axis, with its values on a ground that the lines do not cross."""
    ax.plot([x, x], [0, 1], color='black', linewidth=1, zorder=5)
    for value in self.ticks():
      height = self.place(value)
      ax.plot(x, height, '_', color='black', markersize=7, zorder=5)
      ax.annotate(
          _written(value), (x, height), (6, 0), textcoords='offset points',
          va='center', fontsize='small', zorder=6, bbox={
              'boxstyle': 'square,pad=0.1', 'facecolor': 'white', 'alpha': 0.8,
              'linewidth': 0,
          },
      )
