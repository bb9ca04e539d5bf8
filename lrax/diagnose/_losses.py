"""Statistics of a run's losses, that no single loss can spoil."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.state import _monitor_state


def start() -> _monitor_state.LossStatistics:
  """The statistics before the first loss, each in memory of its own."""
  nan = lambda: jnp.full((), jnp.nan, _types.rate_dtype())
  zero = lambda: jnp.zeros((), jnp.int32)
  return _monitor_state.LossStatistics(zero(), nan(), nan(), nan(), nan(), zero())


def push(
    before: _monitor_state.LossStatistics, value: Any, decay: Numeric
) -> _monitor_state.LossStatistics:
  """The statistics with one loss more.

  The mean is a plain one until it has reached as far back as a smoothed one does,
  and so is the deviation: there is no start to correct for. A loss that is not
  finite is the last one, and changes neither.

  Raises:
    TypeError: the loss is no real scalar.
  """
  dtype = before.last.dtype
  loss = _scalar(value).astype(dtype)
  finite = jnp.isfinite(loss)
  first = before.seen == 0
  seen = jnp.where(finite, _count(before.seen), before.seen)
  share = jnp.maximum(1 / jnp.maximum(seen, 1), 1 - jnp.asarray(decay, dtype))
  share = share.astype(dtype)
  # Half of each, so that the difference of two finite numbers is finite.
  half = jnp.where(finite & ~first, loss / 2 - before.mean / 2, 0)
  mean = jnp.where(first, loss, (1 - share) * before.mean + share * loss)
  # The variance is (1 - share) * (variance + share * difference ** 2), whose square
  # may overflow where its root does not.
  spread = jnp.hypot(before.deviation / 2, jnp.sqrt(share) * half)
  deviation = jnp.where(first, 0, 2 * (jnp.sqrt(1 - share) * spread))
  lower = finite & ~(loss >= before.lowest)
  keep = lambda new, old: jnp.where(finite, new, old).astype(old.dtype)
  return _monitor_state.LossStatistics(
      seen=seen.astype(jnp.int32),
      last=loss,
      mean=keep(mean, before.mean),
      deviation=keep(deviation, before.deviation),
      lowest=jnp.where(lower, loss, before.lowest),
      since_lowest=jnp.where(lower, 0, _count(before.since_lowest)).astype(jnp.int32),
  )


def _count(counter: jax.Array) -> jax.Array:
  return jnp.where(counter < jnp.iinfo(jnp.int32).max, counter + 1, counter)


def _scalar(value: Any) -> jax.Array:
  dtype = jnp.result_type(value)
  if jnp.ndim(value) or jnp.issubdtype(dtype, jnp.complexfloating):
    kind = f'an array of shape {jnp.shape(value)} and dtype {dtype}'
    raise _checks.refuse(
        'monitor', 'value', 'a real scalar', kind, 'pass the mean loss', TypeError
    )
  return jnp.asarray(value)
