"""Norms of many groups of arrays, which neither overflow nor underflow."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lrax import _types
from lrax._sum_all import sum_all
from lrax.transforms import _leafwise

# What all entries are multiplied by before they are squared, one after another until
# no sum of squares is out of range. Exponents of 2, so that nothing is rounded.
_SCALES = {4: (0, -80, 90), 8: (0, -600, 700)}  # by the bytes of the dtype


@jax.jit
def norms(groups: Sequence[Sequence[jax.Array]], like: jax.Array) -> jax.Array:
  """The Euclidean norm of all entries of each group of arrays.

  Squares can be lost below the smallest number of a dtype, or overflow. Scaling all
  entries by the largest first takes XLA twice the time and four times the
  compilation. So only where a sum of squares was out of range it is taken again, of
  entries times a power of two: by the same loop, which usually ends after one round.

  Args:
    groups: groups of arrays; a group may have none.
    like: any numbers that in `jax.shard_map` vary over devices as the arrays do.

  Returns:
    An array of shape (len(groups),) in float32, or float64 under x64. NaN where an
    entry is NaN, 0 of no entries, infinite where one is; the largest finite number
    where the norm is larger. XLA may take numbers below the smallest normal one as 0.

  Source:
    Blue, "A portable Fortran program to find the Euclidean norm of a vector", ACM
    Transactions on Mathematical Software 4, 1978: sums of three scales.
  """
  dtype = _types.rate_dtype()
  limits = jnp.finfo(dtype)
  scales = jnp.array([2.0**x for x in _SCALES[dtype.itemsize]], dtype)
  term = lambda item: _leafwise.square(item[0].astype(_wide(item[0])) * item[1])
  # The loop hands on what varies over devices from its first round on.
  zero = jnp.where(jnp.sum(jnp.abs(like)) > 0, 0, jnp.zeros((), dtype))

  def again(carry):
    at, missing, _ = carry
    return (at < len(scales)) & jnp.any(missing)

  def sum_up(carry):
    at, missing, found = carry
    items = [[(x, scales[at]) for x in group] for group in groups]
    sums = jnp.stack([sum_all(term, part, dtype) for part in items]).astype(dtype)
    norm = jnp.sqrt(sums) / scales[at]
    norm = jnp.where(jnp.isfinite(sums), jnp.minimum(norm, limits.max), norm)
    # What was lost of a larger sum is nothing beside it.
    out_of_range = (sums < limits.tiny**0.5) | (sums == jnp.inf)
    return at + 1, missing & out_of_range, jnp.where(missing, norm, found)

  start = zero + jnp.zeros((len(groups),), dtype)
  return jax.lax.while_loop(again, sum_up, (0, start == 0, start))[2]


def _wide(x: jax.Array) -> jax.typing.DTypeLike:
  """Of the squares: float32 ones under x64 could be lost where no sum shows it."""
  return jnp.promote_types(_leafwise.wide_dtype(x), _types.rate_dtype())


def joined(parts: jax.Array) -> jax.Array:
  """The norm along the last axis of norms of parts, neither lost nor overflowing.

  Args:
    parts: shape (..., n).

  Returns:
    An array of shape (...): NaN where a part is, infinite where one is.
  """
  largest = jnp.max(parts, -1, initial=0)
  usable = jnp.isfinite(largest) & (largest > 0)
  by = jnp.where(usable, largest, 1)
  norm = largest * jnp.sqrt(jnp.sum((parts / by[..., None]) ** 2, -1))
  finite = jnp.minimum(norm, jnp.finfo(norm.dtype).max)
  return jnp.where(usable, finite, largest)
