"""The trace and the density of eigenvalues, against prescribed spectra."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
import numpy as np
import pytest

from lrax import stability

SIZE = 60
KEY = jax.random.key(1)


@Partial
def multiply(dense, vector):
  return dense @ vector


def matrix(spectrum):
  turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(spectrum),) * 2))
  return (turn * np.asarray(spectrum) @ turn.T).astype(np.float32)


def trace(dense, key=KEY):
  product = Partial(multiply.func, jnp.asarray(dense))
  return stability.hutchinson_trace(product, jnp.zeros(SIZE), key, samples=64)


def test_the_trace_is_within_its_error_and_the_error_is_as_the_formula_says():
  dense = matrix(np.linspace(-1, 3, SIZE))
  found = trace(dense)
  assert found.samples.shape == (64,)
  # Beyond 4 deviations once in 16,000 keys, and the key is fixed.
  assert abs(found.value - np.trace(dense)) < 4 * found.standard_error
  beside = dense - np.diag(np.diag(dense))
  expected = np.sqrt(2 * np.sum(beside**2) / 64)
  # The deviation of 64 samples is known to 1 / sqrt(128), 9%: 3 times that.
  np.testing.assert_allclose(found.standard_error, expected, rtol=0.27)
  np.testing.assert_allclose(found.value, np.mean(found.samples), rtol=1e-5)


def test_of_a_diagonal_the_trace_is_exact_in_any_unit():
  numbers = np.arange(SIZE) - 20.0
  for scale in (0, 1e-25, 1, 1e25):  # the squares of some are out of float32's range
    found = trace(np.diag(scale * numbers).astype(np.float32))
    # Some units of rounding of a sum of 60 numbers.
    np.testing.assert_allclose(found.value, scale * numbers.sum(), rtol=1e-5)
    assert found.standard_error <= 1e-5 * abs(found.value)
  assert np.isnan(trace(np.full((SIZE, SIZE), np.nan, np.float32)).value)


def density(spectrum, **settings):
  product = Partial(multiply.func, jnp.asarray(matrix(spectrum)))
  return stability.spectral_density(
      product, jnp.zeros(SIZE), KEY, probes=16, steps=30, **settings
  )


def moment(found, power):
  """The mean over probes, and its standard error."""
  nodes, weights = (np.asarray(x, np.float64) for x in (found.nodes, found.weights))
  of_probes = (weights * nodes**power).sum(1)
  return of_probes.mean(), of_probes.std(ddof=1) / 4


def test_the_density_has_the_moments_of_the_spectrum():
  spectrum = np.r_[np.zeros(40), np.linspace(-1, 1, 17), 5, 5, 10]
  found = density(spectrum)
  # All that the formula says of the weights, to the rounding of 30 numbers.
  np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-5)
  assert (found.weights >= 0).all()
  for power in (1, 2, 3):
    mean, error = moment(found, power)
    # Beyond 4 deviations of 16 probes about once in 900 keys, and the key is fixed.
    assert abs(mean - np.mean(spectrum**power)) < 4 * error
  # The integral; the grid's 0.02 is a fifth of the width of 0.1, 1% of 10.
  np.testing.assert_allclose(found.width, 0.1, rtol=1e-3)
  step = found.grid[1] - found.grid[0]
  np.testing.assert_allclose(found.density.sum() * step, 1, rtol=1e-3)
  np.testing.assert_allclose(found.grid[jnp.array([0, -1])], [-1.4, 10.4], atol=0.01)
  # One of 60 is at 10: its part, with the error of the probes.
  top = (found.grid > 9) * step
  error = np.sum(found.standard_error * top)
  assert abs(np.sum(found.density * top) - 1 / 60) < 4 * error


def test_the_density_in_any_unit_and_of_nothing():
  spectrum = np.r_[np.zeros(40), np.linspace(-1, 1, 17), 5, 5, 10]
  plain = density(spectrum)
  for scale in (1e-25, 1e25):
    found = density(scale * spectrum)
    np.testing.assert_allclose(found.width, 0.1 * scale, rtol=1e-3)
    step = float(found.grid[1] - found.grid[0])
    np.testing.assert_allclose(found.density.sum() * step, 1, rtol=1e-3)
    # The same shape, to the rounding of the matrices.
    np.testing.assert_allclose(
        found.density * scale, plain.density, atol=1e-3 * plain.density.max()
    )
  nothing = density(np.zeros(SIZE))
  assert nothing.width == 1 and (nothing.nodes == 0).all()
  middle = nothing.density[jnp.argmin(jnp.abs(nothing.grid))]
  np.testing.assert_allclose(middle, 1 / np.sqrt(2 * np.pi), rtol=1e-3)
  assert np.isnan(density(np.full(SIZE, np.nan)).density).all()


def test_on_the_host_it_is_the_same():
  dense = matrix(np.linspace(0, 1, SIZE))
  take = lambda product, **how: stability.spectral_density(
      product, jnp.zeros(SIZE), KEY, probes=2, steps=4, points=16, width=0.1, **how
  )
  traced = take(lambda vector: dense @ vector)
  found = take(lambda vector: dense @ np.asarray(vector), jit=False)
  assert np.float32(found.width) == np.float32(0.1)
  # NumPy rounds its products in another order.
  np.testing.assert_allclose(found.density, traced.density, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'take, arguments',
    [
        (stability.hutchinson_trace, {'samples': 1}),
        (stability.spectral_density, {'probes': 1}),
        (stability.spectral_density, {'points': 1}),
        (stability.spectral_density, {'width': 0}),
        (stability.power_iteration, {'steps': 0}),
    ],
)
def test_bad_arguments_are_refused(take, arguments):
  (name,) = arguments
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    take(lambda v: v, jnp.zeros(3), KEY, **arguments)
  with pytest.raises(ValueError, match='at least one number'):
    take(lambda v: v, {}, KEY)
