"""What an update says about the health of the training."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._sum_all import sum_all
from lrax.control._guard_branch import branch


def read(
    value: Any,
    gradients: chex.ArrayTree,
    updates: chex.ArrayTree,
    params: chex.ArrayTree | None,
    axis_name: Any,
) -> tuple[jax.Array | None, jax.Array, jax.Array]:
  """The loss in its own dtype, the gradient's norm, and whether all is finite.

  Over `axis_name` the loss is averaged, the norm is the largest, and what is not
  finite on one replica is so on all.

  Raises:
    TypeError: the loss is no real scalar.
  """
  norm = _global_norm(gradients)
  finite = jnp.isfinite(norm) & _all_finite(updates, params)
  if value is not None:
    value = _scalar(value)
    finite &= jnp.isfinite(value)
  if axis_name is not None:
    finite = jax.lax.pmin(finite.astype(jnp.int32), axis_name) > 0
    norm = jax.lax.pmax(norm, axis_name)
    value = None if value is None else jax.lax.pmean(value, axis_name)
  return value, norm, finite


def _scalar(value: Any) -> jax.Array:
  """The loss as a floating-point scalar, in its dtype."""
  dtype = jnp.result_type(value)
  if jnp.ndim(value) or jnp.issubdtype(dtype, jnp.complexfloating):
    kind = f'an array of shape {jnp.shape(value)} and dtype {dtype}'
    raise _checks.refuse(
        'guard', 'value', 'a real scalar', kind, 'pass the mean loss', TypeError
    )
  floating = jnp.issubdtype(dtype, jnp.floating)
  return jnp.asarray(value, dtype if floating else _types.rate_dtype())


def _global_norm(tree: chex.ArrayTree) -> jax.Array:
  """The Euclidean norm of all leaves; finite exactly where all of them are.

  Where the sum of the squares overflows it is computed again of smaller numbers;
  a norm that is still too large is the largest finite one.
  """
  dtype = _types.rate_dtype()
  limits = jnp.finfo(dtype)
  leaves = _inexact(tree)

  def squares(factor: Any) -> Any:
    return sum_all(lambda x: (jnp.abs(x).astype(dtype) * factor) ** 2, leaves, dtype)

  def smaller():
    # A power of two so small that no sum of squares overflows, and none that
    # overflowed before underflows: 2**-96 in float32.
    factor = 2.0 ** -(limits.maxexp * 3 // 4)
    total = squares(factor)
    norm = jnp.minimum(jnp.sqrt(total) / factor, limits.max)
    return jnp.where(jnp.isfinite(total), norm, total)

  plain = squares(1)
  fits = jnp.isfinite(plain).astype(jnp.int32)
  return branch(fits, (smaller, lambda: jnp.sqrt(plain)))


def _all_finite(
    updates: chex.ArrayTree, params: chex.ArrayTree | None
) -> jax.Array:
  """Whether the updates, and the parameters after them, are finite.

  Without parameters, or with a tree of another structure, only the updates.
  """
  leaves = jax.tree.leaves(updates)
  after = leaves
  if params is not None and jax.tree.structure(params) == jax.tree.structure(updates):
    # As optax.apply_updates does; float16 can overflow in the sum alone.
    after = [
        jnp.asarray(p + u).astype(jnp.result_type(p)) if _is_inexact(u) else u
        for p, u in zip(jax.tree.leaves(params), leaves)
    ]
  finite = [jnp.all(jnp.isfinite(leaf)) for leaf in _inexact(after)]
  return jnp.all(jnp.stack(finite)) if finite else jnp.ones((), bool)


def _is_inexact(leaf: Any) -> bool:
  return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _inexact(tree: chex.ArrayTree) -> list[Any]:
  """The leaves that are trained: whole numbers have no gradient."""
  return [leaf for leaf in jax.tree.leaves(tree) if _is_inexact(leaf)]
