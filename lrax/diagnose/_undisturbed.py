"""Looks at some updates of an optimizer and leaves the kernels of the others alone.

Sums over all entries of an update make XLA write the update to memory, where it would
otherwise fuse it into the step, and copy what the step overwrites in its place. Both
cost as much as half a step of AdamW on a CPU, at every step, measured or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp

from lrax.control._guard_branch import branch


def look_first(
    attempt: Callable[[Any], tuple[Any, Any]],
    before: Any,
    due: Any,
    look: Callable[[Any], Any],
    kept: Any,
) -> tuple[Any, Any, Any]:
  """`attempt(before)`; and first, where it is due, once more for `look`.

  What is held back until then is the state, not the gradient, whose norm an inner
  clipping takes.

  Args:
    attempt: gives the updates and the state after them.
    before: the state before.
    due: bool, (): whether to look.
    look: of the updates; a tree like `kept`.
    kept: what there is where it was not looked, its last leaf a count.

  Returns:
    The updates, the state after them, and what there is now instead of `kept`.
  """
  if not isinstance(due, Tracer):
    return look_after(*attempt(before), due, look, kept)
  attempt = jax.jit(attempt)  # traced once, and inlined by XLA
  kept = branch(due * 1, (lambda: kept, lambda: look(attempt(before)[0])))
  before = _after(kept, before)
  stepped, after = attempt(before)
  if not any(map(_is_held_back, jax.tree.leaves(before))):
    stepped = _after(kept, stepped)
  return stepped, after, kept


def look_after(
    stepped: Any, after: Any, due: Any, look: Callable[[Any], Any], kept: Any
) -> tuple[Any, Any, Any]:
  """The same of updates that are in memory already, as those of a branch are."""
  kept = branch(due * 1, (lambda: kept, lambda: look(stepped)))
  return _after(kept, stepped) if isinstance(due, Tracer) else stepped, after, kept


def _after(kept: Any, tree: Any) -> Any:
  """The same tree, of which nothing can be computed before `kept` is there.

  A count is never negative, but XLA cannot know.
  """
  there = kept[-1] >= 0
  hold = lambda x: jnp.where(there, x, jnp.zeros_like(x)) if _is_held_back(x) else x
  return jax.tree.map(hold, tree)


def _is_held_back(x: Any) -> bool:
  return isinstance(x, Tracer) and jnp.issubdtype(x.dtype, jnp.inexact)
