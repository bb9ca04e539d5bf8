"""Several links that round their result once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax.transforms import _leafwise


def in_full(
    transform: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """The same transformation, computed in float32 or wider from end to end.

  Each link of a chain rounds its updates to their dtype; here they are widened
  before the first link and rounded behind the last. The state is the same.
  """
  inner = optax.with_extra_args_support(transform)

  def update(updates, state, params=None, **extra_args):
    widen = lambda u: jnp.asarray(u, _leafwise.wide_dtype(u))
    wide, state = inner.update(
        jax.tree.map(widen, updates), state, params, **extra_args
    )
    narrow = lambda step, was: step.astype(jnp.result_type(was))
    steps: Any = jax.tree.map(narrow, wide, updates)
    return steps, state

  return optax.GradientTransformationExtraArgs(inner.init, update)
