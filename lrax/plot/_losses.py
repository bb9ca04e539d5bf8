"""The axis that losses are on: its scale, its limits, and what left it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax.plot import _style

FINISHED, DIVERGED, STOPPED = 'finished', 'diverged', 'stopped early'

_MANY = 4  # times the lowest, from which on losses are shown by their logarithm
_TOP = 0.965  # of the height of the axes, where what diverged is marked


def far_apart(losses: Any) -> bool:
  """Whether they are so far apart that a log axis shows them better."""
  losses = np.asarray(losses, float)
  losses = losses[np.isfinite(losses)]
  return len(losses) > 0 and losses.min() > 0 and losses.max() > _MANY * losses.min()


def set_axis(ax: Any, losses: Any, above: float = 0.16) -> None:
  """Sets the scale and the limits of the y axis, with room at the top.

  Args:
    ax: matplotlib axes.
    losses: what is to be in view, of any shape.
    above: the room at the top, as a share of the height that they take up.
  """
  losses = np.asarray(losses, float)
  losses = losses[np.isfinite(losses)]
  if not len(losses):
    ax.set_yticks([])
    return
  log = far_apart(losses)
  forth, back = (np.log, np.exp) if log else (float, float)
  low, high = forth(losses.min()), forth(losses.max())
  height = high - low or 0.1 * abs(high) or 0.1
  if log:
    ax.set_yscale('log')
    write_plainly(ax.yaxis)
  ax.set_ylim(back(low - 0.06 * height), back(high + above * height))


def write_plainly(axis: Any) -> None:
  """0.2 instead of 2 times a power of ten, on a log axis."""
  from matplotlib import ticker

  class Plain(ticker.LogFormatter):

    def __call__(self, x, pos=None):
      return f'{x:g}' if super().__call__(x, pos) else ''

  axis.set_major_formatter(Plain())
  axis.set_minor_formatter(Plain(minor_thresholds=(1.5, 0.5)))


def mark_diverged(ax: Any, x: Any) -> None:
  """Crosses at the top, whatever the losses are."""
  if len(x):
    ax.plot(
        x, [_TOP] * len(x), 'x', color=_style.RED, label=DIVERGED, zorder=2,
        transform=ax.get_xaxis_transform(),
    )


def u_curve(
    ax: Any, x: np.ndarray, losses: np.ndarray, status: np.ndarray,
    line: str = '-',
) -> None:
  """Draws losses over a hyperparameter: mean, band, seeds, what did not finish.

  Args:
    ax: matplotlib axes, their x scale set.
    x: (points,), rising.
    losses: (points, seeds), validation losses.
    status: (points, seeds), how each run ended.
    line: how the means of points beside each other are joined.
  """
  gone = (status == DIVERGED).any(1)
  stopped = (status == STOPPED).any(1) & ~gone
  whole = ~gone & ~stopped
  mean = losses.mean(1)
  several = losses.shape[1] > 1
  if several:
    seeds = np.where(gone[:, None], np.nan, losses)
    ax.plot(x, seeds, 'o', color=_style.FAINT, markersize=3.5, zorder=1)
  if several and whole.any():
    deviation = losses.std(1, ddof=1)
    low = mean - deviation
    if far_apart(losses[~gone]):  # there the band must not reach 0
      low = np.where(low > 0, low, losses.min(1))
    ax.fill_between(
        x, np.where(whole, low, np.nan), np.where(whole, mean + deviation, np.nan),
        color=_style.BLUE, alpha=0.15, linewidth=0, label='±1 deviation',
    )
  if whole.any():
    ax.plot(
        x, np.where(whole, mean, np.nan), f'o{line}', color=_style.BLUE,
        markersize=5, zorder=3, label='mean' if several else 'validation loss',
    )
  if stopped.any():
    ax.plot(
        x[stopped], mean[stopped], 'o', color=_style.BLUE, markerfacecolor='white',
        markersize=5, zorder=2, label=STOPPED,
    )
  mark_diverged(ax, x[gone])
  set_axis(ax, losses[~gone])
  ax.set_ylabel('validation loss')
