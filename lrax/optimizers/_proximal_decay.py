"""Weight decay as a proximal step: it divides after the step was made."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _policy
from lrax.transforms import _leafwise


def couple(
    direction: optax.GradientTransformationExtraArgs,
    decay: optax.GradientTransformationExtraArgs,
    policy: _policy.Schedule,
) -> optax.GradientTransformationExtraArgs:
  """The optimizer made of a direction, a decay and a rate, by

  parameter = (parameter - rate * direction) / (1 + rate * weight_decay)

  The state is that of `_weight_decay.couple`. `decay` adds decay_factor *
  weight_decay * parameter to what it is given: with zeros, and ones for the
  parameters, it says how much each of them decays, 0 where its mask says so.
  """

  def init(params):
    return direction.init(params), decay.init(params), policy.init(params)

  def update(updates, state: Any, params=None, **extra_args):
    rated: Any
    directed, decayed, rated = state
    steps, directed = direction.update(updates, directed, params, **extra_args)
    # Wide until the decay is in: the sum is rounded to their dtype once.
    steps = jax.tree.map(_wide, steps)
    steps, rated = policy.update(steps, rated, params, **extra_args)
    shares, decayed = decay.update(
        jax.tree.map(jnp.zeros_like, steps),
        decayed,
        None if params is None else jax.tree.map(_one, params),
        **{**extra_args, 'decay_factor': rated.learning_rate},
    )

    def leaf(was, step, share, param):
      moved = (step - share * _wide(param)) / (1 + share)
      return moved.astype(jnp.result_type(was))

    steps = jax.tree.map(leaf, updates, steps, shares, params)
    return steps, (directed, decayed, rated)

  return optax.GradientTransformationExtraArgs(init, update)


def _wide(x: Any) -> jax.Array:
  return jnp.asarray(x, _leafwise.wide_dtype(x))


def _one(x: Any) -> jax.Array:
  return jnp.ones((), _leafwise.wide_dtype(x))
