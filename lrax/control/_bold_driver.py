"""A little faster while the loss falls, much slower when it rises."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _closed_loop
from lrax.control import _evaluation


class BoldDriverMemory(NamedTuple):
  """What `bold_driver` remembers."""

  scale: jax.Array  # rate dtype, (): the factor it gives, 1 at the start
  previous: jax.Array  # rate dtype, (): the last finite cost, inf before any


def _start(**_) -> tuple[Any, BoldDriverMemory]:
  one = _evaluation.one()
  return one, BoldDriverMemory(one, _evaluation.infinite())


@_closed_loop.closed_loop(
    _start,
    growth=_evaluation.growth,
    factor=_evaluation.factor,
    rtol=_checks.non_negative,
    min_scale=_evaluation.min_scale,
    max_scale=_evaluation.max_scale,
    mode=_evaluation.mode,
    signal=_evaluation.signal,
)
def bold_driver(
    memory: BoldDriverMemory,
    step: jax.Array,
    signals: _types.Signals,
    growth: Numeric = 1.05,
    factor: Numeric = 0.7,
    rtol: Numeric = 0.0,
    min_scale: Numeric = 1e-3,
    max_scale: Numeric = 10.0,
    mode: str = 'min',
    signal: str = 'value',
):
  """A factor that grows a little while the loss falls and is cut when it rises.

  It starts at 1 and multiplies a schedule or a number, as
  `lrax.control.reduce_on_plateau` does. It was made for the loss on all of the
  data: feed it that, or a smoothed one with `lrax.control.averaged`.

  Formula:
    for 'min', each metric compared with the one before:
      scale = min(scale * growth, max_scale)  where metric < previous
      scale = max(scale * factor, min_scale)  where
        metric > previous + rtol * |previous|
    for 'max' the same of -metric; between the two, and at the first metric, it
      stays; a metric that is not finite cuts it and does not become `previous`
    rate = scale

  Args:
    growth: what a raise multiplies by, a finite number >= 1.
    factor: what a cut multiplies by, a number in (0, 1).
    rtol: the rise that is let pass, as a share of the previous metric's size,
      a finite number >= 0.
    min_scale: the least factor, in [0, 1].
    max_scale: the largest factor, a finite number >= 1.
    mode: 'min' for a loss, 'max' for an accuracy.
    signal: 'value' hears `update(..., value=loss)`, at every update; 'report'
      hears `lrax.report(state, metric)`, at the update after it, and ignores
      `value`. A report that is not finite is a failed evaluation.

  Returns:
    A closed-loop `lrax.Schedule`.

  Raises:
    TypeError: an argument is no real scalar or no string.
    ValueError: an argument is out of range; or, from `update`, `value` is
      missing.

  Source:
    Vogl, Mangis, Rigler, Zink and Alkon, "Accelerating the convergence of the
    back-propagation method", 1988 (growth 1.05, factor 0.7); Battiti,
    "Accelerated backpropagation learning: two optimization methods", 1989,
    which names it and halves. Both also undo the step that raised the loss and
    let the momentum start anew; a policy of the rate cannot, and the loss after
    the bad step is the one compared with next. They set no bounds; here the
    factor has two, so that noise does not drive it to 0 for ever.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(0.5 * lrax.control.bold_driver(growth=1.5, factor=0.5))
    >>> params, rates = {'w': jnp.ones(())}, []
    >>> state = tx.init(params)
    >>> for loss in (3.0, 2.0, 2.0, 2.5):
    ...   _, state = tx.update(params, state, params, value=loss)
    ...   rates.append(float(lrax.get_learning_rate(state)))
    >>> rates
    [0.5, 0.75, 0.75, 0.375]
  """
  del step
  heard, cost = _evaluation.hear('bold_driver', signals, mode, signal)
  previous = memory.previous
  finite, first = jnp.isfinite(cost), ~jnp.isfinite(previous)
  size = jnp.where(first, 0, jnp.abs(previous))
  fell = (cost < previous) & ~first
  rose = (cost > previous + rtol * size) | ~finite
  higher = jnp.minimum(memory.scale * growth, max_scale)
  lower = jnp.maximum(memory.scale * factor, min_scale)
  new = BoldDriverMemory(
      scale=jnp.where(fell, higher, jnp.where(rose, lower, memory.scale)),
      previous=jnp.where(finite, cost, previous),
  )
  memory = _evaluation.hold(heard, new, memory)
  return memory.scale, memory
