"""A small Gaussian process: what a function may be, from a few noisy values.

Observations are padded to a fixed size, and a mask says which of them are there,
so that a study compiles once. Give float64. Nothing here solves
a triangular system with many columns: the library behind that starts threads,
which on a busy machine wait a hundred times longer than they work.
"""

from __future__ import annotations

import functools
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

# Normal priors of the logarithms of the hyperparameters: (mean, deviation).
# Lengths count in widths of the range, and grow with the root of the number of
# dimensions, as distances do. The noise's variance is a share of the function's.
_LENGTH = (np.log(0.3), 1.0)
_NOISE = (np.log(1e-2), 2.0)
_LEAST_NOISE = 1e-6
# The prior of the function's variance: worth so many values, and the sum of
# their squares.
_VALUES, _SQUARES = 2.0, 2.0
# Adam on the hyperparameters, all in deviations of their priors: steps, first
# rate, and where it starts, as (lengths, noise).
_STEPS, _RATE = 25, 0.5
_STARTS = ((0.0, 0.0), (-1.0, -1.0))


class Data(NamedTuple):
  """Padded observations; what stands in the padding does not count."""

  x: Any  # (size, columns)
  y: Any  # (size,), of mean 0 and deviation 1 or so
  mask: Any  # bool, (size,): which are there
  exact: Any  # bool, (size,): which are free of noise


class Posterior(NamedTuple):
  """What the data say under some hyperparameters."""

  data: Data
  precision: jax.Array  # (groups,), 1 / length ** 2
  inverse: jax.Array  # (size, size), of the values' correlations
  weights: jax.Array  # (size,), inverse @ y
  fitted: jax.Array  # (size,), the function's mean where the values are
  variance: jax.Array  # (), of the function
  noise: jax.Array  # (), the variance of a value's noise


def squares(a: jax.Array, b: jax.Array, groups: tuple[int, ...]) -> jax.Array:
  """(groups, len(a), len(b)): squared distances along each group of columns."""
  columns = [(a[:, None, c] - b[:, c]) ** 2 for c in range(len(groups))]
  return jnp.stack([
      sum(column for column, g in zip(columns, groups) if g == group)
      for group in range(max(groups) + 1)
  ])


def matern(s: jax.Array) -> jax.Array:
  """Matern's correlation of smoothness 5/2, s being sqrt(5) distances."""
  return (1 + s + s**2 / 3) * jnp.exp(-s)


