"""Power iteration: the largest eigenvalue in size, with two vectors of memory."""

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
from lrax.stability import _lanczos
from lrax.stability import _product


class _Settings(NamedTuple):
  steps: int
  rtol: float


class _State(NamedTuple):
  vector: jax.Array  # (size,): of length 1
  value: jax.Array  # (): vector . H vector
  bound: jax.Array  # (): the length of H vector - value vector, and rounding
  steps: jax.Array  # int32: products taken
  good: jax.Array  # bool
  going: jax.Array  # bool


def power_iteration(
    product: _product.Product,
    params: chex.ArrayTree,
    key: chex.PRNGKey,
    *,
    steps: int = 1000,
    rtol: float = 1e-4,
    jit: bool = True,
) -> _lanczos.Eigenvalues:
  """The largest eigenvalue in size, from products and next to no memory.

  `lanczos` needs far fewer products, and finds several eigenvalues, of either end;
  this is for parameters so large that no more than a vector or two fit. It does not
  end where two eigenvalues of opposite signs are the largest.

  Formula:
    vector = H vector / |H vector|, value = vector . H vector
    error_bound = |H vector - value vector| + 8 units of rounding of the value

  Args:
    product: as of `lanczos`, symmetric.
    params: the parameters: only their shapes and dtypes count.
    key: for the vector to start from.
    steps: products at most, a whole number >= 1.
    rtol: the bound to reach, over the size of the value, a Python number > 0.
    jit: False for a product that cannot be traced. One of a `Stream` never is.

  Returns:
    `Eigenvalues` of one value. `converged` is False where `steps` were not enough,
    and where a product was not finite, with value and bound NaN.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `params` are empty.

  Source:
    von Mises and Pollaczek-Geiringer, "Praktische Verfahren der
    Gleichungsaufloesung", 1929; the bound: Parlett, "The Symmetric Eigenvalue
    Problem", 1980.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> curvatures = jnp.array([1.0, -5.0, 2.0])
    >>> found = lrax.stability.power_iteration(
    ...     lambda v: curvatures * v, curvatures, jax.random.key(0))
    >>> round(float(found.values[0]), 3), bool(found.converged)
    (-5.0, True)
  """
  owner = 'power_iteration'
  space = _flat.space(owner, params)
  _product.as_product(owner, product)
  settings = _Settings(
      _drive.whole(owner, 'steps', steps),
      _drive.known(owner, 'rtol', _checks.positive(owner, 'rtol', rtol)),
  )
  jit = _checks.flag(owner, 'jit', jit)
  return _drive.drive(_POWER_ITERATION, settings, space, product, key, jit)


def _begin(settings: _Settings, space: _flat.Space, key: Any) -> _State:
  del settings
  zero, no = jnp.zeros((), space.dtype), jnp.zeros((), bool)
  start = _krylov.noise(jax.random.bits(key), space.size, space.dtype)
  return _State(_flat.unit(start), zero, zero, jnp.zeros((), jnp.int32), no, ~no)


def _vector(state: _State) -> jax.Array:
  return state.vector


def _advance(settings: _Settings, state: _State, image: jax.Array) -> _State:
  image, unit = _flat.scaled(image)
  value = state.vector @ image
  rounding = 8 * jnp.finfo(image.dtype).eps * jnp.abs(value)
  bound = _flat.norm(image - value * state.vector) + rounding
  finite = jnp.isfinite(bound * unit)
  good = (bound <= settings.rtol * jnp.abs(value)) & finite
  going = finite & ~good & (state.steps + 1 < settings.steps)
  return _State(
      vector=jnp.where(going, _flat.unit(image), state.vector),
      value=jnp.where(finite, value * unit, jnp.nan),
      bound=jnp.where(finite, bound * unit, jnp.nan),
      steps=state.steps + 1,
      good=good,
      going=going,
  )


def _finish(settings: _Settings, space: _flat.Space, state: _State):
  del settings
  vectors = space.tree(state.vector[None])
  return _lanczos.Eigenvalues(
      state.value[None], state.bound[None], state.good, state.steps, vectors
  )


_POWER_ITERATION = _drive.Algorithm(_begin, _vector, _advance, _finish)
