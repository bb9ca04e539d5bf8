"""Progress through a phase, from integers: differences first, division last.

A float32 holds whole numbers up to 2**24 only, so `step / steps` followed by
`1 - progress` loses the last digits of a long run. Here the steps done and the
steps left are whole numbers, each is divided once, and the error of either
share is at most three roundings, up to 2**31 steps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from lrax import _types


def ratio(numerator: jax.Array, denominator: Any) -> jax.Array:
  """`numerator / denominator` of whole numbers in the rate's dtype.

  JAX divides int32 by int32 in float32 even under x64; this does not.
  """
  dtype = _types.rate_dtype()
  return jnp.asarray(numerator, dtype) / jnp.asarray(denominator, dtype)


def remaining(step: jax.Array, steps: Any) -> jax.Array:
  """The share of `steps` still to come: 1 at step 0, 0 from `steps` on.

  A phase of zero length is over from its start: 0.
  """
  left = jnp.maximum(steps - step, 0)
  return ratio(left, jnp.maximum(steps, 1))


def elapsed(step: jax.Array, steps: Any) -> jax.Array:
  """The share of `steps` done: 0 at step 0, 1 from `steps` on.

  A phase of zero length is over from its start: 1.
  """
  done = jnp.where(step >= steps, jnp.maximum(steps, 1), step)
  return ratio(done, jnp.maximum(steps, 1))


def complement(done: jax.Array, left: jax.Array, power: Any) -> jax.Array:
  """`1 - left ** power` for `done = 1 - left`, with its digits at either end.

  A rate that rises from 0 is this times its end, so where `done` is small the
  difference would cancel.
  """
  if isinstance(power, (int, float)) and power == 1:
    return done
  late = done >= 0.5
  early = -jnp.expm1(power * jnp.log1p(-jnp.where(late, 0.0, done)))
  return jnp.where(late, 1 - jnp.power(left, power), early)


def half_cosine(share: jax.Array) -> jax.Array:
  """(1 - cos(pi * share)) / 2: from 0 at share 0 to 1 at share 1.

  Written as sin(pi * share / 2)**2, which keeps its digits near 0 and is
  exactly 1 at share 1.
  """
  return jnp.square(jnp.sin(share * (jnp.pi / 2)))
