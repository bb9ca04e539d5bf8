"""Lanczos: the extreme eigenvalues of a symmetric operator, with their bounds."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax.stability import _drive
from lrax.stability import _flat
from lrax.stability import _krylov
from lrax.stability import _product
from lrax.stability import _tridiagonal


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


class _Found(NamedTuple):
  values: jax.Array  # (wanted,)
  bounds: jax.Array  # (wanted,)
  columns: jax.Array  # (steps, wanted): the vectors in the basis
  good: jax.Array  # bool, (): within the tolerance


class _State(NamedTuple):
  so_far: _krylov.State
  found: _Found
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
  Keeps `steps` vectors of the size of `params`, against all of which each new one is
  made orthogonal, again where that shortens it.

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
      `count` largest and then `count` smallest, some of which may be the same
      where there are fewer than 2 * `count` parameters or steps.
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
      _drive.whole(owner, 'steps', steps),
      _drive.whole(owner, 'count', count),
      _checks.choice('largest', 'smallest', 'magnitude', 'both')(owner, 'which', which),
      _drive.known(owner, 'rtol', _checks.positive(owner, 'rtol', rtol)),
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


def _begin(settings: _Settings, space: _flat.Space, key: Any) -> _State:
  wanted = _count(settings)
  seed = jax.random.bits(key)
  start = _krylov.noise(seed, space.size, space.dtype)
  zeros = lambda *shape: jnp.zeros(shape, space.dtype)
  no = jnp.zeros((), bool)
  found = _Found(zeros(wanted), zeros(wanted), zeros(settings.steps, wanted), no)
  return _State(_krylov.started(settings.steps, start, seed), found, ~no)


def _vector(state: _State) -> jax.Array:
  return _krylov.vector(state.so_far)


def _advance(settings: _Settings, state: _State, image: jax.Array) -> _State:
  so_far = _krylov.extended(state.so_far, image)
  k = so_far.steps
  # Eigenvalues of T are not free: the more steps, the more seldom.
  due = (k >= min(_count(settings), settings.steps))
  due &= k % jnp.maximum(1, k // 8) == 0
  found = jax.lax.cond(
      due | ~so_far.going, lambda: _judged(settings, so_far), lambda: state.found
  )
  return _State(so_far, found, so_far.going & ~found.good)


def _judged(settings: _Settings, state: _krylov.State) -> _Found:
  """What the projected operator says so far; NaN where it is not finite."""
  values, columns = _tridiagonal.eigen(state.diagonal, state.beside, state.steps)
  wanted = _wanted(settings, values, state.steps)
  last = columns[state.steps - 1, wanted] * state.beside[state.steps - 1]
  largest = jnp.max(jnp.where(_tridiagonal.real(values, state.steps), abs(values), 0))
  rounding = 8 * jnp.finfo(values.dtype).eps * largest
  bounds = jnp.abs(last) + state.defect + rounding
  values, columns = values[wanted], columns[:, wanted]
  # More may be wanted than there are where a product ends it early: NaN then.
  finite = jnp.isfinite(values).all() & jnp.isfinite(bounds).all()
  good = jnp.all(bounds <= settings.rtol * largest) & finite
  said = lambda x: jnp.where(finite, x, jnp.nan)
  return _Found(said(values), said(bounds), said(columns), good)


def _count(settings: _Settings) -> int:
  return settings.count * (2 if settings.which == 'both' else 1)


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


def _finish(settings: _Settings, space: _flat.Space, state: _State) -> Eigenvalues:
  del settings
  values, bounds, columns, good = state.found
  return Eigenvalues(
      values=values,
      error_bounds=bounds,
      converged=good,
      steps=state.so_far.steps,
      vectors=space.tree(_krylov.combined(state.so_far, columns)),
  )


_LANCZOS = _drive.Algorithm(_begin, _vector, _advance, _finish)
