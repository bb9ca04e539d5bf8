"""The weight that an exponential average has gathered since it started at 0."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from lrax import _types


def bias_correction(
    decay: Any, count: jax.Array, weight: jax.Array | None = None
) -> jax.Array:
  """`1 - decay ** count`, without the cancellation of that difference.

  At decay 0.999 and count 1 the difference is 0.001 and float32 keeps four of
  its digits; -expm1(count * log(decay)) keeps them all.

  Args:
    decay: a number in [0, 1).
    count: int32, at least 1.
    weight: what a decay that moves has gathered, which is 1 minus the product of
      its values so far and no power; it is returned. None for a constant.

  Returns:
    A scalar in the rate's dtype.
  """
  if weight is not None:
    return weight
  count = jnp.asarray(count, _types.rate_dtype())
  if isinstance(decay, (int, float)):
    return -jnp.expm1(count * math.log(decay)) if decay else jnp.ones_like(count)
  return -jnp.expm1(count * jnp.log(jnp.asarray(decay, count.dtype)))


def gather(decay: Any, weight: jax.Array) -> jax.Array:
  """The weight after one more update: an average of ones, which starts at 0."""
  return decay * weight + (1 - decay)
