"""A function of one leaf that JAX traces once for all leaves of one shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
from jax.interpreters.partial_eval import DynamicJaxprTracer

_MANY = 8


def traced_once(
    function: Callable[..., Any], tree: chex.ArrayTree
) -> Callable[..., Any]:
  """`function`, jitted where it is to be mapped over the many leaves of `tree`.

  A transformer has hundreds of leaves and few shapes. XLA inlines the calls before
  it fuses anything, so the compiled program stays the same. For pure functions of
  arrays to arrays: what differs from leaf to leaf must be an argument. Only inside
  `jax.jit`, which keeps what is traced; elsewhere each call would be compiled.
  """
  leaves = jax.tree.leaves(tree)
  inside = len(leaves) >= _MANY and all(
      isinstance(leaf, DynamicJaxprTracer) for leaf in leaves
  )
  return jax.jit(function) if inside else function
