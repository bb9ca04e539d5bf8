"""SOAP's direction: Adam along the eigenvectors of Shampoo's factors."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _norms
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._scheduled import scheduled


class ScaleBySoapState(NamedTuple):
  """State of `scale_by_soap`; for axes without a factor, None in the last two."""

  count: jax.Array  # int32, (): updates seen, the first one too
  mu: chex.ArrayTree  # average gradient, parameters' shapes
  nu: chex.ArrayTree  # average square in the rotated axes, float32 or wider
  factors: Any  # a tuple for each leaf: (n, n) for its axis of length n, wide
  bases: Any  # as factors: their eigenvectors, one a column


@scheduled('b1', 'b2', 'eps')
def scale_by_soap(
    b1: Numeric = 0.95,
    b2: Numeric = 0.95,
    eps: Numeric = 1e-8,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10_000,
    mu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Runs Adam in the axes along which the gradient has varied.

  Formula:
    rotated(x) = Q1' x Q2, Q1 and Q2 the eigenvectors of L and R
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * rotated(g) ** 2
    d = rotated(mu) / (sqrt(nu) + eps) * sqrt(1 - b2 ** k) / (1 - b1 ** k)
    update = Q1 d Q2'
    and then L = b2 * L + (1 - b2) * g g', R = b2 * R + (1 - b2) * g' g

    k = t - 1, where t counts updates from 1. The first update is 0 and makes L, R
    and their eigenvectors; when precondition_frequency divides t - 1 these are
    brought up to date by one step of power iteration, Q = qr(L Q), in the order of
    their eigenvalues. A leaf of more axes has a factor for each, one of fewer
    than two has none, which is Adam. b1, b2 and eps may be schedules: see
    `ScheduledState`.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the averages of squares and of the factors that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    precondition_frequency: updates between two changes of the axes, >= 1.
    max_precond_dim: an axis longer than this has no factor, >= 0; with 0 it is
      Adam for all leaves.
    mu_dtype: dtype of mu; None for the parameter's.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleBySoapState`. Updates
    keep their dtype and are computed in float32 or wider.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024,
    algorithm 3, with the authors' code, which skips the first update for every
    leaf, keeps mu unrotated and adds eps before the correction. One thing is ours:
    what the rotation leaves below 8 roundings of the whole, as along an axis in
    which a gradient has nothing, counts as 0; Adam would take it for a signal.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_soap()
    >>> params = {'w': jnp.diag(jnp.array([3.0, -2.0]))}
    >>> first, state = tx.update(params, tx.init(params))
    >>> second, _ = tx.update(params, state)
    >>> [[round(float(x), 4) for x in row] for row in second['w']]
    [[1.0, 0.0], [0.0, -1.0]]
  """
  owner = 'scale_by_soap'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  frequency = _checks.positive_steps(
      owner, 'precondition_frequency', precondition_frequency
  )
  longest = _checks.steps(owner, 'max_precond_dim', max_precond_dim)
  mu_dtype = _checks.dtype(owner, 'mu_dtype', mu_dtype)

  def init(params):
    def leaf(x):
      shape, dtype = np.shape(x), _leafwise.wide_dtype(x)
      is_matrix = len(shape) > 1 and np.size(x) > 0
      sides = [n if is_matrix and n <= longest else None for n in shape]
      make = lambda array: tuple(None if n is None else array(n) for n in sides)
      zeros = lambda n: jnp.zeros((n, n), dtype)
      return make(zeros), make(lambda n: jnp.eye(n, dtype=dtype))

    factors, bases = _leafwise.leafwise(leaf, 2, params)
    return ScaleBySoapState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.zeros(params, mu_dtype),
        nu=_leafwise.wide_zeros(params),
        factors=factors,
        bases=bases,
    )

  def update(updates, state, params=None, **extra_args):
    del params, extra_args
    count: Any = optax.safe_increment(state.count)
    is_first, moved = count == 1, jnp.maximum(count - 1, 1)
    correction = jnp.sqrt(bias_correction(b2, moved)) / bias_correction(b1, moved)
    # 0: the axes stay; 1: one step of power iteration; 2: from the start.
    is_due = (count - 1) % frequency == 0
    change = jnp.where(is_first, 2, jnp.where(is_due, 1, 0))

    def leaf(g, mu, nu, factors, bases):
      wide = g.astype(_leafwise.wide_dtype(g))
      as_real = lambda number: jnp.asarray(number, nu.dtype)
      average = lambda decay, old, new: (
          as_real(decay) * old + as_real(1 - decay) * new
      )
      moment = average(b1, mu.astype(wide.dtype), wide)
      square = average(b2, nu, _leafwise.square(_rotate(wide, bases)))
      step = _leafwise.safe_divide(
          _rotate(moment, bases), jnp.sqrt(square) + as_real(eps)
      )
      step = as_real(correction) * _turn(step, bases, back=True)
      step = jnp.where(is_first, 0, step).astype(g.dtype)
      moment = jnp.where(is_first, mu, moment.astype(mu.dtype))
      square = jnp.where(is_first, nu, square)
      factors = tuple(
          None if f is None else average(b2, f, _gram(wide, axis))
          for axis, f in enumerate(factors)
      )
      if any(f is not None for f in factors):
        bases, square = _follow(change, factors, bases, square)
      return step, moment, square, factors, bases

    steps, *kept = _leafwise.leafwise(
        leaf, 5, updates, state.mu, state.nu, state.factors, state.bases
    )
    return steps, ScaleBySoapState(count, *kept)

  return optax.GradientTransformationExtraArgs(init, update)


