"""Lanczos: the extreme eigenvalues of a symmetric operator, with their bounds."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp

from lrax import _checks
from lrax.stability import _drive
from lrax.stability import _flat
from lrax.stability import _product
from lrax.stability import _tridiagonal

_ROWS = 8  # of the basis, at a time


class Eigenvalues(NamedTuple):
  """Eigenvalues of a symmetric operator, and how sure they are.

  Each is within its bound of a true eigenvalue. That none beyond the largest was
  overlooked no such method can tell: a start that by chance is orthogonal to its
  eigenvector does not see it.
  """

  values: jax.Array  # (k,), the operator's unit; NaN where a product was not finite
  error_bounds: jax.Array  # (k,), >= 0: the length of H v - value v, and rounding
  converged: jax.Array  # bool, (): every bound is within the tolerance
  steps: jax.Array  # int32, (): products taken
  vectors: Any  # like the parameters, with a first axis (k,): of length 1


class _Settings(NamedTuple):
  steps: int
  count: int
  which: str
  rtol: float


class _State(NamedTuple):
  key: chex.PRNGKey
  basis: jax.Array  # (steps, size): orthonormal rows, zeros after the last
  diagonal: jax.Array  # (steps,)
  beside: jax.Array  # (steps,): what couples a row and the next; 0: a new start
  last: jax.Array  # (): what would couple the last row and the next
  steps: jax.Array  # int32: products taken
  defect: jax.Array  # (): how far the projected operator is from tridiagonal
  going: jax.Array  # bool


def lanczos(
    product: _product.Product,
    params: chex.ArrayTree,
    key: chex.PRNGKey,
    *,
    steps: int = 64,
    count: int = 1,
    which: str = 'largest',
    rtol: float = 1e-4,
    jit: bool = True,
) -> Eigenvalues:
  """The extreme eigenvalues of a symmetric operator, from products with vectors.

  It stops as soon as the bounds of all the wanted are small enough, or the vectors
  span all there is to find. A multiple eigenvalue is found once, as by any method
  that starts from one vector, unless what that vector spans is exhausted earlier.
  Keeps `steps` vectors of the size of `params`, against which each new one is made
  orthogonal, twice.

  Formula:
    H V = V T + r e^T, T tridiagonal, V orthonormal
    T s = value s: |H V s - value V s| <= |r| |last of s| + |defect|

    The defect is what V^T H V has outside of T, that is, what rounding leaves, or a
    product that is not symmetric. A further 8 units of rounding of the largest
    value stand for the arithmetic with T.

  Args:
    product: from a pytree like `params`, in float32 or the dtype of `params` where
      wider, to its product: as of `hessian_product` or `task_product`, or any
      function of yours, symmetric.
    params: the parameters: only their shapes and dtypes count.
    key: for the vector to start from; the same finds the same.
    steps: products at most, a whole number from `count`; more than there are
      parameters are never taken.
    count: how many eigenvalues, a whole number >= 1.
    which: 'largest', 'smallest', 'magnitude' (the largest in size), or 'both':
      `count` largest and then `count` smallest.
    rtol: the bound to reach, over the largest size of a value found, a Python
      number > 0.
    jit: False for a product that cannot be traced. One of a `Stream` never is.

  Returns:
    `Eigenvalues`: the extreme one first, in float32 or the widest dtype of
    `params`. `converged` is False where `steps` were not enough, and where a
    product was not finite, with values and bounds NaN.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `params` are empty.

  Source:
    Lanczos, "An iteration method for the solution of the eigenvalue problem of
    linear differential and integral operators", 1950; bounds and
    reorthogonalisation: Parlett, "The Symmetric Eigenvalue Problem", 1980.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> curvatures = jnp.array([1.0, 5.0, -2.0])
    >>> found = lrax.stability.lanczos(
    ...     lambda v: curvatures * v, curvatures, jax.random.key(0), which='both')
    >>> [round(float(x), 3) for x in found.values], bool(found.converged)
    ([5.0, -2.0], True)
  """
  owner = 'lanczos'
  space = _flat.space(owner, params)
  _product.as_product(owner, product)
  settings = _Settings(
      _whole(owner, 'steps', steps),
      _whole(owner, 'count', count),
      _checks.choice('largest', 'smallest', 'magnitude', 'both')(owner, 'which', which),
      _known(owner, 'rtol', _checks.positive(owner, 'rtol', rtol)),
  )
  for name, limit in (('steps', settings.steps), ('parameters', space.size)):
    if settings.count > limit:
      raise _checks.refuse(
          owner, 'count', f'at most the {limit} {name}', settings.count,
          'each product finds one more at most',
      )
  settings = settings._replace(steps=min(settings.steps, space.size))
  jit = _checks.flag(owner, 'jit', jit)
  return _drive.drive(_LANCZOS, settings, space, product, key, jit)


def _whole(owner: str, name: str, value: Any) -> int:
  return int(_known(owner, name, _checks.count(owner, name, value)))


def _known(owner: str, name: str, value: Any) -> Any:
  """The number, refused where it is traced: it decides what is compiled."""
  if isinstance(value, Tracer):
    raise _checks.refuse(
        owner, name, 'a Python number', value, 'it decides what is compiled', TypeError
    )
  return float(value) if isinstance(value, (float, jax.Array)) else value


def _begin(settings: _Settings, space: _flat.Space, key: Any) -> _State:
  dtype, steps = space.dtype, settings.steps
  key, draw = jax.random.split(key)
  start = jax.random.normal(draw, (space.size,), dtype)
  zero = jnp.zeros((), dtype)
  return _State(
      key=key,
      basis=jnp.zeros((steps, space.size), dtype).at[0].set(_unit(start)),
      diagonal=jnp.zeros(steps, dtype),
      beside=jnp.zeros(steps, dtype),
      last=zero,
      steps=jnp.zeros((), jnp.int32),
      defect=zero,
      going=jnp.ones((), bool),
  )


def _vector(state: _State) -> jax.Array:
  return jax.lax.dynamic_index_in_dim(state.basis, state.steps, keepdims=False)


def extended(state: _State, image: jax.Array) -> _State:
  """After one more product; `going` is whether there may be a next."""
  k, steps = state.steps, len(state.diagonal)
  rest, unit = _flat.scaled(image)
  first, rest = _orthogonal(state.basis, rest, k + 1)
  second, rest = _orthogonal(state.basis, rest, k + 1)
  column = (first + second) * unit
  before = jnp.where(k > 0, state.beside[k - 1], 0)
  defect = column.at[k].set(0).at[k - 1].add(-before)
  length = _flat.norm(rest) * unit
  diagonal = state.diagonal.at[k].set(column[k])
  largest = jnp.maximum(jnp.max(jnp.abs(diagonal)), jnp.max(jnp.abs(state.beside)))
  largest = jnp.maximum(largest, jnp.abs(length))
  # No more than rounding is left: what the vectors span is mapped into itself.
  closed = length <= 10 * jnp.finfo(length.dtype).eps * largest
  key, draw = jax.random.split(state.key)

  def fresh(rest):
    new = jax.random.normal(draw, rest.shape, rest.dtype)
    for _ in range(2):
      new = _orthogonal(state.basis, new, k + 1)[1]
    return new

  rest = jax.lax.cond(closed, fresh, lambda rest: rest, rest)
  left = jnp.where(closed, 0, length)
  lost = jnp.hypot(_flat.norm(defect), jnp.where(closed, length, 0))
  finite = jnp.isfinite(column).all() & jnp.isfinite(length)
  more = k + 1 < steps
  place = jnp.minimum(k + 1, steps - 1)
  row = jnp.where(more, _unit(rest), state.basis[place])
  return _State(
      key=key,
      basis=jax.lax.dynamic_update_index_in_dim(state.basis, row, place, 0),
      diagonal=diagonal,
      beside=state.beside.at[k].set(left),
      last=left,
      steps=k + 1,
      defect=jnp.hypot(state.defect, lost),
      going=more & finite,
  )


def _unit(x: jax.Array) -> jax.Array:
  x, _ = _flat.scaled(x)
  return x / jnp.maximum(_flat.norm(x), jnp.finfo(x.dtype).tiny)


def _orthogonal(
    basis: jax.Array, vector: jax.Array, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The products with the first rows, and what is left of the vector without them.

  A block of rows at a time, so that each is read from memory once.
  """
  steps = len(basis)
  size = min(_ROWS, steps)

  def block(i, carry):
    products, vector = carry
    # The last one may overlap that before it, to which the vector is orthogonal.
    at = jnp.minimum(i * size, steps - size)
    part = jax.lax.dynamic_slice_in_dim(basis, at, size)
    found = part @ vector
    old = jax.lax.dynamic_slice_in_dim(products, at, size)
    products = jax.lax.dynamic_update_slice_in_dim(products, old + found, at, 0)
    return products, vector - found @ part

  # Zeros of the vector's kind: over devices it may be one's own.
  zeros = jnp.zeros(steps, vector.dtype) + 0 * vector[0]
  blocks = (rows + size - 1) // size
  return jax.lax.fori_loop(0, blocks, block, (zeros, vector))


