"""Lanczos' recurrence: an orthonormal basis in which an operator is tridiagonal."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax.stability import _flat

_ROWS = 4  # of the basis, at a time
_SHORTER = 0.7  # than which it must not get by orthogonalisation, else: once more


class State(NamedTuple):
  """What the products so far have made."""

  seed: jax.Array  # uint32: for vectors to start from again
  basis: jax.Array  # (steps, size): orthonormal rows, zeros after the last
  diagonal: jax.Array  # (steps,)
  beside: jax.Array  # (steps,): what couples a row and the next; 0: a new start
  steps: jax.Array  # int32: products taken
  defect: jax.Array  # (): how far the projected operator is from tridiagonal
  going: jax.Array  # bool: whether there may be another product


def started(steps: int, start: jax.Array, seed: jax.Array) -> State:
  """Before the first product; `steps` and the vector's size are static."""
  zeros = jnp.zeros(steps, start.dtype)
  return State(
      seed=seed,
      basis=jnp.zeros((steps, start.size), start.dtype).at[0].set(_flat.unit(start)),
      diagonal=zeros,
      beside=zeros,
      steps=jnp.zeros((), jnp.int32),
      defect=jnp.zeros((), start.dtype),
      going=jnp.ones((), bool),
  )


def vector(state: State) -> jax.Array:
  """(size,): what to multiply next."""
  return jax.lax.dynamic_index_in_dim(state.basis, state.steps, keepdims=False)


def extended(state: State, image: jax.Array) -> State:
  """With one more product; `going` is whether there may be a next."""
  k, steps = state.steps, len(state.diagonal)
  vector, unit = _flat.scaled(image)
  diagonal, beside = jnp.max(jnp.abs(state.diagonal)), jnp.max(jnp.abs(state.beside))
  largest = jnp.maximum(1, jnp.maximum(diagonal, beside) / _flat.nonzero(unit))
  # No more than rounding is left: what the rows span is mapped into itself.
  nothing = 10 * jnp.finfo(vector.dtype).eps * largest
  seed = state.seed + 1 + k.astype(state.seed.dtype)
  # First the two rows that it is known to have a part in, then all.
  at = jnp.maximum(k - 1, 0)
  near = jax.lax.dynamic_slice_in_dim(state.basis, at, min(2, steps))
  found = near @ vector
  vector = vector - found @ near
  column = jnp.zeros(steps, vector.dtype)
  column = jax.lax.dynamic_update_slice_in_dim(column, found, at, 0)
  before = _flat.norm(vector)

  def more(carry):
    turn, _, length, _, _ = carry
    closed = length <= nothing
    # Once more where rounding may count; twice more for another vector.
    again = jnp.where(closed, 4, jnp.where(length < _SHORTER * before, 2, 1))
    return turn < again

  def orthogonal(carry):
    turn, column, length, size, vector = carry
    fresh = turn == 2
    vector = jnp.where(fresh, noise(seed, vector.size, vector.dtype), vector)
    found, vector = _orthogonal(state.basis, vector, k + 1)
    size = _flat.norm(vector)
    old = turn < 2
    column = jnp.where(old, column + found, column)
    length = jnp.where(old, size, length)
    return turn + 1, column, length, size, vector

  _, column, length, size, vector = jax.lax.while_loop(
      more, orthogonal, (0, column, before, before, vector)
  )
  closed = length <= nothing
  column, length = column * unit, length * unit
  before = jnp.where(k > 0, state.beside[k - 1], 0)
  defect = column.at[k].set(0).at[k - 1].add(-before)
  lost = jnp.hypot(_flat.norm(defect), jnp.where(closed, length, 0))
  room = k + 1 < steps
  place = jnp.minimum(k + 1, steps - 1)
  row = jnp.where(room, vector / _flat.nonzero(size), state.basis[place])
  return state._replace(
      basis=jax.lax.dynamic_update_index_in_dim(state.basis, row, place, 0),
      diagonal=state.diagonal.at[k].set(column[k]),
      beside=state.beside.at[k].set(jnp.where(closed, 0, length)),
      steps=k + 1,
      defect=jnp.hypot(state.defect, lost),
      going=room & jnp.isfinite(column).all() & jnp.isfinite(length),
  )


def noise(seed: jax.Array, size: int, dtype: Any) -> jax.Array:
  """Numbers in [-1, 1] by a hash of seed and place: generic, and quick to compile."""
  x = jnp.arange(size, dtype=jnp.uint32) * jnp.uint32(0x9E3779B1) + seed
  for shift in (16, 15):
    x = (x ^ (x >> shift)) * jnp.uint32(0x85EBCA6B)
  return (x ^ (x >> 16)).astype(dtype) / 2.0**31 - 1


def _orthogonal(
    basis: jax.Array, vector: jax.Array, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The products with the first rows, and what is left of the vector without them.

  A block of rows at a time, so that each is read from memory once.
  """
  steps = len(basis)
  size = min(_ROWS, steps)

  def block(i, carry):
    products, vector = carry
    # The last one may overlap that before it, to which the vector is orthogonal.
    at = jnp.minimum(i * size, steps - size)
    part = jax.lax.dynamic_slice_in_dim(basis, at, size)
    found = part @ vector
    old = jax.lax.dynamic_slice_in_dim(products, at, size)
    products = jax.lax.dynamic_update_slice_in_dim(products, old + found, at, 0)
    return products, vector - found @ part

  zeros = jnp.zeros(steps, vector.dtype)
  blocks = (rows + size - 1) // size
  return jax.lax.fori_loop(0, blocks, block, (zeros, vector))


def combined(state: State, columns: jax.Array) -> jax.Array:
  """(k, size): the vectors whose coordinates are the columns (steps, k).

  Only the rows that there are, are read: zeros are as long in memory.
  """
  basis, steps = state.basis, len(state.basis)
  size = min(_ROWS, steps)

  def block(i, total):
    at = jnp.minimum(i * size, steps - size)
    part = jax.lax.dynamic_slice_in_dim(basis, at, size)
    by = jax.lax.dynamic_slice_in_dim(columns, at, size)
    # Not once more what the block before had.
    by = jnp.where(at + jnp.arange(size)[:, None] >= i * size, by, 0)
    return total + by.T @ part

  start = jnp.zeros((columns.shape[1], basis.shape[1]), basis.dtype)
  return jax.lax.fori_loop(0, (state.steps + size - 1) // size, block, start)
