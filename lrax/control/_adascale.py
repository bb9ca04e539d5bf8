"""AdaScale: how many times larger a step a larger batch allows."""

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

_shards = _checks.number(
    'a whole number >= 2 and < 2**31',
    lambda x: 2 <= x < 2**31,
    'the noise is seen from how the gradients of shards differ',
    whole=True,
)


class AdaScaleMemory(NamedTuple):
  """What `adascale` remembers; both are sums with the same weights."""

  variance: jax.Array  # rate dtype, (): of the gradient of one shard; 0 at first
  square: jax.Array  # rate dtype, (): squared norm of the true gradient; 0 at first


def _start(**_) -> tuple[Any, AdaScaleMemory]:
  zero = jnp.zeros((), _types.rate_dtype())
  return 1.0, AdaScaleMemory(zero, zero)


@_closed_loop.closed_loop(
    _start,
    shards=_shards,
    smoothing=_checks.optional(_checks.decay),
    eps=_checks.positive,
)
def adascale(
    memory: AdaScaleMemory,
    step: jax.Array,
    signals: _types.Signals,
    shards: Numeric,
    smoothing: Numeric | None = None,
    eps: Numeric = 1e-6,
):
  """A factor from 1 to the number of shards: what a larger batch is worth.

  It multiplies a schedule that was tuned for the batch of one shard: `schedule *
  lrax.control.adascale(8)` for a batch of eight. Where the gradients of the shards
  are mostly noise, their mean allows a step `shards` times as large; where they
  agree, none that is larger.

  `update` must be told `shard_square_norm=`, the mean over the shards of |g_i| **
  2, or an array of them, one for each shard; g_i is the gradient of the mean loss
  of shard i, and the gradient given to the optimizer the mean of all g_i. Under
  `jax.pmap` or `jax.shard_map` with one shard on each device it is
  `jax.lax.pmean(optax.tree.norm(grads, squared=True), axis_name)` of the gradients
  before their own `pmean`; then all devices take one rate. Behind a momentum or a
  preconditioner, give `update` that mean gradient as `grad=` too.

  Formula:
    variance = max((mean |g_i| ** 2 - |grad| ** 2) * shards / (shards - 1), eps)
    square = max(|grad| ** 2 - variance / shards, 0)
    both averaged over updates, weight `smoothing` on the past
    rate = (variance + square) / (variance / shards + square)

    signals that are not finite are passed over; 1 before any

  Args:
    shards: in how many parts the batch is seen, a whole number >= 2.
    smoothing: the share of the averages that is kept, in [0, 1); None for the
      paper's max(1 - shards / 1000, 0).
    eps: the least variance, a finite number > 0.

  Returns:
    A closed-loop `lrax.Schedule`, in [1, shards].

  Raises:
    TypeError: an argument is no real scalar, or the signal not real.
    ValueError: an argument is out of range; or, from `update`,
      `shard_square_norm` is missing.

  Source:
    Johnson, Agrawal, Gu and Guestrin, "AdaScale SGD: a user-friendly algorithm for
    distributed training", 2020, algorithm 1 and section 3.4; checked against
    fairscale. The variance within the square is here the unclipped one, as in
    fairscale. The paper also runs the schedule by the sum of the gains so far, so
    that a run is shorter; here it runs by updates: for the other, sum up the rates
    and use `lrax.schedules.by_progress`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(0.5 * lrax.control.adascale(2))
    >>> grads = {'w': jnp.array(0.0)}  # the mean of 1 and -1: nothing but noise
    >>> _, state = tx.update(grads, tx.init(grads), shard_square_norm=1.0)
    >>> float(lrax.get_learning_rate(state))
    1.0
  """
  del step
  dtype = _types.rate_dtype()
  each = signals.require('shard_square_norm', 'adascale')
  if jnp.iscomplexobj(each):
    raise _checks.refuse(
        'adascale', 'shard_square_norm', 'real', jnp.result_type(each),
        'it is the mean of |g_i| ** 2', TypeError,
    )
  mean = jnp.mean(jnp.asarray(each, dtype))
  gradient = _along.gradient('adascale', signals)
  total = _along.inner(gradient, gradient)
  shards = jnp.asarray(shards, dtype)
  if smoothing is None:
    smoothing = jnp.maximum(1 - shards / 1000, 0)
  variance = (mean - total) * shards / (shards - 1)
  square = jnp.maximum(total - variance / shards, 0)
  variance = jnp.maximum(variance, eps)
  fresh = jnp.isfinite(variance) & jnp.isfinite(square)

  def average(old: jax.Array, new: jax.Array) -> jax.Array:
    new = smoothing * old + (1 - smoothing) * jnp.where(fresh, new, 0)
    return jnp.where(fresh, new, old).astype(dtype)

  # Their weights are the same, so those that the first updates lack cancel.
  memory = AdaScaleMemory(
      average(memory.variance, variance), average(memory.square, square)
  )
  above = memory.variance + memory.square
  below = memory.variance / shards + memory.square
  none = below == 0
  return jnp.where(none, 1, above / jnp.where(none, 1, below)), memory
