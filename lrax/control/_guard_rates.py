"""The learning rates and the clocks inside the state that is guarded."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from optax.schedules import InjectStatefulHyperparamsState

from lrax import _types

# Optax's states that are nothing but the clock of a schedule.
_CLOCKS = ('ScaleByScheduleState', 'WrappedScheduleState')


# The rate is backed off to the factor to this power at most.
_MOST_BACK_OFFS = 10


def back_off(
    recovery: jax.Array, backs_off: Any, good: jax.Array, factor: Any, steps: Any
) -> tuple[jax.Array, jax.Array]:
  """The good updates until the rate is recovered, and what to multiply it by."""
  deeper = jnp.minimum(recovery + steps, _MOST_BACK_OFFS * steps)
  recovery = jnp.where(backs_off, deeper, jnp.maximum(recovery - good, 0))
  dtype = _types.rate_dtype()
  scale = jnp.asarray(factor, dtype) ** (recovery / steps).astype(dtype)
  return recovery.astype(jnp.int32), scale


def _is_rate(node: Any) -> bool:
  return isinstance(node, _types.LearningRateState)


def _is_injected(node: Any) -> bool:
  return isinstance(node, InjectStatefulHyperparamsState)


def scale(state: Any, factor: Any) -> tuple[Any, bool]:
  """`state` with every learning rate times `factor`; whether it has one.

  `optax.inject_hyperparams` that schedules the rate drives what is inside it, and
  its states of other arguments are no learning rates.
  """
  found = []

  def visit(node: Any) -> Any:
    if _is_rate(node):
      found.append(node)
      times = lambda old: (old * factor).astype(old.dtype)
      # An override of NaN, which is none, stays NaN.
      return node._replace(
          scale=jax.tree.map(times, node.scale),
          override=jax.tree.map(times, node.override),
      )
    if not _is_injected(node):
      return node
    policies = dict(node.hyperparams_states)
    if _is_rate(policies.get('learning_rate')):
      policies['learning_rate'] = visit(policies['learning_rate'])
      return node._replace(hyperparams_states=policies)
    return node._replace(inner_state=walk(node.inner_state))

  def walk(tree: Any) -> Any:
    return jax.tree.map(
        visit, tree, is_leaf=lambda node: _is_rate(node) or _is_injected(node)
    )

  return walk(state), bool(found)


def take_settings(state: Any, hand: Any) -> Any:
  """`state` with the scale and the override of `hand`, which a user sets."""
  take = lambda node, other: (
      node._replace(scale=other.scale, override=other.override)
      if _is_rate(node)
      else node
  )
  return jax.tree.map(take, state, hand, is_leaf=_is_rate)


def take_clocks(state: Any, clocks: Any) -> Any:
  """`state` with the clock of every schedule as it is in `clocks`."""

  def take(node: Any, other: Any) -> Any:
    if _is_rate(node):
      return node._replace(step=other.step)
    if _is_scheduled(node):
      inside = take_clocks(node.inner_state, other.inner_state)
      return node._replace(step=other.step, inner_state=inside)
    return other if _is_clock(node) else node

  is_leaf = lambda node: _is_rate(node) or _is_clock(node) or _is_scheduled(node)
  return jax.tree.map(take, state, clocks, is_leaf=is_leaf)


def _is_clock(node: Any) -> bool:
  return type(node).__name__ in _CLOCKS


def _is_scheduled(node: Any) -> bool:
  """Whether it is lrax's state of a number that is a schedule, b1 say."""
  return {'step', 'memories', 'inner_state'} <= set(getattr(node, '_fields', ()))


def times(updates: Any, factor: jax.Array) -> Any:
  """`factor * updates` in float32 or wider, returned in the updates' dtype."""

  def leaf(update: Any) -> Any:
    dtype = jnp.result_type(update)
    if not jnp.issubdtype(dtype, jnp.inexact):
      return update
    wide = jnp.promote_types(dtype, jnp.float32)
    scaled = jnp.asarray(update, wide) * factor.astype(jnp.finfo(wide).dtype)
    return scaled.astype(dtype)

  return jax.tree.map(leaf, updates)
