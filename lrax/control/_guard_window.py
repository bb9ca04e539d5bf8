"""What is usual: a window of recent values, and how far above it is too far."""

from __future__ import annotations

import functools
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lrax import _types

# Times a normal distribution's median absolute deviation, and its mean absolute
# deviation, is its standard deviation.
_OF_MEDIAN = 1.4826
_OF_MEAN = 1.2533

# The least spread, as a share of the median: a loss that has not moved in its
# last digits for long is no outlier when it does.
_LEAST_SPREAD = 1e-3


class Window(NamedTuple):
  """The latest losses and gradient norms that were accepted."""

  values: jax.Array  # rate dtype, (2, window): losses, norms; inf: none yet
  seen: jax.Array  # int32, (2,): how many came since it was empty


def empty(length: int) -> Window:
  dtype = _types.rate_dtype()
  return Window(jnp.full((2, length), jnp.inf, dtype), jnp.zeros((2,), jnp.int32))


def judges(window: Window, loss: jax.Array | None) -> jax.Array:
  """Whether it holds enough, half of what it can, of what is given: bool, ()."""
  full = _full_enough(window)
  return full[1] if loss is None else jnp.all(full)


def outlying(
    window: Window, loss: jax.Array | None, norm: jax.Array, threshold: Any
) -> jax.Array:
  """Whether the loss or the norm is too far above the window's: bool, ()."""
  if threshold is None:
    return jnp.zeros((), bool)
  spacing = 0.0 if loss is None else float(jnp.finfo(loss.dtype).eps)
  least = jnp.maximum(jnp.array([spacing, 0.0]), _LEAST_SPREAD)
  far = _above(window.values, window.seen, _values(loss, norm), least, threshold)
  return jnp.any(far & _full_enough(window) & _given(loss))


def push(
    window: Window, loss: jax.Array | None, norm: jax.Array, good: Any, stale: Any
) -> Window:
  """The window with what is good in place of the oldest; empty where stale."""
  length, rows = window.values.shape[1], jnp.arange(2)
  accepted = good & _given(loss)
  at = window.seen % length
  new = jnp.where(accepted, _values(loss, norm), window.values[rows, at])
  seen: Any = jnp.where(accepted, optax.safe_increment(window.seen), window.seen)
  pushed = Window(window.values.at[rows, at].set(new), seen)
  return jax.tree.map(lambda a, b: jnp.where(stale, a, b), empty(length), pushed)


def _full_enough(window: Window) -> jax.Array:
  length = window.values.shape[1]
  return window.seen >= (length + 1) // 2


def _values(loss: jax.Array | None, norm: jax.Array) -> jax.Array:
  dtype = _types.rate_dtype()
  loss = jnp.zeros((), dtype) if loss is None else loss.astype(dtype)
  return jnp.stack([loss, norm])


def _given(loss: jax.Array | None) -> jax.Array:
  return jnp.array([loss is not None, True])


# Compiled for itself too: many small programs where the update is not.
@jax.jit
@functools.partial(jax.vmap, in_axes=(0, 0, 0, 0, None))
def _above(recent, seen, value, least, threshold):
  count = jnp.minimum(seen, recent.size)
  centre = _median(recent, count)
  there = jnp.isfinite(recent)
  deviations = jnp.where(there, jnp.abs(recent - centre), jnp.inf)
  typical = _median(deviations, count)
  mean = jnp.sum(jnp.where(there, deviations, 0)) / jnp.maximum(count, 1)
  spread = jnp.where(typical > 0, _OF_MEDIAN * typical, _OF_MEAN * mean)
  spread = jnp.maximum(spread, least * jnp.abs(centre))
  return (spread > 0) & (value - centre > threshold * spread)


def _median(values, count):
  """The median of the `count` finite values; the others are infinite."""
  ordered = jnp.sort(values)
  low, high = ordered[jnp.maximum(count - 1, 0) // 2], ordered[count // 2]
  return low / 2 + high / 2
