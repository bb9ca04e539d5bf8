"""The trace of an operator from products with random signs."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax.stability import _drive
from lrax.stability import _flat
from lrax.stability import _product


class Trace(NamedTuple):
  """The sum of an operator's eigenvalues, estimated."""

  value: jax.Array  # (): the mean of the samples, without bias
  standard_error: jax.Array  # (): of that mean, from the spread of the samples
  samples: jax.Array  # (samples,): signs . H signs, each an estimate


class _State(NamedTuple):
  key: chex.PRNGKey
  signs: jax.Array  # (size,): 1 or -1
  samples: jax.Array  # (samples,)
  taken: jax.Array  # int32
  going: jax.Array  # bool


def hutchinson_trace(
    product: _product.Product,
    params: chex.ArrayTree,
    key: chex.PRNGKey,
    *,
    samples: int = 32,
    jit: bool = True,
) -> Trace:
  """The trace of an operator, from products with random signs.

  Of a diagonal operator every sample is exact. The more lies beside the diagonal,
  the more samples differ: the error falls with the root of their number.

  Formula:
    value = mean of signs . H signs, each of the signs 1 or -1 with probability 1/2
    variance of a sample = 2 * sum of H[i, j] ** 2 over i != j, H symmetric

  Args:
    product: as of `lanczos`.
    params: the parameters: only their shapes and dtypes count.
    key: for the signs.
    samples: products, a whole number >= 2.
    jit: False for a product that cannot be traced. One of a `Stream` never is.

  Returns:
    A `Trace`; NaN where a product is not finite.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `params` are empty.

  Source:
    Hutchinson, "A stochastic estimator of the trace of the influence matrix for
    Laplacian smoothing splines", 1990.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> curvatures = jnp.array([1.0, 5.0, -2.0])
    >>> found = lrax.stability.hutchinson_trace(
    ...     lambda v: curvatures * v, curvatures, jax.random.key(0))
    >>> float(found.value), float(found.standard_error)
    (4.0, 0.0)
  """
  owner = 'hutchinson_trace'
  space = _flat.space(owner, params)
  _product.as_product(owner, product)
  samples = _drive.whole(owner, 'samples', samples)
  if samples < 2:
    raise _checks.refuse(
        owner, 'samples', 'a whole number >= 2', samples,
        'the error is told from their spread',
    )
  jit = _checks.flag(owner, 'jit', jit)
  return _drive.drive(_TRACE, samples, space, product, key, jit)


def signs(key: Any, size: int, dtype: Any) -> jax.Array:
  """(size,): 1 or -1, each with probability 1/2."""
  return jax.random.rademacher(key, (size,), dtype)


def _begin(settings: int, space: _flat.Space, key: Any) -> _State:
  return _State(
      key=key,
      signs=signs(jax.random.fold_in(key, 0), space.size, space.dtype),
      samples=jnp.zeros(settings, space.dtype),
      taken=jnp.zeros((), jnp.int32),
      going=jnp.ones((), bool),
  )


def _vector(state: _State) -> jax.Array:
  return state.signs


def _advance(settings: int, state: _State, image: jax.Array) -> _State:
  image, unit = _flat.scaled(image)
  taken = state.taken + 1
  drawn = jax.random.fold_in(state.key, taken)
  return _State(
      key=state.key,
      signs=signs(drawn, image.size, image.dtype),
      samples=state.samples.at[state.taken].set(state.signs @ image * unit),
      taken=taken,
      going=taken < settings,
  )


def _finish(settings: int, space: _flat.Space, state: _State) -> Trace:
  del space
  scaled, unit = _flat.scaled(state.samples)
  error = jnp.std(scaled, ddof=1) / jnp.sqrt(settings)
  return Trace(jnp.mean(scaled) * unit, error.astype(unit.dtype) * unit, state.samples)


_TRACE = _drive.Algorithm(_begin, _vector, _advance, _finish)
