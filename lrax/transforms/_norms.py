"""Sizes of whole arrays: what methods that work layer by layer divide by."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lrax.transforms import _leafwise


def norm(x: jax.Array) -> jax.Array:
  """The root of the sum of squares, real, in float32 or the wider dtype of `x`."""
  wide = x.astype(_leafwise.wide_dtype(x))
  return jnp.sqrt(jnp.sum(_leafwise.square(wide)))


def rms(x: jax.Array) -> jax.Array:
  """The root of the mean of squares; 0 of an array without elements."""
  wide = x.astype(_leafwise.wide_dtype(x))
  return jnp.sqrt(jnp.sum(_leafwise.square(wide)) / max(x.size, 1))


def clip_rms(x: jax.Array, threshold: jax.Array) -> jax.Array:
  """`x`, divided so that its root mean square is `threshold` at most."""
  return x / jnp.maximum(1, rms(x) / threshold)
