"""Lanczos' recurrence: an orthonormal basis in which an operator is tridiagonal."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax.stability import _flat

_ROWS = 8  # of the basis, at a time


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

  def again(carry):
    turn, column, length, vector = carry
    vector = jnp.where(turn == 2, noise(seed, vector.size, vector.dtype), vector)
    found, vector = _orthogonal(state.basis, vector, k + 1)
    column = jnp.where(turn < 2, column + found, column)
    length = jnp.where(turn < 2, _flat.norm(vector), length)
    return turn + 1, column, length, vector

  # Twice; twice more for another vector where nothing is left.
  one = jnp.ones((), vector.dtype)
  _, column, length, vector = jax.lax.while_loop(
      lambda carry: carry[0] < jnp.where(carry[2] <= nothing, 4, 2),
      again,
      (0, jnp.zeros(steps, vector.dtype), one, vector),
  )
  closed = length <= nothing
  column, length = column * unit, length * unit
  before = jnp.where(k > 0, state.beside[k - 1], 0)
  defect = column.at[k].set(0).at[k - 1].add(-before)
  lost = jnp.hypot(_flat.norm(defect), jnp.where(closed, length, 0))
  more = k + 1 < steps
  place = jnp.minimum(k + 1, steps - 1)
  row = jnp.where(more, _flat.unit(vector), state.basis[place])
  return state._replace(
      basis=jax.lax.dynamic_update_index_in_dim(state.basis, row, place, 0),
      diagonal=state.diagonal.at[k].set(column[k]),
      beside=state.beside.at[k].set(jnp.where(closed, 0, length)),
      steps=k + 1,
      defect=jnp.hypot(state.defect, lost),
      going=more & jnp.isfinite(column).all() & jnp.isfinite(length),
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
