"""Optax's transformations, with updates in the dtype that they came in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def keep_dtype(
    transform: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """The same transformation, its updates cast back to the dtype they had.

  A wide accumulator, or a coefficient that is an array, widens bfloat16 updates
  in Optax, and the parameters with them.
  """
  inner = optax.with_extra_args_support(transform)

  def update(updates, state, params=None, **extra_args):
    new, state = inner.update(updates, state, params, **extra_args)
    cast = lambda x, was: jnp.asarray(x, jnp.result_type(was))
    return jax.tree.map(cast, new, updates), state

  return optax.GradientTransformationExtraArgs(inner.init, update)
