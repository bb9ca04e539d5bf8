"""Quantiles of numbers that stand for several others each, without sorting them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnames='shares')
def quantiles(
    values: jax.Array, weights: jax.Array, shares: tuple[float, ...]
) -> jax.Array:
  """The smallest value up to which each share of the weight lies.

  The bits of a positive float, read as an integer, are in the order of the floats.
  So bisection finds the value itself, in as many rounds as there are bits: on a CPU
  a tenth of the time that XLA takes to sort.

  Args:
    values: shape (n,), >= 0; what has no weight may be anything, NaN too.
    weights: shape (n,), >= 0: how many numbers a value stands for.
    shares: of the whole weight, in (0, 1].

  Returns:
    An array of shape (len(shares),); NaN where nothing has a weight.
  """
  dtype = values.dtype
  integer = jnp.int64 if dtype.itemsize == 8 else jnp.int32
  as_bits = lambda x: jax.lax.bitcast_convert_type(x, integer)
  total = jnp.sum(weights)
  # A share that is met but for the rounding of its product is met.
  wanted = jnp.asarray(shares, dtype) * total * (1 - 4 * jnp.finfo(dtype).eps)
  bits = as_bits(values)

  def halve(_, bounds):
    below, enough = bounds
    middle = below + (enough - below) // 2
    weight = (bits <= middle[:, None]).astype(dtype) @ weights
    met = weight >= wanted
    return jnp.where(met, below, middle), jnp.where(met, middle, enough)

  start = jnp.zeros_like(wanted, integer)
  bounds = start - 1, start + as_bits(jnp.full_like(total, jnp.inf))
  _, found = jax.lax.fori_loop(0, 8 * dtype.itemsize - 1, halve, bounds)
  return jnp.where(total > 0, jax.lax.bitcast_convert_type(found, dtype), jnp.nan)
