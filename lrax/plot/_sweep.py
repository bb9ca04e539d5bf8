"""The figure of a sweep: the losses over the rates, and the curves."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import tune
from lrax.plot import _colours
from lrax.plot import _losses
from lrax.plot import _style
from lrax.tune import _curves

_SMOOTHED = 0.02  # of a run, over which a curve is averaged


def sweep(result: tune.Sweep, axes: Any = None) -> Any:
  """Draws a sweep: the validation loss over the rates beside the training curves.

  On the left are the mean over the seeds with a band of one deviation, each seed,
  and the best rate. Rates at which a seed diverged are crosses at the top; those
  that were stopped early are hollow, with the loss that they had. On the right is
  a line a rate: the training loss, smoothed, the mean over the seeds as long as
  all of them run. It ends in a cross or a hollow circle where the run did.

  Args:
    result: what `lrax.tune.sweep` returned.
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
    >>> swept = lrax.tune.sweep(lrax.tasks.digits(), [1e-3, 1e-2], steps=20)
    >>> left, right = lrax.plot.sweep(swept)
    >>> left.get_xscale()
    'log'
  """
  if axes is None:
    plt = _style.pyplot()
    axes = plt.subplots(1, 2, figsize=(11.5, 4.2), layout='constrained')[1]
  left, right = axes
  rates = result.learning_rates
  left.set_xscale('log')
  _losses.u_curve(left, rates, result.validation_loss, result.status)
  if np.isfinite(result.best):
    left.axvline(result.best, color=_style.GREEN, label=f'best: {result.best:.2g}')
  left.set_xlim(rates[0] / 1.5, rates[-1] * 1.5)
  left.set_xlabel(_rate_label(result))
  steps = result.losses.shape[-1]
  left.set_title(f'{result.optimizer}, {steps} steps, {_style.seeds(result.seeds)}')
  left.legend()
  _draw_curves(right, result)
  return axes


def _draw_curves(ax: Any, result: tune.Sweep) -> None:
  rates = result.learning_rates
  colours = _colours.scale(rates, log=True)
  steps = np.arange(result.losses.shape[-1])
  curves = _smooth(result)
  for rate, curve, status in zip(rates, curves, result.status):
    best = rate == result.best
    colour = colours.to_rgba(rate)
    known = np.flatnonzero(np.isfinite(curve))
    ax.plot(
        steps, curve, color=colour, linewidth=2.6 if best else 1.2,
        zorder=3 if best else 2,
    )
    if len(known) and known[-1] < steps[-1]:
      gone = (status == _losses.DIVERGED).any()
      ax.plot(
          known[-1], curve[known[-1]], 'x' if gone else 'o',
          color=_style.RED if gone else colour, markerfacecolor='white',
          markersize=5, zorder=4,
      )
  # What left the frame at the top would flatten the rest.
  first = result.losses[..., 0]
  top = np.max(first, initial=-np.inf, where=np.isfinite(first))
  _losses.set_axis(ax, np.minimum(curves, top), 0.25)
  ax.set_xlabel('step')
  ax.set_ylabel('training loss, smoothed')
  ax.set_title(f'Training of {result.task}')
  if len(rates) > 1:
    _colours.bar(colours, ax, 'learning rate')


def _smooth(result: tune.Sweep) -> np.ndarray:
  """(rates, steps): the mean smoothed curves; NaN from where a seed ended."""
  curves = np.full(result.losses.shape, np.nan)
  keep = 1 - 1 / max(1.0, _SMOOTHED * result.losses.shape[-1])
  for place in np.ndindex(curves.shape[:-1]):
    finite = np.isfinite(result.losses[place])
    length = len(finite) if finite.all() else int(finite.argmin())
    curves[place][:length] = _curves.smooth(result.losses[place][:length], keep)
  return curves.mean(1)


def _rate_label(result: tune.Sweep) -> str:
  if result.schedule == 'constant':
    return 'learning rate'
  return f'peak learning rate ({result.schedule} schedule)'