def _gram(x: jax.Array, axis: int) -> jax.Array:
  """The products of all slices along an axis, of shape (n, n)."""
  rows = jnp.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
  return rows @ jnp.conj(rows).T


def _turn(x: jax.Array, bases: tuple[Any, ...], back: bool) -> jax.Array:
  """`x` with each axis in the coordinates of its basis, or back from them."""
  for axis, basis in enumerate(bases):
    if basis is not None:
      matrix = basis.T if back else jnp.conj(basis)
      x = jnp.moveaxis(jnp.tensordot(x, matrix, ((axis,), (0,))), -1, axis)
  return x


def _rotate(x: jax.Array, bases: tuple[Any, ...]) -> jax.Array:
  """`x` in the coordinates of the bases, without what is rounding."""
  if all(basis is None for basis in bases):
    return x
  turned = _turn(x, bases, back=False)
  least = 8 * jnp.finfo(x.dtype).eps * _norms.norm(x)
  # Written so that NaN stays.
  return jnp.where(jnp.abs(turned) <= least, 0, turned)


@jax.jit
def _follow(
    change: jax.Array, factors: Any, bases: Any, square: jax.Array
) -> tuple[tuple[Any, ...], jax.Array]:
  """The bases after this update; compiled once where `update` is not."""
  choices = (_stay, _iterate, _eigenvectors)
  return jax.lax.switch(change, choices, factors, bases, square)


def _stay(
    factors: tuple[Any, ...], bases: tuple[Any, ...], square: jax.Array
) -> tuple[tuple[Any, ...], jax.Array]:
  del factors
  return bases, square


def _eigenvectors(
    factors: tuple[Any, ...], bases: tuple[Any, ...], square: jax.Array
) -> tuple[tuple[Any, ...], jax.Array]:
  """Those of the factors, of the largest eigenvalue first."""
  del bases
  find = lambda f: jnp.flip(jnp.linalg.eigh(f)[1], axis=1)
  return tuple(None if f is None else find(f) for f in factors), square


def _iterate(
    factors: tuple[Any, ...], bases: tuple[Any, ...], square: jax.Array
) -> tuple[tuple[Any, ...], jax.Array]:
  """One step of power iteration; the average square follows the new order."""
  found = []
  for axis, (factor, basis) in enumerate(zip(factors, bases)):
    if factor is None:
      found.append(None)
      continue
    image = factor @ basis
    values = jnp.real(jnp.sum(jnp.conj(basis) * image, axis=0))
    order = jnp.argsort(-values)
    square = jnp.take(square, order, axis=axis)
    found.append(jnp.linalg.qr(image[:, order])[0])
  return tuple(found), square