def log_posterior(
    place: jax.Array, data: Data, square: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The log of evidence and priors, but for a constant, and its gradient.

  The function's variance is integrated out, which makes the evidence Student's.
  With C the correlations, Q = inverse(C) and a = Q y, its derivative along a
  change dC is tr(((n + v) / (s + y'a) a a' - Q) dC) / 2.

  Formula:
    -(n + v) / 2 * log(s + y'a) - log|C| / 2 - |place|^2 / 2
    where the prior of the variance is worth v values of squares s

  Args:
    place: (groups + 1,), the log lengths and the log noise, in deviations from
      the means of their priors.
    data: the observations.
    square: `squares` between them.
  """
  precision, noise = _hyperparameters(place)
  s = jnp.sqrt(5 * _weighted(precision, square))
  factor, inverse = _factor(matern(s), noise, data)
  y = jnp.where(data.mask, data.y, 0)
  weights = inverse @ y
  n, total = _VALUES + jnp.sum(data.mask), _SQUARES + y @ weights
  value = -n / 2 * jnp.log(total) - jnp.sum(jnp.log(jnp.diag(factor)))
  slope = (n / total * jnp.outer(weights, weights) - inverse) / 2
  slope = jnp.where(data.mask[:, None] & data.mask, slope, 0)
  # Matern's derivative by log length is (1 + s) exp(-s) 5/3 square / length^2.
  by_lengths = jnp.sum(square * (slope * (1 + s) * jnp.exp(-s)), axis=(1, 2))
  by_lengths = by_lengths * precision * 5 / 3 * _LENGTH[1]
  noisy = jnp.sum(jnp.where(data.exact, 0, jnp.diag(slope)))
  by_noise = noisy * (noise - _LEAST_NOISE) * _NOISE[1]
  gradient = jnp.append(by_lengths, by_noise) - place
  return value - place @ place / 2, gradient


def _hyperparameters(place: jax.Array) -> tuple[jax.Array, jax.Array]:
  """1 / length ** 2 and the noise, from deviations of their priors."""
  mean = _LENGTH[0] + 0.5 * np.log(len(place) - 1)
  noise = _LEAST_NOISE + jnp.exp(_NOISE[0] + _NOISE[1] * place[-1])
  return jnp.exp(-2 * (mean + _LENGTH[1] * place[:-1])), noise


def _weighted(precision: jax.Array, square: jax.Array) -> jax.Array:
  """Their sum over groups, unrolled: a product of matrices so thin is slow."""
  zero = jnp.zeros_like(square[0])
  return sum((precision[g] * square[g] for g in range(len(square))), zero)


def _factor(
    correlation: jax.Array, noise: jax.Array, data: Data
) -> tuple[jax.Array, jax.Array]:
  """The values' correlations' Cholesky factor and inverse; padding is apart."""
  eye = jnp.eye(len(data.mask), dtype=correlation.dtype)
  both = data.mask[:, None] & data.mask
  full = jnp.where(both, correlation + jnp.diag(_noise_of(noise, data)), eye)
  factor = jnp.linalg.cholesky(full)
  inverse = _inverse_of_triangle(factor)
  return factor, inverse.T @ inverse


def _noise_of(noise: jax.Array, data: Data) -> jax.Array:
  """(size,), each value's."""
  return jnp.where(data.exact, _LEAST_NOISE, noise)


def _inverse_of_triangle(lower: jax.Array) -> jax.Array:
  """The inverse of a lower triangle, row by row."""
  eye = jnp.eye(len(lower), dtype=lower.dtype)
  row = lambda i, found: found.at[i].set((eye[i] - lower[i] @ found) / lower[i, i])
  return jax.lax.fori_loop(0, len(lower), row, jnp.zeros_like(lower))


@functools.partial(jax.jit, static_argnames='groups')
def fit(data: Data, groups: tuple[int, ...]) -> jax.Array:
  """The hyperparameters of the highest posterior, as `place` of `log_posterior`.

  Args:
    data: the observations.
    groups: for each column of `data.x` the number of the group whose length it
      shares.
  """
  square = squares(data.x, data.x, groups)
  adam = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS), b1=0.8, b2=0.95)

  def climb(start):
    def step(_, carry):
      place, state, best, highest = carry
      value, gradient = log_posterior(place, data, square)
      best = jnp.where(value > highest, place, best)
      update, state = adam.update(-gradient, state)
      return place + update, state, best, jnp.maximum(value, highest)

    lengths = jnp.full(max(groups) + 1, start[0])
    place = jnp.append(lengths, start[1]).astype(data.y.dtype)
    lowest = jnp.asarray(-jnp.inf, data.y.dtype)
    carry = place, adam.init(place), place, lowest
    return jax.lax.fori_loop(0, _STEPS, step, carry)[2:]

  places, values = jax.lax.map(climb, jnp.asarray(_STARTS, data.y.dtype))
  return places[jnp.argmax(values)]


@functools.partial(jax.jit, static_argnames='groups')
def condition(place: jax.Array, data: Data, groups: tuple[int, ...]) -> Posterior:
  """What the data say under hyperparameters; the variance is its mean."""
  precision, noise = _hyperparameters(place)
  square = squares(data.x, data.x, groups)
  correlation = matern(jnp.sqrt(5 * _weighted(precision, square)))
  inverse = _factor(correlation, noise, data)[1]
  y = jnp.where(data.mask, data.y, 0)
  weights = inverse @ y
  fitted = y - _noise_of(noise, data) * weights
  variance = (_SQUARES + y @ weights) / (_VALUES + jnp.sum(data.mask))
  return Posterior(
      Data(*data), precision, inverse, weights, fitted, variance, noise * variance
  )


@functools.partial(jax.jit, static_argnames='groups')
def predict(
    posterior: Posterior, x: jax.Array, groups: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
  """Mean and deviation of the function, without noise, at the rows of `x`."""
  square = squares(x, posterior.data.x, groups)
  cross = matern(jnp.sqrt(5 * _weighted(posterior.precision, square)))
  cross = jnp.where(posterior.data.mask, cross, 0)
  explained = jnp.sum((cross @ posterior.inverse) * cross, axis=1)
  left = jnp.maximum(1 - explained, 1e-10)  # rounding may take it below 0
  return cross @ posterior.weights, jnp.sqrt(posterior.variance * left)


def log_expected_improvement(
    mean: jax.Array, deviation: jax.Array, best: jax.Array
) -> jax.Array:
  """The log of how much lower than `best` a normal variable will be.

  Formula:
    log(deviation) + log(phi(z) + z * Phi(z)), z = (best - mean) / deviation
    below z = -10, where the sum cancels, its series
    log(phi(z) / z^2 * (1 - 3 / z^2 + 15 / z^4 - 105 / z^6))
  """
  z = (best - mean) / deviation
  near, far = jnp.maximum(z, -10.0), jnp.minimum(z, -10.0) ** -2
  density = jnp.exp(-(near**2) / 2) / np.sqrt(2 * np.pi)
  direct = jnp.log(density + near * jax.scipy.special.ndtr(near))
  series = far * (1 - 3 * far + 15 * far**2 - 105 * far**3)
  tail = jnp.log(series) - (z**2 + np.log(2 * np.pi)) / 2
  return jnp.log(deviation) + jnp.where(z > -10, direct, tail)
