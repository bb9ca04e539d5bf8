"""Raises the rate while a metric improves, and cuts it while it does not."""

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


class GreedyMemory(NamedTuple):
  """What `greedy` remembers."""

  scale: jax.Array  # rate dtype, (): the factor it gives, 1 at the start
  best: jax.Array  # rate dtype, (): the best cost, inf before any
  good: jax.Array  # int32, (): evaluations in a row that improved
  bad: jax.Array  # int32, (): evaluations in a row that did not
  cooling: jax.Array  # int32, (): evaluations left to wait after a change


def _start(**_) -> tuple[Any, GreedyMemory]:
  one, zero = _evaluation.one(), _evaluation.zero()
  return one, GreedyMemory(one, _evaluation.infinite(), zero, zero, zero)


@_closed_loop.closed_loop(
    _start,
    factor=_evaluation.factor,
    patience=_evaluation.count,
    rtol=_checks.non_negative,
    atol=_checks.non_negative,
    cooldown=_evaluation.count,
    min_scale=_evaluation.min_scale,
    max_scale=_evaluation.max_scale,
    mode=_evaluation.mode,
    signal=_evaluation.signal,
)
def greedy(
    memory: GreedyMemory,
    step: jax.Array,
    signals: _types.Signals,
    factor: Numeric = 0.95,
    patience: Numeric = 10,
    rtol: Numeric = 0.0,
    atol: Numeric = 1e-6,
    cooldown: Numeric = 0,
    min_scale: Numeric = 1e-3,
    max_scale: Numeric = 10.0,
    mode: str = 'min',
    signal: str = 'value',
):
  """A factor that rises while a metric improves and falls while it does not.

  It starts at 1 and multiplies a schedule or a number, as
  `lrax.control.reduce_on_plateau` does. A metric that is not finite never
  becomes the best and is no improvement.

  Formula:
    for 'min', an evaluation is good where
      metric < best - (rtol * |best| + atol)
    for 'max', where
      metric > best + (rtol * |best| + atol)
    after more than `patience` good ones in a row:
      scale = min(scale / factor, max_scale)
    after more than `patience` others in a row:
      scale = max(scale * factor, min_scale)
    after either, both counts start anew, and the next `cooldown` evaluations
      are passed over: they neither count nor become the best
    rate = scale

  Args:
    factor: what a cut multiplies and a raise divides by, a number in (0, 1).
    patience: evaluations in a row that are endured before a change, a whole
      number >= 0; 0 changes the factor at every one.
    rtol: the least improvement as a share of the best's size, a finite number
      >= 0.
    atol: the least improvement in the metric's unit, a finite number >= 0.
    cooldown: evaluations passed over after a change, a whole number >= 0.
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
    Subramanian, Krishnamoorthy and Murthy, "Dynamic Learning Rate Scheduling
    based on Loss Changes Leads to Faster Convergence", 2025 (arXiv 2512.14527).
    Transformers' `GreedyLR` bounds the rate itself, by 1e-3 and 1 however small
    the rate is; here the factor is bounded. It waits `cooldown` evaluations
    after a cut and `warmup` after a raise; here one number serves both. Its
    average over the last 50 is `lrax.control.averaged`, and its return to the
    start after 500 cuts at the minimum is left to you. Its first evaluation is
    a good one, and so is it here.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(lrax.control.greedy(0.5, patience=0, max_scale=4.0))
    >>> params, rates = {'w': jnp.ones(())}, []
    >>> state = tx.init(params)
    >>> for loss in (3.0, 2.0, 2.5, 2.5):
    ...   _, state = tx.update(params, state, params, value=loss)
    ...   rates.append(float(lrax.get_learning_rate(state)))
    >>> rates
    [2.0, 4.0, 2.0, 1.0]
  """
  del step
  heard, cost = _evaluation.hear('greedy', signals, mode, signal)
  counts = memory.cooling == 0
  improved = _evaluation.better(cost, memory.best, rtol, atol)
  good = jnp.where(counts & improved, memory.good + 1, 0)
  bad = jnp.where(counts & ~improved, memory.bad + 1, 0)
  raised, cut = good > patience, bad > patience
  higher = jnp.minimum(memory.scale / factor, max_scale)
  lower = jnp.maximum(memory.scale * factor, min_scale)
  changed = raised | cut
  new = GreedyMemory(
      scale=jnp.where(raised, higher, jnp.where(cut, lower, memory.scale)),
      best=jnp.where(counts & improved, cost, memory.best),
      good=jnp.where(changed, 0, good),
      bad=jnp.where(changed, 0, bad),
      cooling=jnp.where(changed, cooldown, jnp.maximum(memory.cooling - 1, 0)),
  )
  memory = _evaluation.hold(heard, new, memory)
  return memory.scale, memory
