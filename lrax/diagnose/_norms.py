"""Norms of many groups of arrays, which neither overflow nor underflow."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lrax import _types
from lrax._sum_all import sum_all
from lrax.transforms import _leafwise


def norms(groups: Sequence[Sequence[jax.Array]], estimates: jax.Array) -> jax.Array:
  """The Euclidean norm of all entries of each group of arrays.

  Squares can be lost below the smallest number of a dtype, or overflow. Scaling all
  entries first takes XLA twice the time and four times the compilation. So where a
  sum of squares is that small or large, the norm is what the sample says.

  Args:
    groups: groups of arrays; a group may have none.
    estimates: shape (len(groups),), of the norms.

  Returns:
    An array of shape (len(groups),) in float32, or float64 under x64. NaN where an
    entry is NaN, 0 of no entries, infinite where one is; the largest finite number
    where the norm is larger.
  """
  dtype = _types.rate_dtype()
  limits = jnp.finfo(dtype)
  square = lambda x: _leafwise.square(x.astype(_leafwise.wide_dtype(x)))
  sums = jnp.stack([sum_all(square, group, dtype) for group in groups]).astype(dtype)
  # What was lost lies below the smallest number, and is nothing beside its root.
  lost = sums < limits.tiny**0.5
  # Else an infinite sum has an infinite entry.
  overflows = (sums == jnp.inf) & (estimates > limits.max**0.5 / 16)
  return jnp.where(lost | overflows, estimates, jnp.sqrt(sums))


def joined(parts: jax.Array, squared: float | jax.Array = 1.0) -> jax.Array:
  """The norm of everything along the last axis, neither lost nor overflowing.

  Args:
    parts: shape (..., n): numbers, or the norms of parts.
    squared: what each square counts for, of a shape that broadcasts.

  Returns:
    An array of shape (...): NaN where a part is, infinite where one is.
  """
  parts = jnp.abs(parts)
  largest = jnp.max(parts, -1, initial=0)
  usable = jnp.isfinite(largest) & (largest > 0)
  by = jnp.where(usable, largest, 1)
  norm = largest * jnp.sqrt(jnp.sum(squared * (parts / by[..., None]) ** 2, -1))
  finite = jnp.minimum(norm, jnp.finfo(norm.dtype).max)
  return jnp.where(usable, finite, largest)
