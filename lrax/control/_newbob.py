"""Cuts the rate when a metric gains too little on the one before."""

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


class NewbobMemory(NamedTuple):
  """What `newbob` remembers."""

  scale: jax.Array  # rate dtype, (): the factor it gives, 1 at the start
  previous: jax.Array  # rate dtype, (): the last finite cost, inf before any
  poor: jax.Array  # int32, (): poor evaluations since the last cut


def _start(**_) -> tuple[Any, NewbobMemory]:
  one = _evaluation.one()
  return one, NewbobMemory(one, _evaluation.infinite(), _evaluation.zero())


@_closed_loop.closed_loop(
    _start,
    factor=_evaluation.factor,
    patience=_evaluation.count,
    rtol=_checks.non_negative,
    min_scale=_evaluation.min_scale,
    mode=_evaluation.mode,
    signal=_evaluation.signal,
)
def newbob(
    memory: NewbobMemory,
    step: jax.Array,
    signals: _types.Signals,
    factor: Numeric = 0.5,
    patience: Numeric = 0,
    rtol: Numeric = 0.0025,
    min_scale: Numeric = 0.0,
    mode: str = 'min',
    signal: str = 'value',
):
  """A factor that is cut when a metric gains too little on the one before.

  It starts at 1 and multiplies a schedule or a number, as
  `lrax.control.reduce_on_plateau` does. It is meant for one evaluation an
  epoch: `signal='report'`.

  Formula:
    for 'min', an evaluation is poor where
      previous - metric < rtol * |previous|
    for 'max', where
      metric - previous < rtol * |previous|
    at every poor evaluation after `patience` of them:
      scale = max(scale * factor, min_scale), and the count starts anew
    rate = scale; the first metric is never poor; one that is not finite is
      poor and does not become `previous`

  Args:
    factor: what each cut multiplies by, a number in (0, 1).
    patience: poor evaluations that are endured before each cut, a whole number
      >= 0; they need not follow one another.
    rtol: the least gain as a share of the previous metric's size, a finite
      number >= 0; right for negative metrics too.
    min_scale: the least factor, in [0, 1].
    mode: 'min' for a loss or an error rate, 'max' for an accuracy.
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
    SpeechBrain's `NewBobScheduler` (Ravanelli et al., 2021), which divides by
    the previous metric itself, so that with a negative one a gain is poor. The
    older one of ICSI's QuickNet goes on to cut at every epoch once it has
    begun, and then stops the training: see `lrax.control.early_stop`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(lrax.control.newbob(signal='report'))
    >>> params, rates = {'w': jnp.ones(())}, []
    >>> state = tx.init(params)
    >>> for error_rate in (10.0, 2.0, 2.5):
    ...   state = lrax.report(state, error_rate)
    ...   _, state = tx.update(params, state)
    ...   rates.append(float(lrax.get_learning_rate(state)))
    >>> rates
    [1.0, 1.0, 0.5]
  """
  del step
  heard, cost = _evaluation.hear('newbob', signals, mode, signal)
  previous = memory.previous
  first = ~jnp.isfinite(previous)
  finite = jnp.isfinite(cost)
  gain = jnp.where(first | ~finite, 0, previous - cost)
  enough = gain >= rtol * jnp.where(first, 0, jnp.abs(previous))
  poor = memory.poor + jnp.where(finite & enough, 0, 1)
  cut = poor > patience
  lower = jnp.maximum(memory.scale * factor, min_scale)
  new = NewbobMemory(
      scale=jnp.where(cut, lower, memory.scale),
      previous=jnp.where(finite, cost, previous),
      poor=jnp.where(cut, 0, poor),
  )
  memory = _evaluation.hold(heard, new, memory)
  return memory.scale, memory
