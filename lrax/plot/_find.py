"""The figure of a verified recommendation."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import tune
from lrax.plot import _range_test
from lrax.plot import _style


def find(result: tune.Found, axes: Any = None) -> Any:
  """Draws the range test beside the sweep that verified a rate.

  The sweep shows each seed's validation loss, their mean, the recommended rate
  and the interval within noise of the best. Rates at which a seed diverged are
  crosses at the top.

  Args:
    result: what `lrax.tune.find` returned.
    axes: two matplotlib axes; None for a new figure.

  Returns:
    The two matplotlib axes.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.

  Source:
    lrax's own.

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import lrax
    >>> found = lrax.tune.find(lrax.tasks.digits(), steps=50, seeds=1)
    >>> len(lrax.plot.find(found))
    2
  """
  if axes is None:
    plt = _style.pyplot()
    axes = plt.subplots(1, 2, figsize=(11.5, 4.2), layout='constrained')[1]
  left, right = axes
  _range_test.range_test(result.range_test, left)
  trained = [row for row in result.rows if not row.diverged]
  rates = np.asarray([row.learning_rate for row in trained])
  means = np.asarray([row.validation_loss for row in trained])
  for row in trained:
    losses = [trial.validation_loss for trial in row.trials]
    right.plot(
        [row.learning_rate] * len(losses), losses, 'o',
        color=_style.FAINT, markersize=4, zorder=1,
    )
  right.plot(rates, means, 'o-', color=_style.BLUE, zorder=3, label='mean')
  gone = [row.learning_rate for row in result.rows if row.diverged]
  if gone:
    right.plot(
        gone, [0.97] * len(gone), 'x', color=_style.RED, label='diverged',
        transform=right.get_xaxis_transform(),
    )
  if np.isfinite(result.learning_rate):
    low, high = result.interval
    right.axvspan(
        low, high, color=_style.GREEN, alpha=0.12, label='within noise of the best'
    )
    right.axvline(
        result.learning_rate, color=_style.GREEN,
        label=f'recommended: {result.learning_rate:.2g}',
    )
  tried = [row.learning_rate for row in result.rows]
  right.set_xlim(min(tried) / 1.5, max(tried) * 1.5)
  right.set_xscale('log')
  if len(means) and means.min() > 0 and means.max() > 4 * means.min():
    right.set_yscale('log')
  right.set_xlabel(_x_label(result))
  right.set_ylabel('validation loss')
  right.set_title(
      f'{result.optimizer}, {result.steps} steps, {_style.seeds(result.seeds)}'
  )
  right.legend()
  return axes


def _x_label(result: tune.Found) -> str:
  if result.schedule == 'constant':
    return 'learning rate'
  return f'peak learning rate ({result.schedule} schedule)'
