"""The figure of a verified recommendation."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import tune
from lrax.plot import _losses
from lrax.plot import _range_test
from lrax.plot import _style

# Lines of the other optimizers that were compared.
_OTHERS = [c for c in _style.LINES if c not in (_style.BLUE, _style.GREEN)]


def find(result: tune.Found, axes: Any = None) -> Any:
  """Draws the range test beside the sweep that verified a rate.

  The sweep shows each seed's validation loss, their mean, the recommended rate
  and the interval within noise of the best; of other optimizers the means. Rates
  at which a seed diverged are crosses at the top.

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
  name = f'{result.optimizer}, mean' if result.others else 'mean'
  right.plot(rates, means, 'o-', color=_style.BLUE, zorder=3, label=name)
  shown = [means]
  for colour, other in zip(_OTHERS, result.others):
    rows = [row for row in other.rows if not row.diverged]
    shown.append(np.asarray([row.validation_loss for row in rows]))
    right.plot(
        [row.learning_rate for row in rows], shown[-1], 's--', color=colour,
        markersize=4, linewidth=1, zorder=2, label=other.optimizer,
    )
  gone = [row.learning_rate for row in result.rows if row.diverged]
  if gone:
    right.plot(
        gone, [0.97] * len(gone), 'x', color=_style.RED, label='diverged',
        transform=right.get_xaxis_transform(),
    )
  if np.isfinite(result.learning_rate):
    low, high = result.interval
    warmed = ', with warmup' if result.warmup_fraction else ''
    right.axvspan(
        low, high, color=_style.GREEN, alpha=0.12, label='within noise of the best'
    )
    right.axvline(
        result.learning_rate, color=_style.GREEN,
        label=f'recommended: {result.learning_rate:.2g}{warmed}',
    )
  ends = [row.learning_rate for one in result.others for row in one.rows]
  tried = [*ends, *(row.learning_rate for row in result.rows), *_picked(result)]
  right.set_xlim(min(tried) / 1.5, max(tried) * 1.5)
  right.set_xscale('log')
  if _losses.far_apart(np.concatenate(shown)):
    right.set_yscale('log')
    _losses.write_plainly(right.yaxis)
  right.set_xlabel(_x_label(result))
  right.set_ylabel('validation loss')
  right.set_title(
      f'{result.optimizer}, {result.steps} steps, {_style.seeds(result.seeds)}'
  )
  _style.legend_above(right, columns=3)
  return axes


def _picked(result: tune.Found) -> list[float]:
  """The rate that is recommended with a warmup or a length of its own."""
  return [result.learning_rate] if np.isfinite(result.learning_rate) else []


def _x_label(result: tune.Found) -> str:
  if result.schedule == 'constant':
    return 'learning rate'
  return f'peak learning rate ({result.schedule} schedule)'
