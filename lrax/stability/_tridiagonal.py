"""The eigenvalues of a symmetric tridiagonal matrix that is still growing."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def eigen(
    diagonal: jax.Array, beside: jax.Array, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The eigenvalues of the first rows, rising, and the eigenvectors as columns.

  Args:
    diagonal: (n,), of which the first `rows` count.
    beside: (n,), of which the first `rows - 1` count.
    rows: how many there are, from 1.

  Returns:
    (n,) and (n, n). What is no value comes first, with no vector: see `real`. NaN
    where a number that counts is not finite.
  """
  n = len(diagonal)
  place = jnp.arange(n)
  counts = place < rows
  diagonal = jnp.where(counts, diagonal, 0)
  beside = jnp.where(counts & (place + 1 < rows), beside, 0)
  # So that no square of an entry leaves the dtype's range.
  unit = jnp.maximum(jnp.max(jnp.abs(diagonal)), jnp.max(jnp.abs(beside)))
  finite = jnp.isfinite(unit)
  unit = jnp.where(finite & (unit > 0), unit, 1)
  # Values are within 3 units, so -4 comes first.
  diagonal = jnp.where(counts, jnp.where(finite, diagonal, 0) / unit, -4)
  beside = jnp.where(finite, beside, 0) / unit
  # A small matrix takes a small part of the time of a large one.
  sizes = [32, n] if n > 32 else [n]
  which = jnp.searchsorted(jnp.asarray(sizes), rows)
  solvers = [lambda d, b, size=size: _padded(d, b, size) for size in sizes]
  values, columns = jax.lax.switch(which, solvers, diagonal, beside)
  broken = jnp.where(finite, 0, jnp.nan).astype(values.dtype)
  return values * unit + broken, columns + broken


def real(values: jax.Array, rows: jax.Array) -> jax.Array:
  """(n,): which of the values are some of the matrix."""
  return jnp.arange(len(values)) >= len(values) - rows


def _padded(
    diagonal: jax.Array, beside: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
  off = beside[: size - 1]
  matrix = jnp.diag(diagonal[:size]) + jnp.diag(off, 1) + jnp.diag(off, -1)
  columns, values = jax.lax.linalg.eigh(matrix, symmetrize_input=False)
  more = len(diagonal) - size
  return (
      jnp.pad(values, (more, 0), constant_values=-4),
      jnp.pad(columns, ((0, more), (more, 0))),
  )
