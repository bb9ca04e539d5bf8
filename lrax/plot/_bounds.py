"""The figure of schedules that are compared without training: their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import _checks
from lrax import stability
from lrax.plot import _losses
from lrax.plot import _style

_FIRST = 0.1  # of the steps: bounds before are far above those that matter
_MOST = 8  # lines that can be told apart


def bounds(comparison: stability.BoundComparison, axes: Any = None) -> Any:
  """Draws the bounds of compared schedules, beside the rates that they are for.

  On the left is the rate of each schedule over the steps, each at its best factor.
  On the right is how far the loss can be from the least one, were the run to stop
  there: the bound on the last iterate. Of more than eight schedules the eight best
  are drawn. The start of a run is above the figure, and a bound that is not finite
  is left out.

  Args:
    comparison: what `lrax.stability.compare_schedules` returned.
    axes: two matplotlib axes; None for a new figure.

  Returns:
    The two matplotlib axes.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.
    TypeError: `comparison` is something else.

  Source:
    Schaipp et al., "The Surprising Agreement Between Convex Optimization Theory and
    Learning-Rate Scheduling for Large Model Training", 2025 (arXiv 2501.18965).

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import lrax
    >>> compared = lrax.stability.compare_schedules(
    ...     {'constant': lrax.constant(1.0), 'linear': lrax.linear(1.0, 0.0, 100)}, 100)
    >>> rates, bounds = lrax.plot.bounds(compared)
    >>> bounds.get_yscale()
    'log'
  """
  if not isinstance(comparison, stability.BoundComparison):
    raise _checks.refuse(
        'plot.bounds', 'comparison', 'a BoundComparison', type(comparison).__name__,
        'lrax.stability.compare_schedules makes one', TypeError,
    )
  if axes is None:
    plt = _style.pyplot()
    axes = plt.subplots(1, 2, figsize=(11.5, 4.4), layout='constrained')[1]
  left, right = axes
  stops, shown = np.asarray(comparison.stops), []
  rows = comparison.rows[:_MOST]
  for colour, row in zip(_style.LINES, rows):
    left.plot(stops, row.rates, color=colour, label=row.name)
    curve = np.where(np.isfinite(row.curve), row.curve, np.nan)
    right.plot(stops, curve, color=colour, label=f'{row.name}: {row.bound:.3g}')
    shown.append(curve[stops >= _FIRST * comparison.steps])
  left.set_ylabel('learning rate, at the best factor')
  left.set_ylim(bottom=0)
  _losses.set_axis(right, np.concatenate([*shown, [row.bound for row in rows]]))
  right.set_ylabel('bound on loss − least loss')
  right.set_title(
      f'distance {comparison.distance:.3g}, gradient norm'
      f' {_norm(comparison.gradient_norm)}'
  )
  for ax in axes:
    ax.set_xlim(0, comparison.steps)
    ax.set_xlabel('step')
    ax.grid(color=_style.FAINT, alpha=0.4, linewidth=0.6)
    _style.legend_above(ax, columns=3)
  return axes


def _norm(norms: Any) -> str:
  low, high = np.min(norms), np.max(norms)
  return f'{low:.3g}' if low == high else f'{low:.3g} to {high:.3g}'
