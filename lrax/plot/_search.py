"""The figure of a search: what was tried, and how the best one was come by."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import tune
from lrax.plot import _losses
from lrax.plot import _parallel
from lrax.plot import _style
from lrax.tune import _dimension


def search(result: tune.Searched | tune.Study, axes: Any = None) -> Any:
  """Draws a search or a study: what was tried, beside the best loss so far.

  On the left, one hyperparameter is drawn as the validation loss over its values;
  several as parallel coordinates: an axis each, a line a point, coloured by its
  loss, the best one thick. On the right is the loss of each point in the order in
  which they were asked for, and the lowest so far. Points of which a seed diverged
  are crosses at the top, or dotted; those that were stopped early are hollow, or
  grey. For 'population' the right shows the best member's learning rate over the
  steps: the schedule that it found.

  Args:
    result: what `lrax.tune.search` returned, or a `lrax.tune.Study`.
    axes: two matplotlib axes; None for a new figure.

  Returns:
    The two matplotlib axes.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.

  Source:
    Inselberg, "The plane with parallel coordinates", The Visual Computer, 1985.

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import lrax
    >>> space = {'learning_rate': lrax.tune.log_uniform(1e-4, 1.0)}
    >>> found = lrax.tune.search(
    ...     lrax.tasks.digits(), space, method='grid', budget=3, steps=20)
    >>> left, right = lrax.plot.search(found)
    >>> left.get_xscale()
    'log'
  """
  if axes is None:
    plt = _style.pyplot()
    axes = plt.subplots(1, 2, figsize=(11.5, 4.4), layout='constrained')[1]
  left, right = axes
  if isinstance(result, tune.Study):
    result = result.result  # its trials by now
  if not result.rows:
    for ax in axes:
      ax.set_axis_off()
    left.text(0.5, 0.5, 'nothing was tried yet', ha='center', va='center')
    return axes
  losses = np.asarray([[t.validation_loss for t in r.trials] for r in result.rows])
  status = np.asarray([[t.status for t in r.trials] for r in result.rows])
  optimizer = '' if 'optimizer' in result.space else f'{result.optimizer}, '
  left.set_title(f'{optimizer}{result.steps} steps, {_style.seeds(result.seeds)}')
  if len(result.space) == 1:
    _draw_values(left, result, losses, status)
  else:
    points = [row.point for row in result.rows]
    _parallel.parallel(
        left, result.space, points, losses.mean(1), _worst(status), result.best
    )
  if result.history:
    _draw_history(right, result)
  else:
    _draw_progress(right, result, losses.mean(1), _worst(status))
  for ax in axes:
    _style.legend_above(ax)
  return axes


def _worst(status: np.ndarray) -> np.ndarray:
  """(points,): how a point ended, of how its seeds did."""
  kinds = (_losses.DIVERGED, _losses.STOPPED)
  return np.select(
      [(status == kind).any(1) for kind in kinds], kinds, _losses.FINISHED
  )


def _draw_values(
    ax: Any, result: tune.Searched, losses: np.ndarray, status: np.ndarray
) -> None:
  """Over the values of the only hyperparameter."""
  ((name, dimension),) = result.space.items()
  values = [row.point[name] for row in result.rows]
  if isinstance(dimension, _dimension.Choice):
    x = np.asarray([dimension.index(value) for value in values])
    labels = [str(option) for option in dimension.options]
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    line = ''
  else:
    x, line = np.asarray(values), '-'
    if isinstance(dimension, _dimension.LogUniform) or getattr(dimension, 'log', False):
      ax.set_xscale('log')
      ax.set_xlim(x.min() / 1.5, x.max() * 1.5)
  order = np.argsort(x, kind='stable')
  _losses.u_curve(ax, x[order], losses[order], status[order], line)
  if result.best is not None:
    best = result.best[name]
    shown = f'{best:.2g}' if isinstance(best, float) else best
    at = x[values.index(best)]
    ax.axvline(at, color=_style.GREEN, zorder=0, label=f'best: {shown}')
  ended = ' at the end' if result.history else ''
  ax.set_xlabel(_label(name, result) + ended)


def _draw_progress(
    ax: Any, result: tune.Searched, losses: np.ndarray, status: np.ndarray
) -> None:
  """The loss of each point, and the lowest so far."""
  count = np.arange(1, len(losses) + 1)
  whole = status == _losses.FINISHED
  stopped = status == _losses.STOPPED
  if whole.any():
    best = np.fmin.accumulate(np.where(whole, losses, np.nan))
    ax.plot(count[whole], losses[whole], 'o', color=_style.FAINT, label='a point')
    ax.plot(
        count, best, color=_style.BLUE, drawstyle='steps-post', zorder=3,
        label='best so far',
    )
  if stopped.any():
    ax.plot(
        count[stopped], losses[stopped], 'o', color=_style.FAINT,
        markerfacecolor='white', label=_losses.STOPPED,
    )
  _losses.mark_diverged(ax, count[status == _losses.DIVERGED])
  _losses.set_axis(ax, losses[whole | stopped])
  from matplotlib import ticker

  ax.xaxis.set_major_locator(ticker.MaxNLocator(8, integer=True))
  ax.set_xlim(0.5, len(losses) + 0.5)
  ax.set_xlabel('points tried')
  ax.set_ylabel('validation loss')
  ax.set_title(f'Search of {result.task} ({result.method})')


def _draw_history(ax: Any, result: tune.Searched) -> None:
  """What the best member of a population went through."""
  names = list(result.space)
  name = 'learning_rate' if 'learning_rate' in names else names[0]
  steps = [step for step, _ in result.history]
  values = [point[name] for _, point in result.history]
  ax.plot(
      [*steps, result.steps], [*values, values[-1]], color=_style.BLUE,
      drawstyle='steps-post',
  )
  ax.plot(steps, values, 'o', color=_style.BLUE, markersize=5)
  if isinstance(result.space[name], _dimension.LogUniform):
    ax.set_yscale('log')
    _losses.write_plainly(ax.yaxis)
  ax.set_xlabel('step')
  ax.set_ylabel(_label(name, result))
  ax.set_title(f'The best of the population on {result.task}')


def _label(name: str, result: tune.Searched) -> str:
  if name != 'learning_rate':
    return name
  if result.schedule == 'constant':
    return 'learning rate'
  return f'peak learning rate ({result.schedule} schedule)'
