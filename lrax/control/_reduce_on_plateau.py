"""Cuts the rate when a metric has stopped to improve."""

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


class PlateauMemory(NamedTuple):
  """What `reduce_on_plateau` remembers."""

  scale: jax.Array  # rate dtype, (): the factor it gives, 1 at the start
  best: jax.Array  # rate dtype, (): the best cost, inf before any
  bad: jax.Array  # int32, (): evaluations in a row without improvement
  cooling: jax.Array  # int32, (): evaluations left of the cooldown


def _start(**_) -> tuple[Any, PlateauMemory]:
  one, zero = _evaluation.one(), _evaluation.zero()
  return one, PlateauMemory(one, _evaluation.infinite(), zero, zero)


@_closed_loop.closed_loop(
    _start,
    factor=_evaluation.factor,
    patience=_evaluation.count,
    rtol=_checks.non_negative,
    atol=_checks.non_negative,
    cooldown=_evaluation.count,
    min_scale=_evaluation.min_scale,
    mode=_evaluation.mode,
    patience_style=_checks.choice('paper', 'pytorch', 'keras'),
    signal=_evaluation.signal,
)
def reduce_on_plateau(
    memory: PlateauMemory,
    step: jax.Array,
    signals: _types.Signals,
    factor: Numeric = 0.1,
    patience: Numeric = 10,
    rtol: Numeric = 1e-4,
    atol: Numeric = 0.0,
    cooldown: Numeric = 0,
    min_scale: Numeric = 0.0,
    mode: str = 'min',
    patience_style: str = 'paper',
    signal: str = 'value',
):
  """A factor that is cut each time a metric has stopped to improve.

  It starts at 1 and multiplies a schedule or a number: `0.1 *
  lrax.control.reduce_on_plateau()`. After a warmup, `(schedule *
  reduce_on_plateau()).with_warmup(500)`, it hears nothing until the warmup has
  ended, and a `.cooldown(at, steps)` falls from what it gave last. A bound of
  the rate itself is `.clip(min_value)` of the product.

  A metric that is not finite never becomes the best and is no improvement.

  Formula:
    for 'min', an evaluation is an improvement where
      metric < best - (rtol * |best| + atol)
    for 'max', where
      metric > best + (rtol * |best| + atol)
    bad = 0 after an improvement or during a cooldown, else bad + 1
    where bad reaches patience: scale = max(scale * factor, min_scale), bad = 0,
      and the next `cooldown` evaluations do not count
    rate = scale

  Args:
    factor: what each cut multiplies by, a number in (0, 1).
    patience: evaluations in a row without improvement that bring a cut, a
      whole number >= 0; 0 is as 1. With `signal='value'` every update is one,
      so ten are few: take hundreds, and `lrax.control.averaged`.
    rtol: the least improvement as a share of the best's size, a finite number
      >= 0; right for negative metrics too.
    atol: the least improvement in the metric's unit, a finite number >= 0.
    cooldown: evaluations after a cut that do not count as bad, a whole number
      >= 0; the best is still followed.
    min_scale: the least factor, in [0, 1].
    mode: 'min' for a loss, 'max' for an accuracy.
    patience_style: 'paper' cuts at the evaluation number `patience` without
      improvement; 'pytorch' at the one after it; 'keras' as 'paper', but the
      last evaluation of a cooldown counts.
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
    The patience is that of Goodfellow, Bengio and Courville, "Deep Learning",
    2016, algorithm 7.1, and of Optax's `contrib.reduce_on_plateau`, which for a
    patience of 0 cuts on improvements only. PyTorch's `ReduceLROnPlateau` waits
    one more, and leaves out cuts smaller than its `eps`; Keras' has an absolute
    threshold only (rtol=0.0, atol=1e-4). In PyTorch and Optax the relative
    threshold is rtol * best, so that a constant negative loss improves for
    ever. `optax.MultiSteps` hands on the `value` of the last micro-batch only:
    average it over the micro-batches first, or use 'report'.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(0.5 * lrax.control.reduce_on_plateau(0.5, patience=2))
    >>> params, rates = {'w': jnp.ones(())}, []
    >>> state = tx.init(params)
    >>> for loss in (1.0, 0.9, 0.9, 0.9, 0.8):
    ...   _, state = tx.update(params, state, params, value=loss)
    ...   rates.append(float(lrax.get_learning_rate(state)))
    >>> rates
    [0.5, 0.5, 0.5, 0.25, 0.25]
  """
  del step
  heard, cost = _evaluation.hear('reduce_on_plateau', signals, mode, signal)
  improved = _evaluation.better(cost, memory.best, rtol, atol)
  # Keras counts a cooldown down before it looks, the others after it.
  cooling = memory.cooling > (1 if patience_style == 'keras' else 0)
  bad = jnp.where(improved | cooling, 0, memory.bad + 1)
  endured = patience + 1 if patience_style == 'pytorch' else patience
  cut = bad >= jnp.maximum(endured, 1)
  lower = jnp.maximum(memory.scale * factor, min_scale)
  new = PlateauMemory(
      scale=jnp.where(cut, lower, memory.scale),
      best=jnp.where(improved, cost, memory.best),
      bad=jnp.where(cut, 0, bad),
      cooling=jnp.where(cut, cooldown, jnp.maximum(memory.cooling - 1, 0)),
  )
  memory = _evaluation.hold(heard, new, memory)
  return memory.scale, memory
