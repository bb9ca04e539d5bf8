"""What wraps a transformation that yields a direction, and refuses a rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from lrax import _checks
from lrax import _types


def wrap(
    owner: str,
    transform: Any,
    leaf: Callable[[jax.Array, Any], jax.Array],
) -> optax.GradientTransformationExtraArgs:
  """`transform`, whose direction goes through `leaf(gradient, direction)`.

  The state is that of `transform`, which sees nothing of what is made of its
  direction, and the extra arguments are handed through to it.

  Args:
    owner: who refuses, for the messages.
    transform: what gives the direction.
    leaf: makes one array of an array of the gradient and one of the direction.

  Returns:
    The transformation.
  """
  advice = 'for example lrax.transforms.scale_by_adam()'
  rule = 'an optax.GradientTransformation'
  if not isinstance(transform, optax.GradientTransformation):
    raise _checks.refuse(owner, 'transform', rule, transform, advice, TypeError)
  inner = optax.with_extra_args_support(transform)

  def init(params):
    state = inner.init(params)
    if _has_rate(state):
      raise _checks.refuse(
          owner, 'transform', 'a direction, without a learning rate',
          'one whose state holds a lrax.LearningRateState',
          'an update is minus a rate times the direction, so that no sign would'
          f' agree: wrap the transform, {advice}, and put the rate behind it'
          ' with lrax.with_learning_rate',
      )
    return state

  def update(updates, state, params=None, **extra_args):
    directions, state = inner.update(updates, state, params, **extra_args)
    return jax.tree.map(leaf, updates, directions), state

  return optax.GradientTransformationExtraArgs(init, update)


def _has_rate(state: Any) -> bool:
  is_rate = lambda node: isinstance(node, _types.LearningRateState)
  return any(map(is_rate, jax.tree.leaves(state, is_leaf=is_rate)))
