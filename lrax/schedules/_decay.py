"""A factor to the power of a count, exact for the exponents that are small."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from lrax import _types


def power(base: Any, exponent: jax.Array) -> jax.Array:
  """`base ** exponent` in the rate's dtype, for base > 0 and exponent >= 0.

  A base near 1 is far from its float32 neighbour after many factors, so for a
  Python number the logarithm is taken in double precision first. Where the
  logarithm is small enough that this does not matter, the plain power has the
  smaller error and gives 0.5 ** 2 exactly.
  """
  exponent = jnp.asarray(exponent, _types.rate_dtype())
  if isinstance(base, (int, float)) and abs(math.log(base)) < 0.1:
    return jnp.exp(exponent * math.log(base))
  return jnp.power(base, exponent)
