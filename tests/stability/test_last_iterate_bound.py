"""The bound on the last iterate: the paper's sums, closed forms, and edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.stability import last_iterate_bound

# Sums of at most 60 terms above 0, in float64 and in another order: a few roundings.
ROUNDING = 1e-13
# The same in float32, of which the terms are quotients of sums: some 10 roundings.
ROUNDING32 = 2e-6


def theorem(rates, distance, norms):
  """Theorem 1 as it is printed, by a double loop; indices from 0."""
  steps = len(rates)
  norms = np.broadcast_to(norms, (steps,))
  first = distance**2 / (2 * sum(rates))
  second = sum(rates[t] ** 2 * norms[t] ** 2 for t in range(steps)) / (2 * sum(rates))
  third = 0.0
  for k in range(steps - 1):
    noise = sum(rates[t] ** 2 * norms[t] ** 2 for t in range(k, steps))
    third += rates[k] / sum(rates[k + 1 :]) * noise / sum(rates[k:]) / 2
  return first, second + third


def harmonic(n):
  return np.sum(1 / np.arange(1, n + 1))


@pytest.mark.parametrize('steps', [1, 2, 3, 60])
def test_it_is_the_theorem(steps):
  rng = np.random.default_rng(steps)
  rates, norms = rng.uniform(0.1, 1, steps), rng.uniform(0.5, 2, steps)
  found = last_iterate_bound(rates, distance=1.7, gradient_norm=norms)
  first, rest = theorem(rates, 1.7, norms)
  np.testing.assert_allclose(found.distance_term, first, rtol=ROUNDING)
  np.testing.assert_allclose(found.noise_term, rest, rtol=ROUNDING)
  np.testing.assert_allclose(found.bound, first + rest, rtol=ROUNDING)
  np.testing.assert_allclose(found.best_factor, np.sqrt(first / rest), rtol=ROUNDING)
  np.testing.assert_allclose(found.best_bound, 2 * np.sqrt(first * rest), rtol=ROUNDING)
  at_best = last_iterate_bound(
      rates * found.best_factor, distance=1.7, gradient_norm=norms
  )
  np.testing.assert_allclose(at_best.bound, found.best_bound, rtol=ROUNDING)
  np.testing.assert_allclose(at_best.best_factor, 1, rtol=ROUNDING)
  assert found.best_learning_rate == pytest.approx(found.best_factor * rates.max())


@pytest.mark.parametrize('steps', [1, 100, 10**6])
def test_constant_and_linear_have_closed_forms(steps):
  # With a distance of 3 and norms of 2 every bound is 6 times the unit one.
  told = {'distance': 3.0, 'gradient_norm': 2.0}
  constant = last_iterate_bound(lrax.constant(0.7), steps, **told)
  # A sum of 10**6 terms one after another rounds off some 1e-16 * sqrt(1e6).
  tolerance = 1e-12
  np.testing.assert_allclose(
      constant.best_bound, 6 * np.sqrt((1 + harmonic(steps - 1)) / steps),
      rtol=tolerance,
  )
  # Whole numbers, so that rates rounded to float32 do not count.
  linear = last_iterate_bound(np.arange(steps, 0, -1.0), **told)
  noise = steps - 0.5 + harmonic(steps - 1)
  np.testing.assert_allclose(
      linear.best_bound, 12 * np.sqrt(noise / steps / (steps + 1)), rtol=tolerance
  )


def test_many_steps_in_float32_are_as_good():
  steps = 10**6
  rates = jnp.arange(steps, 0, -1, dtype=jnp.float32)
  found = jax.jit(lambda r: last_iterate_bound(r).best_bound)(rates * 1e-36)
  noise = steps - 0.5 + harmonic(steps - 1)
  # Sums in a tree: log2(1e6) = 20 roundings of 6e-8 each.
  np.testing.assert_allclose(found, 2 * np.sqrt(noise / steps / (steps + 1)), rtol=2e-6)


def test_any_kind_of_schedule():
  array = last_iterate_bound([1, 1, 0.5, 0.5])
  branching = last_iterate_bound(lambda step: 1.0 if step < 2 else 0.5, 4)
  traceable = last_iterate_bound(lambda step: jnp.where(step < 2, 1.0, 0.5), 4)
  policy = last_iterate_bound(lrax.piecewise_constant([1.0, 0.5], [2]), 4)
  assert array == branching == traceable == policy


def test_stops_are_the_bounds_of_shorter_runs():
  rng = np.random.default_rng(0)
  rates = rng.uniform(0, 1, 20) * (rng.uniform(size=20) > 0.3)
  rates[:2] = 0, 0.5  # before any rate
  rates[-2:] = 0  # after the last one
  norms = rng.uniform(0.5, 2, 20)
  stops = np.arange(1, 21)
  known = last_iterate_bound(rates, gradient_norm=norms, stops=stops)
  traced = jax.jit(lambda r, g: last_iterate_bound(r, gradient_norm=g, stops=stops))(
      rates, norms
  )
  for name in known._fields:
    np.testing.assert_allclose(
        getattr(known, name), getattr(traced, name), rtol=ROUNDING32, err_msg=name
    )
  assert known.bound[0] == np.inf and np.isnan(known.best_learning_rate[0])
  for stop in stops[1:]:
    used = rates[:stop] > 0
    want = sum(theorem(rates[:stop][used], 1.0, norms[:stop][used]))
    np.testing.assert_allclose(known.bound[stop - 1], want, rtol=ROUNDING)
  assert known.bound[-1] == known.bound[-2] == known.bound[-3]
  assert known.at_factor(1.0)[5] == known.bound[5]


def test_it_is_mapped_and_differentiated():
  rng = np.random.default_rng(1)
  rates = jnp.asarray(rng.uniform(0.2, 1, (3, 8)), jnp.float32)
  norms = jnp.asarray(rng.uniform(0.5, 2, (3, 8)), jnp.float32)
  distances = jnp.asarray([0.5, 1.0, 2.0])

  def bound(rates, distance, norms):
    return last_iterate_bound(rates, distance=distance, gradient_norm=norms).bound

  found, slopes = jax.jit(jax.vmap(jax.value_and_grad(bound, (0, 1, 2))))(
      rates, distances, norms
  )
  for i in range(3):
    own = [np.asarray(x[i], np.float64) for x in (rates, distances, norms)]
    np.testing.assert_allclose(found[i], sum(theorem(*own)), rtol=ROUNDING32)
    for place in range(3):
      for index in np.ndindex(own[place].shape):
        ends = []
        for move in (1e-5, -1e-5):
          moved = [x.copy() for x in own]
          moved[place][index] += move
          ends.append(sum(theorem(*moved)))
        # Differences are right to 1e-10; what is left is float32.
        np.testing.assert_allclose(
            slopes[place][i][index], (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=1e-4
        )


def test_traced_values_that_are_none_are_told():
  bound = jax.jit(lambda r, d, g: last_iterate_bound(r, distance=d, gradient_norm=g))
  ones = jnp.ones(3)
  for bad in (jnp.nan, -1.0):
    at = jnp.asarray([1.0, bad, 1.0])
    for arguments in ((at, 1.0, ones), (ones, bad, ones), (ones, 1.0, at)):
      found = bound(*arguments)
      assert np.isnan(found.bound) and np.isnan(found.best_bound), arguments
  nothing = bound(jnp.zeros(3), 1.0, ones)
  assert nothing.bound == nothing.best_bound == np.inf
  quiet = bound(ones, 1.0, jnp.zeros(3))
  assert quiet.best_bound == 0 and quiet.best_factor == np.inf


def test_slopes_are_finite_at_the_edges():
  slope = jax.jit(
      jax.grad(
          lambda r, d, g: last_iterate_bound(r, distance=d, gradient_norm=g).best_bound,
          (0, 1, 2),
      )
  )
  ones = jnp.ones(4)
  zeros = jnp.asarray([0.0, 1.0, 0.5, 0.0])
  for rates in (ones, zeros, 0 * ones, 1e-30 * zeros):
    for norms in (ones, zeros, 0 * ones):
      assert all(np.isfinite(x).all() for x in slope(rates, 1.0, norms))


@pytest.mark.parametrize(
    'arguments, error, words',
    [
        (([],), ValueError, 'shape'),
        (([[1.0]],), ValueError, 'shape'),
        (([0.0, 0.0],), ValueError, 'above 0'),
        (([1.0, np.nan],), ValueError, 'finite'),
        (([1.0, np.inf],), ValueError, 'finite'),
        (([1.0, -1.0],), ValueError, '-1.0'),
        ((['a'],), TypeError, 'real numbers'),
        (([1.0, 2.0], 3), ValueError, '2'),
        ((lrax.constant(1.0),), ValueError, 'steps'),
        ((lrax.constant(1.0), 0), ValueError, 'steps'),
        ((lrax.control.polyak(), 3), TypeError, 'closed loop'),
    ],
)
def test_bad_schedules_are_refused(arguments, error, words):
  with pytest.raises(error, match=words):
    last_iterate_bound(*arguments)


@pytest.mark.parametrize(
    'options, words',
    [
        ({'distance': 0}, 'distance'),
        ({'distance': np.inf}, 'distance'),
        ({'gradient_norm': 0}, 'above 0'),
        # The only norm above 0 is where the rate is 0.
        ({'gradient_norm': [0, 1, 0]}, 'above 0'),
        ({'gradient_norm': [1, 1]}, 'one for each step'),
        ({'gradient_norm': [1, np.nan, 1]}, 'finite'),
        ({'stops': [0]}, 'stops'),
        ({'stops': [4]}, 'stops'),
        ({'stops': [1.5]}, 'stops'),
    ],
)
def test_bad_options_are_refused(options, words):
  with pytest.raises(ValueError, match=words):
    last_iterate_bound([1.0, 0.0, 0.5], **options)
