"""bfloat16 is the upper half of a float32: what a rounding to it does and loses."""

from __future__ import annotations

from typing import Any

import chex
import jax
from jax import lax
import jax.numpy as jnp

_UPPER = 0xFFFF0000


def bits_of(x: jax.Array) -> jax.Array:
  """The 32 bits of float32 numbers."""
  return lax.bitcast_convert_type(x, jnp.uint32)


def float32_of(bits: jax.Array) -> jax.Array:
  """The float32 numbers of 32 bits each."""
  return lax.bitcast_convert_type(bits, jnp.float32)


def read(x: jax.Array) -> jax.Array:
  """bfloat16 as float32, by its bits: XLA cannot go behind the rounding."""
  halves = lax.bitcast_convert_type(x, jnp.uint16)
  return float32_of(halves.astype(jnp.uint32) << 16)


def round_by_chance(x: jax.Array, noise: jax.Array) -> jax.Array:
  """float32 as a bfloat16 above or below it, with x as the mean.

  `noise` is of random uint32s: their upper halves are added to the lower half of x,
  which is then cut off.
  """
  rounded = float32_of((bits_of(x) + (noise >> 16)) & jnp.uint32(_UPPER))
  return jnp.where(jnp.isnan(x), x, rounded).astype(jnp.bfloat16)


def split(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """float32 as the nearest bfloat16 and what that lost, an int16 of its last bits."""
  bits = bits_of(x)
  upper = (bits + jnp.uint32(0x8000)) & jnp.uint32(_UPPER)
  lost = (bits - upper).astype(jnp.int32).astype(jnp.int16)
  finite = jnp.isfinite(x)
  nearest = jnp.where(finite, float32_of(upper), x).astype(jnp.bfloat16)
  return nearest, jnp.where(finite, lost, 0)


def join(x: jax.Array, lost: jax.Array) -> jax.Array:
  """The float32 that was split.

  Of an x that was set to 0 since then, a loss below it is dropped.
  """
  bits = bits_of(read(x))
  zero = bits << 1 == 0  # by bits: a comparison takes the least numbers for 0
  lost = jnp.where(zero & (lost < 0), 0, lost)
  return float32_of(bits + lost.astype(jnp.int32).astype(jnp.uint32))


def refuse_float16(owner: str, params: chex.ArrayTree) -> None:
  """Raises where an array is of the other 16-bit dtype."""
  for path, x in jax.tree_util.tree_leaves_with_path(params):
    if jnp.result_type(x) == jnp.float16:
      raise TypeError(
          f'{owner}: the parameters must be bfloat16, float32 or wider, got float16'
          f' at {jax.tree_util.keystr(path)}; float16 keeps no range for it: cast them'
          ' to bfloat16.'
      )


def is_bfloat16(x: Any) -> bool:
  return jnp.result_type(x) == jnp.bfloat16
