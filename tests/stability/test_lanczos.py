"""Lanczos and power iteration on prescribed spectra: values, bounds, verdicts."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
import numpy as np
import pytest

from lrax import stability

SIZE = 40
SPECTRA = {
    'spread': np.linspace(-1, 3, SIZE),
    'clustered': np.r_[np.linspace(0, 1, SIZE - 4), 2, 2 + 1e-6, 2 + 1e-3, 2 + 2e-3],
    'negative': -np.geomspace(1e-3, 5, SIZE),
    'zero': np.r_[np.zeros(SIZE - 3), 1, 2, -3],
    'multiple': np.r_[np.ones(10), np.full(20, 4.0), np.full(10, -2.0)],
    'wide': np.geomspace(1e-12, 1, SIZE),
}
KEY = jax.random.key(3)
ENDS = {'count': 2, 'which': 'both', 'rtol': 1e-3}


def matrix(spectrum, dtype):
  """A dense symmetric matrix, and the eigenvalues that it has once rounded."""
  spectrum = np.asarray(spectrum)
  turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(spectrum),) * 2))
  dense = turn * spectrum @ turn.T
  dense = np.asarray((dense + dense.T) / 2, dtype)
  return dense, np.linalg.eigvalsh(dense.astype(np.float64))


@Partial
def multiply(dense, vector):
  return dense @ vector


def product(dense):
  """A product whose matrix is an argument: one compilation for all of a size."""
  return Partial(multiply.func, jnp.asarray(dense))


def both_ends(dense, **settings):
  params = jnp.zeros(len(dense), dense.dtype)
  return stability.lanczos(product(dense), params, KEY, **ENDS | settings)


def nearest(values, truth):
  """How far each value is from the nearest true one."""
  return np.abs(np.asarray(values, np.float64)[:, None] - truth).min(1)


def holds(found, dense, truth):
  """The bounds are above the true errors, and above the lengths of residuals."""
  bounds = np.asarray(found.error_bounds, np.float64)
  assert (nearest(found.values, truth) <= bounds).all()
  vectors = np.asarray(found.vectors, np.float64)
  values = np.asarray(found.values, np.float64)[:, None]
  rest = vectors @ dense.astype(np.float64) - values * vectors
  assert (np.linalg.norm(rest, axis=1) <= bounds).all()
  # Of length 1 and orthogonal to what rounding leaves of 40 numbers.
  eps = np.finfo(dense.dtype).eps
  np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(bounds)), atol=50 * eps)


@pytest.mark.parametrize('name', SPECTRA)
def test_values_and_bounds_in_float32(name):
  dense, truth = matrix(SPECTRA[name], np.float32)
  found = both_ends(dense)
  assert found.converged and found.values.dtype == jnp.float32
  holds(found, dense, truth)
  # The ends are those of the whole spectrum, to the tolerance.
  size = np.abs(truth).max()
  np.testing.assert_allclose(
      [found.values[0], found.values[2]], [truth[-1], truth[0]], atol=1e-3 * size
  )


@pytest.mark.parametrize('name', SPECTRA)
def test_values_and_bounds_in_float64(x64, name):
  dense, truth = matrix(SPECTRA[name], np.float64)
  found = both_ends(dense, rtol=1e-9)
  assert found.converged and found.values.dtype == jnp.float64
  holds(found, dense, truth)
  assert abs(found.values[0] - truth[-1]) <= 1e-9 * np.abs(truth).max()


@pytest.mark.parametrize('scale', [1e-25, 1e-20, 1e19, 1e25])
def test_the_unit_of_curvature_does_not_matter(scale):
  # Squares of these are out of float32's range.
  dense, truth = matrix(SPECTRA['spread'] * scale, np.float32)
  found = both_ends(dense)
  assert found.converged
  bounds = np.asarray(found.error_bounds, np.float64)
  assert (nearest(found.values, truth) <= bounds).all()
  assert abs(float(found.values[0]) - truth[-1]) <= 1e-3 * truth[-1]
  # The bound is in the same unit: neither 0 nor without end.
  assert (bounds > 1e-8 * scale).all() and (bounds < 1e-2 * scale).all()


def test_every_eigenvalue_with_as_many_steps_as_parameters():
  dense, truth = matrix([3.0, -1.0, 0.5, 0.25, 2.0, -4.0], np.float32)
  found = stability.lanczos(
      product(dense), jnp.zeros(6), KEY, count=6, steps=100, which='magnitude'
  )
  assert found.steps == 6 and found.converged
  wanted = truth[np.argsort(-np.abs(truth))]
  np.testing.assert_allclose(found.values, wanted, atol=1e-5)  # rounding of 6 numbers


def test_the_zero_operator_is_exactly_zero():
  found = both_ends(np.zeros((SIZE, SIZE), np.float32))
  assert found.converged and found.steps == 4
  assert (found.values == 0).all() and (found.error_bounds == 0).all()


def test_where_a_vector_spans_all_that_it_can_another_starts():
  dense = 2 * np.eye(SIZE, dtype=np.float32)
  found = both_ends(dense)
  assert found.converged and found.steps == 4
  np.testing.assert_allclose(found.values, 2, rtol=1e-6)  # a few units of rounding
  holds(found, dense, np.full(SIZE, 2.0))


@pytest.mark.parametrize('bad', [np.nan, np.inf, 3e38])
def test_a_product_that_is_not_finite_is_said(bad):
  # A row of 3e38 makes products beyond float32's range.
  broken = np.diag(np.arange(1, SIZE + 1)).astype(np.float32)
  broken[:2] = bad * np.sign(both_ends(broken).vectors[0])
  found = both_ends(broken)
  assert not found.converged
  assert np.isnan(found.values).all() and np.isnan(found.error_bounds).all()


def test_a_product_that_breaks_late_is_said():
  calls = []

  def breaks(vector):
    calls.append(0)
    return vector * jnp.linspace(-1, 3, SIZE) * (np.nan if len(calls) == 6 else 1)

  found = stability.lanczos(breaks, jnp.zeros(SIZE), KEY, jit=False, **ENDS)
  assert found.steps == 6 and not found.converged and np.isnan(found.values).all()


def test_a_product_that_is_not_symmetric_does_not_converge():
  dense, _ = matrix(SPECTRA['spread'], np.float32)
  dense[0, 1:] *= 2
  assert not both_ends(dense).converged


def test_on_the_host_it_is_the_same():
  dense, _ = matrix(SPECTRA['spread'], np.float32)
  seen = []

  def on_host(vector):
    seen.append(isinstance(vector, jax.core.Tracer))
    return jnp.asarray(dense @ np.asarray(vector))

  traced = both_ends(dense)
  found = stability.lanczos(on_host, jnp.zeros(SIZE), KEY, jit=False, **ENDS)
  assert len(seen) == found.steps == traced.steps and not any(seen)
  # NumPy rounds its products in another order.
  np.testing.assert_allclose(found.values, traced.values, rtol=1e-5)


def test_traced_arguments_and_many_at_once():
  take = jax.jit(jax.vmap(lambda dense, params, key: stability.lanczos(
      product(dense), params, key, steps=6, rtol=1e-3
  )[:3]))
  pairs = [matrix(top * np.arange(1.0, 7.0), np.float32) for top in (1, 7)]
  many = np.stack([dense for dense, _ in pairs])
  values, _, converged = take(many, jnp.zeros((2, 6)), jax.random.split(KEY))
  assert converged.all()
  np.testing.assert_allclose(values[:, 0], [6.0, 42.0], rtol=1e-3)  # the tolerance


def test_too_few_steps_are_said_and_new_parameters_do_not_recompile():
  traces, after = [], []

  def counted(dense, vector):
    traces.append(0)
    return dense @ vector

  for top in (1, 2):
    dense, truth = matrix(top * SPECTRA['spread'], np.float32)
    found = stability.lanczos(Partial(counted, dense), jnp.zeros(SIZE), KEY, steps=5)
    assert found.steps == 5 and not found.converged
    holds(found, dense, truth)
    assert found.error_bounds[0] > 1e-4 * truth[-1]
    after.append(len(traces))
  assert after[0] == after[1]


def test_narrow_parameters_are_worked_on_in_float32():
  params = {'a': jnp.zeros(3, jnp.bfloat16), 'b': jnp.zeros((), jnp.float16)}

  def twice(tree):
    assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype('float32')}
    return jax.tree.map(lambda x: 2 * x, tree)

  found = stability.power_iteration(twice, params, KEY)
  assert found.vectors['a'].shape == (1, 3) and found.vectors['b'].shape == (1,)
  np.testing.assert_allclose(found.values, 2, rtol=1e-6)  # a few units of rounding


@pytest.mark.parametrize(
    'params, arguments, error, says',
    [
        ({}, {}, ValueError, 'at least one number'),
        (jnp.zeros((0, 3)), {}, ValueError, 'at least one number'),
        (jnp.zeros(3, int), {}, TypeError, 'real floating-point'),
        (jnp.zeros(3, complex), {}, TypeError, 'real floating-point'),
        (jnp.zeros(3), {'count': 4}, ValueError, 'at most the 3 parameters'),
        (jnp.zeros(3), {'count': 2, 'steps': 1}, ValueError, 'at most the 1 steps'),
        (jnp.zeros(3), {'which': 'top'}, ValueError, 'one of'),
        (jnp.zeros(3), {'rtol': 0}, ValueError, 'rtol'),
        (jnp.zeros(3), {'steps': 2.5}, ValueError, 'steps'),
        (jnp.zeros(3), {'product': 3}, TypeError, 'a function of a vector'),
    ],
)
def test_bad_arguments_are_refused(params, arguments, error, says):
  given = {'product': lambda v: v} | arguments
  with pytest.raises(error, match=says):
    stability.lanczos(params=params, key=KEY, **given)


def test_power_iteration_finds_the_largest_in_size():
  spectrum = np.r_[-5.0, np.linspace(-1, 3, SIZE - 1)]
  for scale in (1, 1e-25, 1e25):  # whose squares are out of float32's range
    dense, truth = matrix(scale * spectrum, np.float32)
    found = stability.power_iteration(product(dense), jnp.zeros(SIZE), KEY)
    assert found.converged
    assert nearest(found.values, truth)[0] <= found.error_bounds[0]
    np.testing.assert_allclose(found.values, -5 * scale, rtol=1e-4)  # the tolerance
  found = stability.power_iteration(product(0 * dense), jnp.zeros(SIZE), KEY)
  assert found.converged and found.values == 0 and found.error_bounds == 0
  found = stability.power_iteration(product(np.nan * dense), jnp.zeros(SIZE), KEY)
  assert not found.converged and np.isnan(found.values) and found.steps == 1


def test_power_iteration_says_where_two_signs_tie():
  dense = np.diag(np.r_[2, -2, np.ones(SIZE - 2)]).astype(np.float32)
  found = stability.power_iteration(product(dense), jnp.zeros(SIZE), KEY)
  assert not found.converged and found.steps == 1000
  truth = np.array([2.0, -2.0, 1.0])
  assert nearest(found.values, truth)[0] <= found.error_bounds[0]


@pytest.mark.parametrize('product', [
    lambda v: v.T, lambda v: v[0], lambda v: v * 1j,
], ids=['transposed', 'a part', 'complex'])
def test_a_product_of_another_space_is_refused(product):
  params = jnp.ones((2, 3))
  with pytest.raises(ValueError, match='real numbers of the shape'):
    stability.lanczos(product, params, jax.random.key(0))
