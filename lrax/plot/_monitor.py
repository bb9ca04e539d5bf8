"""The figure of a run's history: what its loss, rate and updates did."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrax import _checks
from lrax import diagnose
from lrax.plot import _losses
from lrax.plot import _many_points
from lrax.plot import _style

_UNITS = {'updates': 'step', 'epochs': 'epoch', 'rows': 'row of the log'}
# Below the top of a panel, in shares of its height.
_STRIP, _BELOW = 0.96, 0.055
# Rates are on a log axis where this share of them is so many times below the highest.
_EARLY, _FAR = 0.15, 30
_OF_LOGS = ('gradient_norm', 'cosine')  # what is drawn of a log that a monitor filled
_SAME = 0.05  # apart by less than this share of them, values are nearly the same


def monitor(
    result: diagnose.History | diagnose.Diagnosis,
    diagnosis: diagnose.Diagnosis | None = None,
    axes: Any = None,
) -> Any:
  """Draws what a run did: a panel for each thing that was measured.

  Loss and validation loss, the learning rate, and of a monitor's history the norm
  of the gradient, the ratio of update to parameters, the cosine between successive
  updates, and the quantiles of the rate that each parameter really gets. The
  panel of the losses shows the signs that a diagnosis found as bars over the steps
  that they are about, and a cross where the loss was not finite. What has no finite
  value has no panel. Of more than 300 rows the median of each short stretch is drawn
  over the values, which are faint.

  Args:
    result: what `lrax.diagnose.history` or `lrax.diagnose.diagnose` returned.
    diagnosis: what was diagnosed from a history, to mark its signs.
    axes: matplotlib axes, which are filled in that order; those left over are
      hidden. None for a new figure.

  Returns:
    The axes that were drawn on, a list.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.
    TypeError: `result` or `diagnosis` is something else.
    ValueError: there are fewer axes than panels.

  Source:
    lrax's own.

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import lrax
    >>> found = lrax.diagnose.diagnose(
    ...     loss=[2.0, 1.5, 1.2, 1.1], learning_rate=[0.1, 0.1, 0.05, 0.05])
    >>> [axes.get_ylabel() for axes in lrax.plot.monitor(found)]
    ['loss', 'learning rate']
  """
  shown: diagnose.History | diagnose.Log | diagnose.Diagnosis = result
  if isinstance(result, diagnose.Diagnosis) and diagnosis is None:
    diagnosis, shown = result, result.log
  elif not isinstance(result, diagnose.History):
    raise _checks.refuse(
        'plot.monitor', 'result', 'a History or a Diagnosis', type(result).__name__,
        'lrax.diagnose.history(rows) makes one', TypeError,
    )
  if not isinstance(diagnosis, diagnose.Diagnosis | None):
    raise _checks.refuse(
        'plot.monitor', 'diagnosis', 'a Diagnosis or None', type(diagnosis).__name__,
        'pass what lrax.diagnose.diagnose returned', TypeError,
    )
  from matplotlib import ticker

  panels = [_loss_panel(shown, diagnosis), *_panels(shown)]
  axes = _axes(axes, len(panels))
  unit = _UNITS[getattr(shown, 'unit', 'updates')]
  for ax, draw in zip(axes, panels):
    draw(ax)
    ax.set_xlabel(unit)
    ax.xaxis.set_major_locator(
        ticker.MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10])
    )
    ax.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,g}'))
    ax.grid(color=_style.FAINT, alpha=0.4, linewidth=0.6)
    _style.legend_above(ax, columns=3)
  return list(axes)


def _axes(axes: Any, count: int) -> list[Any]:
  """As many axes as there are panels."""
  if axes is None:
    columns = min(count, 2 if count in (2, 4) else 3)
    rows = -(-count // columns)
    size = (max(6.4, 5 * columns), max(4.2, 3.8 * rows))
    axes = _style.pyplot().subplots(
        rows, columns, figsize=size, layout='constrained', squeeze=False
    )[1]
  every = list(np.ravel(axes))
  if len(every) < count:
    raise _checks.refuse(
        'plot.monitor', 'axes', f'at least {count}, one for each panel', len(every),
        'leave them out for a new figure',
    )
  for ax in every[count:]:
    ax.set_axis_off()
  return every[:count]


def _loss_panel(
    result: Any, diagnosis: diagnose.Diagnosis | None
) -> Callable[[Any], None]:

  def draw(ax: Any) -> None:
    step, loss = result.step, result.loss
    signs = _signs(diagnosis)
    written = ~_missing(result)
    _many_points.line(
        ax, step[written], loss[written], color=_style.BLUE, linewidth=1.2,
        label='training loss',
    )
    checked = np.isfinite(result.validation_loss)
    if checked.any():
      few = checked.sum() <= 50
      _many_points.line(
          ax, step[checked], result.validation_loss[checked], color=_style.LINES[1],
          linewidth=1.6, label='validation loss', marker='o' if few else None,
          markersize=3,
      )
    _losses.set_axis(
        ax, np.concatenate([loss, result.validation_loss]),
        above=0.12 + 0.08 * len(signs),
    )
    lost = written & ~np.isfinite(loss)
    if lost.any():
      ax.plot(
          step[lost], [_STRIP] * lost.sum(), 'x', color=_style.RED,
          label='not finite', transform=ax.get_xaxis_transform(),
      )
    for row, (steps, sign) in enumerate(signs.items(), start=int(lost.any())):
      ax.plot(
          steps, [_STRIP - _BELOW * row] * 2, '|-', linewidth=3, markersize=9,
          markeredgewidth=2, color=_style.LINES[2:][row % len(_style.LINES[2:])],
          label=sign, transform=ax.get_xaxis_transform(),
      )
    ax.set_ylabel('loss')
    ax.set_title(diagnosis.verdict if diagnosis else '')

  return draw


def _signs(diagnosis: diagnose.Diagnosis | None) -> dict[tuple[float, float], str]:
  """The signs that were found, by the steps that they are about."""
  found: dict[tuple[float, float], list[str]] = {}
  for one in diagnosis.evidence if diagnosis else ():
    if one.fulfilled and np.isfinite(one.steps).all():
      found.setdefault(one.steps, []).append(one.sign)
  more = lambda names: f' and {len(names) - 1} more' if len(names) > 1 else ''
  return {steps: names[0] + more(names) for steps, names in found.items()}


def _missing(result: Any) -> np.ndarray:
  """Where no loss was written: that is no loss which is not finite."""
  if result.missing.any() or not isinstance(result, diagnose.History):
    return result.missing
  # Arrays cannot tell. What ends in nothing but NaN was no longer finite.
  finite = np.flatnonzero(np.isfinite(result.loss))
  last = finite[-1] if len(finite) else -1
  within = np.arange(len(result.loss)) < last
  return np.isnan(result.loss) & (within | np.isfinite(result.validation_loss))


def _panels(result: Any) -> list[Callable[[Any], None]]:
  """The others of which there is something to show."""
  values, found = getattr(result, 'values', None), []
  if values is None:  # of a log
    values = {f'monitor_{name}': getattr(result, name) for name in _OF_LOGS}
  if np.isfinite(result.learning_rate).any():
    found.append(lambda ax: _draw_rate(ax, result.step, result.learning_rate))
  at = _measured(values, len(result.step))
  steps = result.step[at]
  for key, label in (
      ('monitor_gradient_norm', 'gradient norm'),
      ('monitor_update_ratio', 'update / parameters'),
      ('monitor_cosine', 'cosine of successive updates'),
  ):
    series = {
        name.removeprefix(key).removeprefix('/'): array[at]
        for name, array in sorted(values.items())
        if name == key or name.startswith(f'{key}/')
    }
    if any(np.isfinite(array).any() for array in series.values()):
      found.append(lambda ax, s=series, n=label: _draw(ax, steps, s, n))
  quantiles = {
      name[-2:]: values[name][at]
      for name in (f'monitor_rate_{q}' for q in ('05', '25', '50', '75', '95'))
      if name in values
  }
  if len(quantiles) == 5 and np.isfinite(quantiles['50']).any():
    found.append(lambda ax: _draw_quantiles(ax, steps, quantiles))
  return found


def _measured(values: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
  """The rows with a measurement of their own; others repeat an earlier one."""
  step = values.get('monitor_step')
  if step is None:
    return np.arange(rows)
  new = np.diff(step, prepend=0.0) != 0  # 0: nothing was measured yet
  return np.flatnonzero(new & np.isfinite(step) & (step > 0))


def _draw_rate(ax: Any, steps: np.ndarray, rates: np.ndarray) -> None:
  known = np.isfinite(rates)
  ax.plot(
      *_many_points.extremes(steps[known], rates[known]), color=_style.GREEN,
      linewidth=1.4, marker='o' if known.sum() == 1 else None,
  )
  ax.set_ylabel('learning rate')
  # Not for the last steps of a decay to 0.
  low, high = np.quantile(rates[known], [_EARLY, 1.0])
  if 0 < low < high / _FAR and rates[known].min() > 0:
    ax.set_yscale('log')
  else:
    _give_room(ax, rates[known])


def _draw(ax: Any, steps: np.ndarray, series: dict[str, np.ndarray], name: str) -> None:
  """Lines by the name of their group; that of '' is over all."""
  colours = [c for c in _style.LINES if c != _style.BLUE]
  for index, (group, array) in enumerate((g, a) for g, a in series.items() if g):
    colour = colours[index % len(colours)]
    _many_points.line(
        ax, steps, array, raw=False, color=colour, linewidth=1.1, label=group
    )
  if '' in series:
    label = 'over all' if len(series) > 1 else None
    _many_points.line(
        ax, steps, series[''], color=_style.BLUE, linewidth=1.6, label=label
    )
  every = np.concatenate(list(series.values()))
  if name.startswith('cosine'):
    ax.axhline(0, color='black', linewidth=0.6)
    ax.set_ylim(-1.05, 1.05)
  else:
    _set_scale(ax, every)
  ax.set_ylabel(name)


def _draw_quantiles(ax: Any, steps: np.ndarray, at: dict[str, np.ndarray]) -> None:
  for low, high, alpha in (('05', '95', 0.15), ('25', '75', 0.3)):
    ax.fill_between(
        steps, at[low], at[high], color=_style.BLUE, alpha=alpha, linewidth=0,
        label=f'{int(low)}% to {high}%',
    )
  ax.plot(steps, at['50'], color=_style.BLUE, linewidth=1.2, label='median')
  every = np.concatenate(list(at.values()))
  _set_scale(ax, every)
  if ax.get_yscale() == 'log':  # the last steps of a decay to 0 go down for ever
    ax.set_ylim(bottom=np.quantile(every[every > 0], 0.02) / 2)
  ax.set_ylabel('rate of a parameter')


def _set_scale(ax: Any, values: np.ndarray) -> None:
  """A log axis where they are far apart, those that are 0 left out; room if not."""
  _give_room(ax, values[np.isfinite(values)])
  positive = values[np.isfinite(values) & (values > 0)]
  if (values >= 0).sum() == np.isfinite(values).sum() and _losses.far_apart(positive):
    ax.set_yscale('log')
    if positive.max() < 1e3 * positive.min():
      _losses.write_plainly(ax.yaxis)


def _give_room(ax: Any, values: np.ndarray) -> None:
  """Values that are nearly the same are not drawn as far apart: it may be rounding."""
  low, high = values.min(), values.max()
  if high - low < _SAME * abs(high):
    ax.set_ylim(low - _SAME * abs(low), high + _SAME * abs(high))
