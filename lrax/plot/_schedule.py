"""The figure of schedules: the rate over the steps."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import re
import textwrap
from typing import Any

import numpy as np

from lrax import _checks
from lrax import _policy
from lrax import _types
from lrax import schedules as schedules_
from lrax.plot import _length
from lrax.plot import _style

# So many steps are all drawn; more than a figure has pixels would not be seen.
_MOST_POINTS = 4000


def schedule(
    *schedules: Any,
    steps: int | None = None,
    labels: Sequence[str] | None = None,
    axes: Any = None,
    log: bool = False,
) -> Any:
  """Draws the rate of one schedule, or of several over each other.

  Args:
    *schedules: open-loop `lrax.Schedule`s, or functions of the step such as
      optax schedules; at least one.
    steps: the last step to draw, a whole number >= 1; None for a little more
      than the longest schedule, of which an endless one shows four rounds.
    labels: what to call each; None for the expressions that made them.
    axes: matplotlib axes to draw on; None for a new figure.
    log: whether the rates are on a log axis, where a rate of 0 cannot be seen.

  Returns:
    The matplotlib axes. Every step is drawn up to 4,000 steps; past that the
    points are evenly spaced, and hold both ends and each change of a part.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.
    TypeError: one is no schedule, or is closed loop: its rate depends on a
      training.
    ValueError: there is none, `steps` is out of range, or there are not as many
      labels.

  Source:
    lrax's own.

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import lrax
    >>> policy = lrax.cosine_annealing(0.1, steps=100)
    >>> axes = lrax.plot.schedule(policy, policy.with_warmup(10))
    >>> len(axes.lines)
    2
  """
  drawn = [_open_loop(one) for one in schedules]
  if not drawn:
    raise _checks.refuse(
        'plot.schedule', 'schedules', 'at least one schedule', schedules, 'pass one'
    )
  if labels is not None and len(labels) != len(drawn):
    raise _checks.refuse(
        'plot.schedule', 'labels', f'{len(drawn)}, one for each schedule',
        list(labels), 'leave them out to see the expressions',
    )
  if steps is None:
    last = min(int(1.05 * _length.length(drawn)) + 1, _types.MAX_STEP)
  else:
    last = _checks.positive_steps('plot.schedule', 'steps', steps)
  is_new, axes = axes is None, _style.axes(axes)
  indent = '    ' * (len(drawn) > 1)
  texts = labels or [repr(one) for one in drawn]
  names = [_folded(text, axes, indent) for text in texts]
  at = _length.steps_to_show(drawn, last, _MOST_POINTS)
  rates = [np.asarray(one(at), np.float64) for one in drawn]
  for index, (name, rate) in enumerate(zip(names, rates)):
    axes.plot(
        at, rate, label=name, color=_style.LINES[index % len(_style.LINES)],
        # Where two are the same, both are seen.
        linewidth=1.6 + 1.2 * (1 - index / len(drawn)) * (len(drawn) > 1),
        marker='.' if last <= 40 else None,
    )
  _set_axes(axes, last, np.concatenate(rates), log)
  if len(drawn) == 1:
    axes.set_title(names[0], fontsize='medium')
  else:
    rows = _put_legend_below(axes, names)
    if is_new:
      axes.figure.set_figheight(4.2 + 0.17 * rows)
  return axes


def _open_loop(value: Any) -> _policy.Schedule:
  if callable(value) and not isinstance(value, _policy.Schedule):
    value = schedules_.from_function(value)
  if not isinstance(value, _policy.Schedule):
    raise _checks.refuse(
        'plot.schedule', 'schedules', 'schedules', value,
        'write a number as lrax.constant(number)', TypeError,
    )
  if value.closed_loop:
    raise _checks.refuse(
        'plot.schedule', 'schedules', 'open loop', value,
        'the rate of a closed-loop policy depends on the training: draw what'
        ' lrax.get_learning_rate gave while it ran', TypeError,
    )
  return value


def _width(axes: Any) -> int:
  """How many characters go into the width of the axes."""
  return max(20, int(14 * axes.get_window_extent().width / axes.figure.dpi))


def _folded(label: str, axes: Any, indent: str) -> str:
  """The label over several lines, broken before a method or an argument."""
  fold = functools.partial(
      textwrap.wrap, width=_width(axes), subsequent_indent=indent,
      break_on_hyphens=False,
  )
  # A space is where a line may break.
  lines = [fold(re.sub(r'\)\.(?=\w)', ') .', line)) for line in label.splitlines()]
  return '\n'.join(line for part in lines for line in part).replace(') .', ').')


def _put_legend_below(axes: Any, names: Sequence[str]) -> int:
  """A legend of expressions is too long to stand among the lines; its rows."""
  from matplotlib import transforms

  inch = axes.figure.dpi_scale_trans
  place = axes.transAxes + transforms.ScaledTranslation(0, -0.5, inch)
  longest = max(len(line) for name in names for line in name.splitlines())
  columns = max(1, _width(axes) // (longest + 8))
  axes.legend(
      loc='upper left', bbox_to_anchor=(0, 0), bbox_transform=place, ncols=columns,
      borderaxespad=0, frameon=False, fontsize='small',
  )
  return -(-sum(name.count('\n') + 1 for name in names) // columns)


def _set_axes(axes: Any, last: int, rates: np.ndarray, log: bool) -> None:
  from matplotlib import ticker

  axes.set_xlim(-0.01 * last, 1.01 * last)
  axes.xaxis.set_major_locator(
      ticker.MaxNLocator(6, integer=True, steps=[1, 2, 2.5, 5, 10])
  )
  axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
  if log and rates.max() > 0:
    axes.set_yscale('log')
  else:
    top = rates.max() or 1.0
    axes.set_ylim(-0.03 * top, 1.05 * top)
  axes.grid(color=_style.FAINT, alpha=0.4, linewidth=0.6)
  axes.set_xlabel('step')
  axes.set_ylabel('learning rate')
