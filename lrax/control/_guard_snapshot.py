"""A kept copy of the parameters and the state, and the way back to it."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax.control._guard_branch import branch

# An update adds a rounded difference, so parameters that went far need more
# than one to come back: each is off by a rounding of the one before. More than
# four means that something else changes them after the guard.
_MOST_RETURNS = 4


class Snapshot(NamedTuple):
  """What a roll-back goes back to."""

  params: chex.ArrayTree  # of the structure, shapes and dtypes of the parameters
  inner_state: Any  # the inner state, its NamedTuples as tuples: no one finds it
  age: jax.Array  # int32, (): updates applied since, or since a roll-back
  returns: jax.Array  # int32, (): updates that may still be spent on going back


def start(params: Any, inner_state: Any) -> Snapshot:
  """The snapshot of the start, in memory of its own: buffers may be donated."""
  copy = lambda tree: jax.tree.map(jnp.copy, tree)
  zero = lambda: jnp.zeros((), jnp.int32)
  return Snapshot(copy(params), copy(_hide(inner_state)), zero(), zero())


def refresh(snapshot: Snapshot, due: Any, params: Any, inner_state: Any) -> Snapshot:
  """The snapshot, of now where it is due."""
  kept = lambda: (snapshot.params, snapshot.inner_state)
  taken = lambda: (
      cast_like(params, snapshot.params),
      cast_like(_hide(inner_state), snapshot.inner_state),
  )
  params, inner_state = branch(jnp.asarray(due, jnp.int32), (kept, taken))
  return snapshot._replace(params=params, inner_state=inner_state)


def count(
    snapshot: Snapshot, good: Any, due: Any, rolls_back: Any, away: Any
) -> Snapshot:
  """The snapshot with its counts after this update."""
  # Taken before an update that was applied, it is one update old.
  age = jnp.where(due, 1, optax.safe_increment(snapshot.age))
  age = jnp.where(rolls_back, 0, jnp.where(good, age, snapshot.age))
  left = jnp.where(away, snapshot.returns - 1, 0)
  left = jnp.where(rolls_back, _MOST_RETURNS - 1, left)
  return snapshot._replace(age=age, returns=left)


def inner_state(snapshot: Snapshot, like: Any) -> Any:
  """The inner state that was kept, in the structure of `like`."""
  leaves = jax.tree.leaves(snapshot.inner_state)
  return cast_like(jax.tree.unflatten(jax.tree.structure(like), leaves), like)


def is_away(snapshot: Snapshot, params: Any) -> jax.Array:
  """Whether going back has begun and the parameters are not there yet."""

  def compare():
    differ = jax.tree.map(lambda p, s: jnp.any(p != s), params, snapshot.params)
    leaves = jax.tree.leaves(differ)
    return jnp.any(jnp.stack(leaves)) if leaves else jnp.zeros((), bool)

  index = (snapshot.returns > 0).astype(jnp.int32)
  return branch(index, (lambda: jnp.zeros((), bool), compare))


def way_back(snapshot: Snapshot, params: Any, updates: Any) -> Any:
  """Updates that lead from `params` to the snapshot, finite, like `updates`."""

  def leaf(update: Any, param: Any, goal: Any) -> Any:
    if update is None:
      return None
    if not jnp.issubdtype(jnp.result_type(update), jnp.inexact):
      return jnp.zeros_like(update)
    return jnp.nan_to_num(jnp.asarray(goal - param).astype(update.dtype))

  is_none = lambda leaf: leaf is None
  return jax.tree.map(leaf, updates, params, snapshot.params, is_leaf=is_none)


def cast_like(tree: Any, like: Any) -> Any:
  """The tree with the dtypes of `like`."""
  cast = lambda x, y: x if x.dtype == y.dtype else x.astype(y.dtype)
  return jax.tree.map(lambda x, y: cast(jnp.asarray(x), y), tree, like)


def _hide(tree: Any) -> Any:
  """The tree with tuples in place of NamedTuples, so that its states are not
  taken for the ones in use by what looks for them."""
  is_named = lambda node: isinstance(node, tuple) and hasattr(node, '_fields')
  plain = lambda node: tuple(map(_hide, node)) if is_named(node) else node
  return jax.tree.map(plain, tree, is_leaf=is_named)
