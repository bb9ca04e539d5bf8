"""Backtracking until the loss on the same batch has fallen enough."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _along
from lrax.control import _closed_loop

_within = lambda advice: _checks.number(
    'a number in (0, 1)', lambda x: 0 < x < 1, advice
)
_trials = _checks.number(
    'a whole number >= 1 and < 2**31',
    lambda x: 1 <= x < 2**31,
    'count evaluations of the loss',
    whole=True,
)


class LineSearchMemory(NamedTuple):
  """What `line_search` remembers."""

  previous: jax.Array  # rate dtype, (): the last rate tried; first `max_value`
  started: jax.Array  # bool, (): whether there was a search; the first may not grow


def _start(*, max_value, **_) -> tuple[Any, LineSearchMemory]:
  highest = jnp.asarray(max_value, _types.rate_dtype())
  return highest, LineSearchMemory(highest, jnp.zeros((), bool))


@_closed_loop.closed_loop(
    _start,
    max_value=_checks.positive,
    c=_within('the share of the promised fall that is asked for; 0.1 is usual'),
    factor=_within('each trial that fails is multiplied by it'),
    doubling_steps=_checks.optional(_checks.positive_steps),
    max_trials=_trials,
)
def line_search(
    memory: LineSearchMemory,
    step: jax.Array,
    signals: _types.Signals,
    max_value: Numeric = 1.0,
    c: Numeric = 0.1,
    factor: Numeric = 0.9,
    doubling_steps: Numeric | None = None,
    max_trials: Numeric = 100,
):
  """The largest rate of a backtracking search that lowers the batch's loss enough.

  Give `update` the loss as `value=`, and as `value_fn=` a function of the
  parameters that gives the loss on the same batch, with the same dropout. Each
  trial is one evaluation of it. The search starts from the highest rate, or, with
  `doubling_steps`, from a little above the last one, which is much cheaper.

  The direction may be another than the gradient, that of Adam for example; then
  give the gradient as `grad=`. It does not go into `optax.partition`, whose groups
  do not see all of the parameters.

  Under `jax.pmap` or `jax.shard_map` wrap the policy in
  `lrax.control.averaged(..., axis_name=...)`, which averages the loss and
  `value_fn` over devices, so that all make the same trials; without smoothing, as
  a loss averaged over time is not that of this batch.

  Formula:
    rate = start * factor ** k, k the first of 0, 1, ..., max_trials - 1 with
      value_fn(params - rate * direction) <= value - c * rate * slope + rounding
    slope = sum(grad * direction), for gradient descent |grad| ** 2
    start = min(2 ** (1 / doubling_steps) * previous, max_value)

    rounding is the spacing of the loss's numbers at `value`, so that the search
    ends where no fall can be seen any more. The rate is 0 where no trial will do,
    and the next search goes on from the last one; and without a search where the
    loss or the slope is not finite, or the slope is below 0, as a momentum's may be

  Args:
    max_value: the rate that the first search starts from, and the highest: a
      finite number > 0.
    c: the share of the fall that the slope promises which is asked for, in (0, 1).
    factor: what a trial that fails is multiplied by, in (0, 1).
    doubling_steps: updates in which the start may double, a whole number >= 1, in
      the paper those of an epoch; None to start from `max_value` each time.
    max_trials: the most evaluations in one search, a whole number >= 1.

  Returns:
    A closed-loop `lrax.Schedule`. Under `jax.vmap` all make as many trials as the
    one that needs most.

  Raises:
    TypeError: an argument, or a loss, is no real scalar, or `value_fn` no function.
    ValueError: an argument is out of range; or, from `update`, `value`, `value_fn`
      or `params` is missing.

  Source:
    Vaswani, Mishkin, Laradji, Schmidt, Gidel and Lacoste-Julien, "Painless
    stochastic gradient: interpolation, line-search, and convergence rates", 2019,
    equation 1, algorithms 1 and 2: the reset of option 1 is None, that of option 2
    `doubling_steps`, with c = 0.1, factor = 0.9 and a doubling in an epoch. Where
    no trial will do their code takes a step of 1e-6; here there is none.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> loss = lambda w: 4 * w ** 2
    >>> tx = lrax.sgd(lrax.control.line_search(factor=0.5))
    >>> w = jnp.array(1.0)
    >>> value, grad = jax.value_and_grad(loss)(w)
    >>> _, state = tx.update(grad, tx.init(w), w, value=value, value_fn=loss)
    >>> float(lrax.get_learning_rate(state))
    0.125
  """
  del step
  value = _along.loss('line_search', signals)
  after, direction = _along.loss_along('line_search', signals)
  slope = _along.inner(direction, _along.gradient('line_search', signals))
  usable = jnp.isfinite(value) & jnp.isfinite(slope) & (slope >= 0)
  slope = jnp.where(usable, slope, 0)
  # The spacing in the dtype in which the loss was computed, not this one's.
  kind = jnp.result_type(signals.extra_args['value'])
  if not jnp.issubdtype(kind, jnp.floating):
    kind = value.dtype
  rounding = jnp.finfo(kind).eps * jnp.abs(value)

  start = jnp.asarray(max_value, value.dtype)
  if doubling_steps is not None:
    growth = jnp.exp2(1 / jnp.asarray(doubling_steps, value.dtype))
    growth = jnp.where(memory.started, growth, 1)
    start = jnp.minimum(growth * memory.previous, start)

  def enough(rate: jax.Array) -> jax.Array:
    return after(rate) <= value - c * rate * slope + rounding

  def goes_on(search: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    _, tried, found = search
    return ~found & (tried < max_trials) & usable & signals.active

  def shrink(search: tuple[jax.Array, jax.Array, jax.Array]) -> Any:
    rate, tried, _ = search
    rate = jnp.where(tried == 0, rate, rate * factor).astype(value.dtype)
    return rate, tried + 1, enough(rate)

  begin = (start.astype(value.dtype), jnp.zeros((), jnp.int32), jnp.zeros((), bool))
  rate, _, found = jax.lax.while_loop(goes_on, shrink, begin)
  # A rate that has gone to 0 could never grow again.
  last = jnp.maximum(rate, jnp.finfo(rate.dtype).tiny)
  previous = jnp.where(usable, last, memory.previous)
  memory = LineSearchMemory(previous, memory.started | usable)
  return jnp.where(found, rate, 0), memory
