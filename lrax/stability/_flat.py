"""A tree of parameters as one vector, and back: what eigenvalues are computed on."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks


class Space(NamedTuple):
  """The shapes of a tree of parameters; hashable."""

  treedef: Any
  shapes: tuple[tuple[int, ...], ...]
  dtypes: tuple[Any, ...]  # float32, or the leaf's where wider

  @property
  def size(self) -> int:
    """How many numbers there are."""
    return sum(int(np.prod(shape)) for shape in self.shapes)

  @property
  def dtype(self) -> Any:
    """The dtype of the vector: the widest."""
    return jnp.result_type(*self.dtypes)

  def vector(self, tree: chex.ArrayTree) -> jax.Array:
    """(size,): all numbers of a tree, one leaf after another.

    Raises:
      ValueError: they are no real numbers of these shapes.
    """
    leaves = self.treedef.flatten_up_to(tree)
    for leaf, shape in zip(leaves, self.shapes):
      if jnp.shape(leaf) != shape or jnp.iscomplexobj(leaf):
        raise ValueError(
            f'product: must return real numbers of the shape {shape} of its vector,'
            f' got {jnp.result_type(leaf)} of shape {jnp.shape(leaf)}.'
        )
    return jnp.concatenate([jnp.ravel(x).astype(self.dtype) for x in leaves])

  def tree(self, vector: jax.Array) -> chex.ArrayTree:
    """The tree of a vector, or of vectors in the last axis."""
    ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
    parts = jnp.split(vector, ends, -1)
    shaped = [
        part.reshape(vector.shape[:-1] + shape).astype(dtype)
        for part, shape, dtype in zip(parts, self.shapes, self.dtypes)
    ]
    return self.treedef.unflatten(shaped)


def space(owner: str, params: chex.ArrayTree) -> Space:
  """The space of these parameters; refused where they have no Hessian."""
  leaves, treedef = jax.tree.flatten(params)
  for leaf in leaves:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
      raise _checks.refuse(
          owner, 'params', 'a pytree of real floating-point arrays',
          f'a leaf of {jnp.result_type(leaf)}',
          'leave out what is not trained; write complex numbers as pairs', TypeError,
      )
  shapes = tuple(jnp.shape(leaf) for leaf in leaves)
  dtypes = tuple(wide_dtype(leaf) for leaf in leaves)
  found = Space(treedef, shapes, dtypes)
  if not leaves or found.size == 0:
    raise _checks.refuse(
        owner, 'params', 'a pytree of at least one number', params,
        'there is no curvature without parameters',
    )
  return found


def wide_dtype(leaf: Any) -> Any:
  """float32, or the dtype of the leaf where that is wider."""
  return jnp.promote_types(jnp.result_type(leaf), jnp.float32)


def widened(tree: chex.ArrayTree) -> chex.ArrayTree:
  """Leaves narrower than float32 in float32."""
  return jax.tree.map(lambda x: jnp.asarray(x, wide_dtype(x)), tree)


def scaled(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """`x` over a power of 2 near its largest size, and that, so that it is exact.

  Squares of the former stay in the dtype's range. Of zeros zeros and 0; what is not
  finite stays so.
  """
  largest = jnp.max(jnp.abs(x))
  kind = jnp.finfo(largest.dtype)
  bits = jax.lax.bitcast_convert_type(largest, f'uint{kind.bits}')
  bits &= ~bits.dtype.type((1 << kind.nmant) - 1)
  power = jax.lax.bitcast_convert_type(bits, largest.dtype)
  return x / nonzero(power), power


def nonzero(x: jax.Array) -> jax.Array:
  """`x` to divide by: 1 for 0."""
  return jnp.where(x == 0, 1, x)


def norm(x: jax.Array) -> jax.Array:
  """The root of the sum of squares, which may be far outside the dtype's range."""
  x, largest = scaled(x)
  return largest * jnp.sqrt(jnp.sum(x * x))


def unit(x: jax.Array) -> jax.Array:
  """`x` of length 1; of zeros zeros."""
  x, _ = scaled(x)
  return x / nonzero(norm(x))
