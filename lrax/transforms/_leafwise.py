"""Maps one function with several results over trees, leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp


def leafwise(
    function: Callable[..., tuple[Any, ...]],
    outputs: int,
    tree: chex.ArrayTree,
    *rest: chex.ArrayTree,
) -> tuple[chex.ArrayTree, ...]:
  """`jax.tree.map` for a function that returns `outputs` results a leaf."""
  leaves, treedef = jax.tree.flatten(tree)
  columns = [treedef.flatten_up_to(other) for other in rest]
  results = [
      function(jnp.asarray(leaf), *row) for leaf, *row in zip(leaves, *columns)
  ]
  if not results:
    return (tree,) * outputs
  return tuple(treedef.unflatten(column) for column in zip(*results))


def zeros(tree: chex.ArrayTree, dtype: Any = None) -> chex.ArrayTree:
  """Zeros of the tree's shapes, in `dtype` or in the leaves' own.

  For a complex leaf a real `dtype` means the complex one of that precision.
  """

  def leaf(x: Any) -> jax.Array:
    chosen = jnp.result_type(x) if dtype is None else jnp.dtype(dtype)
    if jnp.iscomplexobj(x):
      chosen = jnp.promote_types(chosen, jnp.complex64)
    # Given by name, it is a strong type even where the leaf is a Python number.
    return jnp.zeros_like(x, dtype=chosen)

  return jax.tree.map(leaf, tree)


def wide_zeros(
    tree: chex.ArrayTree, value: Any = 0.0, real: bool = True
) -> chex.ArrayTree:
  """`value` in the tree's shapes, in float32 or the leaves' wider dtype.

  An average of squares with a decay of 0.999 loses its increments, and never
  decays, in bfloat16. Squares are real; `real=False` is for other averages.
  """

  def leaf(x: Any) -> jax.Array:
    dtype = wide_dtype(x)
    return jnp.full_like(x, value, dtype=real_dtype(dtype) if real else dtype)

  return jax.tree.map(leaf, tree)


def wide_dtype(x: Any) -> Any:
  """float32, or the wider dtype of `x`, in which its update is computed."""
  return jnp.promote_types(jnp.result_type(x), jnp.float32)


def real_dtype(dtype: Any) -> Any:
  """The dtype of the absolute value of numbers of `dtype`."""
  return jnp.finfo(dtype).dtype


def square(x: jax.Array) -> jax.Array:
  """|x|**2, real for complex numbers too."""
  return jnp.real(x * jnp.conj(x)) if jnp.iscomplexobj(x) else x * x


def safe_divide(
    numerator: jax.Array, denominator: jax.Array, least: Any = 0.0
) -> jax.Array:
  """`numerator / denominator`, and 0 where the denominator is 0.

  `least` is what the denominator is known to be no less than, such as an eps that
  was added: where it is a number that XLA does not flush to 0, nothing is guarded.
  """
  if isinstance(least, float) and least >= float(jnp.finfo(jnp.float32).tiny):
    return numerator / denominator
  zero = denominator == 0
  return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))
