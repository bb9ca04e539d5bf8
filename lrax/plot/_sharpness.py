"""The figure of the sharpness over a training, against the rate's limit."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import _checks
from lrax import stability
from lrax.plot import _losses
from lrax.plot import _style


def sharpness(curve: stability.SharpnessCurve, axes: Any = None) -> Any:
  """Draws the sharpness over a training, under the loss, and the rate's limit.

  Above the dashed line a step along the sharpest direction overshoots by more than
  it had to go: 2 / learning_rate for gradient descent, and in each method's own
  form. A run at a fixed rate often rises to the line and hovers there.

  Args:
    curve: what `lrax.stability.follow_sharpness` returned.
    axes: two matplotlib axes, for the loss and the sharpness; None for a new figure.

  Returns:
    The two matplotlib axes.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.
    TypeError: `curve` is something else.

  Source:
    Cohen, Kaur, Li, Kolter and Talwalkar, "Gradient Descent on Neural Networks
    Typically Occurs at the Edge of Stability", 2021.

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import lrax
    >>> curve = lrax.stability.follow_sharpness(
    ...     lrax.tasks.tumours(), 'sgd', 0.1, steps=40, every=20)
    >>> loss, sharpness = lrax.plot.sharpness(curve)
    >>> sharpness.get_ylabel()
    'sharpness'
  """
  if not isinstance(curve, stability.SharpnessCurve):
    raise _checks.refuse(
        'plot.sharpness', 'curve', 'a SharpnessCurve', type(curve).__name__,
        'lrax.stability.follow_sharpness makes one', TypeError,
    )
  if axes is None:
    axes = _style.pyplot().subplots(
        2, 1, sharex=True, figsize=(6.4, 5.6), layout='constrained'
    )[1]
  upper, lower = axes
  steps = np.asarray(curve.steps)
  dots = '.' if len(steps) <= 60 else None
  upper.plot(steps, curve.losses, color=_style.BLUE, linewidth=1.2, marker=dots)
  _losses.set_axis(upper, curve.losses, above=0.06)
  upper.set_ylabel('training loss')
  upper.set_title(
      f'{curve.task}, {curve.optimizer} at a rate of {curve.learning_rate:.3g}'
  )
  values, errors = np.asarray(curve.sharpness), np.asarray(curve.errors)
  known = np.isfinite(values)
  if errors[known].max(initial=0) > 0.01 * values[known].max(initial=0):  # seen
    lower.fill_between(
        steps, values - errors, values + errors, color=_style.BLUE, alpha=0.2,
        linewidth=0,
    )
  lower.plot(
      steps, values, color=_style.BLUE, linewidth=1.2, marker=dots, label='sharpness'
  )
  lower.plot(
      steps, curve.limits, color=_style.RED, linestyle='--', linewidth=1.2,
      label=f'limit of the rate: {curve.limits[-1]:.4g}',
  )
  _losses.set_axis(lower, np.concatenate([values, curve.limits]), above=0.1)
  if lower.get_yscale() == 'linear':
    lower.set_ylim(bottom=min(0.0, values[known].min(initial=0)))
  lower.set_xlabel('step')
  method = curve.method.lower()
  divided = 'adam' in method or 'rmsprop' in method
  lower.set_ylabel('preconditioned sharpness' if divided else 'sharpness')
  for ax in axes:
    ax.grid(color=_style.FAINT, alpha=0.4, linewidth=0.6)
  _style.legend_above(lower)
  return axes
