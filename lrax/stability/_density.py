"""The density of an operator's eigenvalues, by stochastic Lanczos quadrature."""

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
from lrax.stability import _trace
from lrax.stability import _tridiagonal


class Density(NamedTuple):
  """How an operator's eigenvalues are distributed."""

  grid: jax.Array  # (points,): eigenvalues, rising
  density: jax.Array  # (points,): the share of eigenvalues for each unit of `grid`
  standard_error: jax.Array  # (points,): of the density, from the probes' spread
  width: jax.Array  # (): the standard deviation of the Gaussian of each node
  nodes: jax.Array  # (probes, steps): where each probe puts weight
  weights: jax.Array  # (probes, steps): how much, 1 in all for each probe


class _Settings(NamedTuple):
  probes: int
  steps: int
  points: int
  width: float | None


class _State(NamedTuple):
  key: chex.PRNGKey
  running: _krylov.State
  nodes: jax.Array  # (probes, steps)
  weights: jax.Array  # (probes, steps)
  probe: jax.Array  # int32: which one is running
  going: jax.Array  # bool


def spectral_density(
    product: _product.Product,
    params: chex.ArrayTree,
    key: chex.PRNGKey,
    *,
    probes: int = 8,
    steps: int = 64,
    width: float | None = None,
    points: int = 512,
    jit: bool = True,
) -> Density:
  """The density of an operator's eigenvalues, from products with vectors.

  From each of some random vectors, `probes`, Lanczos takes `steps` products; its
  eigenvalues and the part that the vector has in them stand for all of the
  operator's. Moments up to the power 2 * steps - 1 are without bias. The ends are
  sharp, and what lies between is smooth; keeps `steps` vectors.

  Formula:
    density(x) = mean over probes of sum over nodes of weight * gaussian(x - node)
    gaussian(d) = exp(-(d / width) ** 2 / 2) / (width * sqrt(2 pi))

  Args:
    product: as of `lanczos`, symmetric.
    params: the parameters: only their shapes and dtypes count.
    key: for the probes, vectors of random signs.
    probes: how many vectors, a whole number >= 2; the error falls with the root.
    steps: products for each at most, a whole number >= 1.
    width: the standard deviation of the Gaussians, a Python number > 0, in the
      operator's unit. None for 1% of the largest size of a node, or 1 where all
      are 0.
    points: of the grid, a whole number >= 2, from 4 widths below the lowest node to
      4 above the highest.
    jit: False for a product that cannot be traced. One of a `Stream` never is.

  Returns:
    A `Density`, whose integral is 1: times the number of parameters it counts
    eigenvalues. NaN where a product is not finite.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `params` are empty.

  Source:
    Ghorbani, Krishnan and Xiao, "An Investigation into Neural Net Optimization via
    Hessian Eigenvalue Density", 2019; Ubaru, Chen and Saad, "Fast Estimation of
    tr(f(A)) via Stochastic Lanczos Quadrature", 2017.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> curvatures = jnp.array([0.0, 0.0, 0.0, 1.0])
    >>> found = lrax.stability.spectral_density(
    ...     lambda v: curvatures * v, curvatures, jax.random.key(0), width=0.05)
    >>> step = found.grid[1] - found.grid[0]
    >>> round(float((found.density * (found.grid < 0.5)).sum() * step), 3)
    0.75
  """
  owner = 'spectral_density'
  space = _flat.space(owner, params)
  _product.as_product(owner, product)
  width = _checks.optional(_checks.positive)(owner, 'width', width)
  settings = _Settings(
      _drive.whole(owner, 'probes', probes),
      min(_drive.whole(owner, 'steps', steps), space.size),
      _drive.whole(owner, 'points', points),
      _drive.known(owner, 'width', width),
  )
  for name in ('probes', 'points'):
    if getattr(settings, name) < 2:
      raise _checks.refuse(
          owner, name, 'a whole number >= 2', getattr(settings, name),
          'their spread tells the error, or the step of the grid',
      )
  jit = _checks.flag(owner, 'jit', jit)
  return _drive.drive(_DENSITY, settings, space, product, key, jit)


def _begin(settings: _Settings, space: _flat.Space, key: Any) -> _State:
  zeros = jnp.zeros((settings.probes, settings.steps), space.dtype)
  start = _trace.signs(jax.random.fold_in(key, 0), space.size, space.dtype)
  running = _krylov.started(settings.steps, start, jnp.uint32(0))
  return _State(key, running, zeros, zeros, jnp.int32(0), jnp.ones((), bool))


def _vector(state: _State) -> jax.Array:
  return _krylov.vector(state.running)


def _advance(settings: _Settings, state: _State, image: jax.Array) -> _State:
  running = _krylov.extended(state.running, image)
  # What comes after vectors that span all there is has no part in the first.
  ended = ~running.going | (running.beside[running.steps - 1] == 0)
  return jax.lax.cond(
      ended, _next_probe, lambda _, state: state,
      settings.probes, state._replace(running=running),
  )


def _next_probe(probes: Any, state: _State) -> _State:
  running, probe = state.running, state.probe
  values, columns = _tridiagonal.eigen(running.diagonal, running.beside, running.steps)
  counts = _tridiagonal.real(values, running.steps)
  # Where a probe has fewer nodes, the others weigh 0, and are one of its own.
  nodes = jnp.where(counts, values, values[-1])
  weights = jnp.where(counts, columns[0] ** 2, 0 * columns[0])
  drawn = jax.random.fold_in(state.key, probe + 1)
  start = _trace.signs(drawn, running.basis.shape[1], running.basis.dtype)
  return _State(
      key=state.key,
      running=_krylov.started(len(running.diagonal), start, running.seed),
      nodes=state.nodes.at[probe].set(nodes),
      weights=state.weights.at[probe].set(weights),
      probe=probe + 1,
      going=probe + 1 < probes,
  )


def _finish(settings: _Settings, space: _flat.Space, state: _State) -> Density:
  del space
  # In a unit in which no square leaves the dtype's range.
  nodes, unit = _flat.scaled(state.nodes)
  largest = _flat.nonzero(unit)
  if settings.width is None:
    size = jnp.max(jnp.abs(nodes))
    width = jnp.where(size == 0, 1, 0.01 * size)
  else:
    width = (settings.width / largest).astype(nodes.dtype)
  ends = jnp.min(nodes) - 4 * width, jnp.max(nodes) + 4 * width
  grid = jnp.linspace(*ends, settings.points, dtype=nodes.dtype)

  def of_probe(nodes, weights):
    far = (grid[:, None] - nodes) / width
    return jnp.exp(-far * far / 2) @ weights / (width * jnp.sqrt(2 * jnp.pi))

  found = jax.lax.map(lambda probe: of_probe(*probe), (nodes, state.weights))
  error = jnp.std(found, 0, ddof=1) / jnp.sqrt(settings.probes)
  return Density(
      grid=grid * largest,
      density=jnp.mean(found, 0) / largest,
      standard_error=error.astype(nodes.dtype) / largest,
      width=width * largest,
      nodes=state.nodes,
      weights=state.weights,
  )


_DENSITY = _drive.Algorithm(_begin, _vector, _advance, _finish)
