"""The figure of a range test."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import tune
from lrax.plot import _style


def range_test(result: tune.RangeTest, ax: Any = None) -> Any:
  """Draws a range test: each seed, their mean and spread, what it suggests.

  Args:
    result: what `lrax.tune.range_test` returned.
    ax: matplotlib axes to draw on; None for a new figure.

  Returns:
    The matplotlib axes.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.

  Source:
    lrax's own.

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import lrax
    >>> test = lrax.tune.range_test(lrax.tasks.digits(), 'adamw', seeds=1)
    >>> lrax.plot.range_test(test).get_xscale()
    'log'
  """
  ax = _style.axes(ax)
  rates = result.learning_rates
  for losses in result.losses:
    ax.plot(rates, losses, color=_style.FAINT, linewidth=0.8, zorder=1)
  shared = np.isfinite(result.mean)
  ax.fill_between(
      rates[shared],
      (result.mean - result.spread)[shared],
      (result.mean + result.spread)[shared],
      color=_style.BLUE, alpha=0.2, linewidth=0, zorder=2,
  )
  ax.plot(rates, result.mean, color=_style.BLUE, zorder=3, label='smoothed loss')
  if np.isfinite(result.learning_rate):
    ax.axvline(
        result.learning_rate, color=_style.GREEN,
        label=f'{result.rule}: {result.learning_rate:.2g}',
    )
    ax.axvline(
        result.largest_stable, color=_style.RED, linestyle='--',
        label=f'largest stable: {result.largest_stable:.2g}',
    )
  # A loss that leapt before the run was stopped would flatten the rest.
  if np.isfinite(result.losses).any():
    top = np.nanmax(result.losses[:, :5])
    bottom = np.nanmin(result.losses)
    margin = 0.1 * (top - bottom) or 1.0
    ax.set_ylim(bottom - margin, top + 3 * margin)
  ax.set_xlim(rates[0] / 1.5, rates[-1] * 1.5)
  ax.set_xscale('log')
  ax.set_xlabel('learning rate')
  ax.set_ylabel('training loss')
  ax.set_title(f'Range test of {result.task}, {_style.seeds(result.seeds)}')
  ax.legend(loc='lower left')
  return ax
