"""Decoupled weight decay: Optax's, with lrax's checks and dtypes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks


def add_decayed_weights(
    owner: str, weight_decay: Any, mask: Any
) -> optax.GradientTransformationExtraArgs:
  """Adds `weight_decay * parameter` to the updates, where `mask` says.

  A coefficient that is an array, or a schedule, widens bfloat16 updates in
  Optax, and the parameters with them; here they keep their dtype.
  """
  decay: Any = weight_decay
  if not callable(weight_decay):
    decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  if not (mask is None or callable(mask) or _is_tree_of_bools(mask)):
    raise _checks.refuse(
        owner, 'mask', 'None, a tree of bools, or a function of the parameters',
        mask, 'True where weights decay', TypeError,
    )
  inner = optax.with_extra_args_support(optax.add_decayed_weights(decay, mask))

  def update(updates, state, params=None, **extra_args):
    if params is None:
      raise ValueError(
          f'{owner}: `params` must be given to update, got None; the weights decay'
          ' with them: call tx.update(grads, state, params).'
      )
    new, state = inner.update(updates, state, params, **extra_args)
    cast = lambda x, was: jnp.asarray(x, jnp.result_type(was))
    return jax.tree.map(cast, new, updates), state

  return optax.GradientTransformationExtraArgs(inner.init, update)


def _is_tree_of_bools(mask: Any) -> bool:
  return all(isinstance(x, (bool, np.bool_)) for x in jax.tree.leaves(mask))