def _judged(settings: _Settings, state: _State) -> tuple[jax.Array, ...]:
  """The wanted values, bounds, their columns in T's basis, and whether they do."""
  values, columns = _tridiagonal.eigen(state.diagonal, state.beside, state.steps)
  wanted = _wanted(settings, values, state.steps)
  last = columns[state.steps - 1, wanted]
  largest = jnp.max(jnp.where(_tridiagonal.real(values, state.steps), abs(values), 0))
  rounding = 8 * jnp.finfo(values.dtype).eps * largest
  bounds = jnp.abs(state.last * last) + state.defect + rounding
  good = jnp.all(bounds <= settings.rtol * largest) & jnp.isfinite(bounds).all()
  return values[wanted], bounds, columns[:, wanted], good


def _wanted(settings: _Settings, values: jax.Array, found: jax.Array) -> jax.Array:
  """The places of the wanted among rising values, of which the first are no values."""
  steps, places = settings.steps, jnp.arange(settings.count)
  largest, smallest = steps - 1 - places, steps - found + places
  if settings.which == 'magnitude':
    sizes = jnp.where(_tridiagonal.real(values, found), jnp.abs(values), -1)
    return jnp.argsort(-sizes)[: settings.count]
  return {
      'largest': largest,
      'smallest': smallest,
      'both': jnp.concatenate([largest, smallest]),
  }[settings.which]


def _advance(settings: _Settings, state: _State, image: jax.Array) -> _State:
  state = extended(state, image)
  k = state.steps
  # Eigenvalues of T are not free: the more steps, the more seldom.
  due = state.going & (k >= settings.count) & (k % jnp.maximum(1, k // 8) == 0)
  good = jax.lax.cond(
      due, lambda: _judged(settings, state)[-1], lambda: jnp.zeros_like(due)
  )
  return state._replace(going=state.going & ~good)


def _finish(settings: _Settings, space: _flat.Space, state: _State) -> Eigenvalues:
  values, bounds, columns, good = _judged(settings, state)
  finite = jnp.isfinite(values).all() & jnp.isfinite(bounds).all()
  nan = jnp.nan
  return Eigenvalues(
      values=jnp.where(finite, values, nan),
      error_bounds=jnp.where(finite, bounds, nan),
      converged=good & finite,
      steps=state.steps,
      vectors=space.tree(jnp.where(finite, columns.T @ state.basis, nan)),
  )


_LANCZOS = _drive.Algorithm(_begin, _vector, _advance, _finish)
