"""Decoupled weight decay, and what scales it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks
from lrax import _policy
from lrax import _types
from lrax import schedules
from lrax._traced_once import traced_once
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled

_coupling = _checks.choice('rate', 'schedule', 'none')


@scheduled('weight_decay')
def add_decayed_weights(
    owner: str, weight_decay: Any, mask: Any
) -> optax.GradientTransformationExtraArgs:
  """Adds `decay_factor * weight_decay * parameter` where `mask` says.

  `decay_factor` is a keyword of `update`, 1 where it is not given. The state is
  that of `optax.add_decayed_weights`; unlike there the sum is computed in float32
  or wider and the updates keep their dtype.
  """
  decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  if not (mask is None or callable(mask) or _is_tree_of_bools(mask)):
    raise _checks.refuse(
        owner, 'mask', 'None, a tree of bools, or a function of the parameters',
        mask, 'True where weights decay', TypeError,
    )
  is_zero = isinstance(decay, float) and not decay

  def add(updates, state, params=None, *, decay_factor=1.0, **extra_args):
    del extra_args

    def leaf(update, param):
      total = update + decay * decay_factor * _wide(param)
      return total.astype(jnp.result_type(update))

    if is_zero:
      return updates, state
    leaf = traced_once(leaf, updates)
    skip_none = lambda u, p: None if u is None else leaf(u, p)
    is_none = lambda x: x is None
    return jax.tree.map(skip_none, updates, params, is_leaf=is_none), state

  inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), add)
  if mask is not None:
    inner = optax.masked(inner, mask)
  inner = optax.with_extra_args_support(inner)

  def update(updates, state, params=None, **extra_args):
    if params is None:
      raise ValueError(
          f'{owner}: `params` must be given to update, got None; the weights decay'
          ' with them: call tx.update(grads, state, params).'
      )
    return inner.update(updates, state, params, **extra_args)

  return optax.GradientTransformationExtraArgs(inner.init, update)


def couple(
    owner: str,
    direction: optax.GradientTransformationExtraArgs,
    decay: optax.GradientTransformationExtraArgs,
    policy: _policy.Schedule,
    decay_coupling: str,
    reference_rate: Any,
) -> optax.GradientTransformationExtraArgs:
  """The optimizer made of a direction, a decay and a rate.

  Its state is the same for every coupling. The rate scales the decay in 'rate' by
  coming after it; in the others the decay comes last and takes a multiple of the
  rate that was applied.
  """
  decay_coupling = _coupling(owner, 'decay_coupling', decay_coupling)
  reference = _reference(owner, policy, decay_coupling, reference_rate)
  if decay_coupling == 'rate':
    return optax.chain(direction, decay, policy)

  def init(params):
    return direction.init(params), decay.init(params), policy.init(params)

  def update(updates, state: Any, params=None, **extra_args):
    rated: Any
    directed, decayed, rated = state
    steps, directed = direction.update(updates, directed, params, **extra_args)
    # Wide until the decay is in: the sum is rounded to their dtype once.
    steps = jax.tree.map(_wide, steps)
    steps, rated = policy.update(steps, rated, params, **extra_args)
    factor: Any = -1.0
    if decay_coupling == 'schedule':
      # Only a traced reference can be 0, that of a constant rate of 0: no decay.
      factor = -_leafwise.safe_divide(rated.learning_rate, reference)
    steps, decayed = decay.update(
        steps, decayed, params, **{**extra_args, 'decay_factor': factor}
    )
    cast = lambda step, was: step.astype(jnp.result_type(was))
    return jax.tree.map(cast, steps, updates), (directed, decayed, rated)

  return optax.GradientTransformationExtraArgs(init, update)


def _reference(
    owner: str, policy: _policy.Schedule, decay_coupling: str, reference_rate: Any
) -> Any:
  """The rate at which 'schedule' decays by the coefficient; None elsewhere."""
  if decay_coupling != 'schedule':
    if reference_rate is not None:
      raise _checks.refuse(
          owner, 'reference_rate', "None unless decay_coupling='schedule'",
          reference_rate, 'leave it out',
      )
    return None
  constant = policy.constructor is schedules.constant
  if reference_rate is None and constant:
    reference_rate = policy.arguments['value']
  if reference_rate is None:
    raise _checks.refuse(
        owner, 'reference_rate',
        "given where decay_coupling='schedule' and the rate is no constant", None,
        'pass the peak of the schedule',
    )
  reference = _checks.positive(owner, 'reference_rate', reference_rate)
  return jnp.asarray(reference, _types.rate_dtype())


def _wide(x: Any) -> jax.Array:
  return jnp.asarray(x, _leafwise.wide_dtype(x))


def _is_tree_of_bools(mask: Any) -> bool:
  return all(isinstance(x, (bool, np.bool_)) for x in jax.tree.leaves(mask))
