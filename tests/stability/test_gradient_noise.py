"""The gradient's noise while training runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrax import stability


def test_estimates_are_those_of_the_defining_equations():
  # E small = norm + trace / 4, E big = norm + trace / 32.
  norm, trace = 0.3, 5.0
  found = stability.gradient_noise(norm + trace / 4, norm + trace / 32, 4, 32)
  np.testing.assert_allclose(found, (norm, trace), rtol=1e-13)  # a few roundings
  traced = jax.jit(stability.gradient_noise)(norm + trace / 4, norm + trace / 32, 4, 32)
  np.testing.assert_allclose(traced, (norm, trace), rtol=1e-5)  # differences in float32


def test_squared_norms_of_stacked_and_of_devices():
  rng = np.random.default_rng(0)
  tree = {
      'a': (2 + rng.normal(size=(4, 3))).astype(np.float32),
      'b': jnp.asarray(rng.normal(size=(4, 2, 2)), jnp.bfloat16),
  }
  flat = np.concatenate(
      [np.asarray(x, np.float64).reshape(4, -1) for x in jax.tree.leaves(tree)], 1
  )
  want = (flat**2).sum(1).mean(), (flat.mean(0) ** 2).sum()
  # A few roundings of float32; bfloat16 is widened before.
  np.testing.assert_allclose(stability.squared_norms(tree), want, rtol=1e-6)
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:4]), ('device',))
  spec = jax.sharding.PartitionSpec

  def step(own, state):
    small, big = stability.squared_norms(jax.tree.map(lambda x: x[0], own), 'device')
    return (small, big), stability.update_noise(state, small, big, 2, 8)

  over = jax.jit(
      jax.shard_map(
          step, mesh=mesh, in_specs=(spec('device'), spec()), out_specs=spec()
      )
  )
  found, state = over(tree, stability.noise_state())
  np.testing.assert_allclose(found, want, rtol=1e-6)
  norm, trace = stability.gradient_noise(*want, 2, 8)
  # Differences of the two squares in float32.
  np.testing.assert_allclose(state.noise_scale, trace / norm, rtol=1e-4)


def test_averages_tend_to_the_noise_scale():
  rng = np.random.default_rng(0)
  size, norm, trace = 10, 0.5, 40.0
  mean = np.full(size, np.sqrt(norm / size))
  # Small batches of 2, 8 of which are a big one.
  noise = rng.normal(size=(4000, 8, size)) * np.sqrt(trace / size / 2)

  def step(state, gradients):
    small, big = stability.squared_norms(gradients)
    return stability.update_noise(state, small, big, 2, 16, 0.999), None

  gradients = jnp.asarray(mean + noise, jnp.float32)
  start = stability.noise_state()
  assert np.isnan(start.noise_scale)
  state, _ = jax.jit(lambda s: jax.lax.scan(step, s, gradients))(start)
  # Of about 2,000 steps' average: squared_norm is off by 1 / sqrt(2000) of its own
  # spread, 2.5 * sqrt(2 / 10), plus that of the gradient's: 4% of it in all.
  assert float(state.noise_scale) == pytest.approx(trace / norm, rel=0.12)
  assert float(state.trace / state.weight) == pytest.approx(trace, rel=0.02)
  # Bias corrected: after one step the averages are the estimates.
  first = stability.update_noise(start, 9.0, 2.0, 1, 8)
  np.testing.assert_allclose(
      [first.squared_norm / first.weight, first.trace / first.weight], [1, 8], rtol=1e-5
  )


@pytest.mark.parametrize(
    'small, big, want',
    [(9.0, 2.0, 8.0), (9.0, 0.5, np.inf), (1.0, 1.0, 0.0), (1.0, 2.0, np.nan)],
)
def test_what_cannot_be_told_is_no_number(small, big, want):
  state = jax.jit(stability.update_noise)(stability.noise_state(), small, big, 1, 8)
  np.testing.assert_allclose(state.noise_scale, want, rtol=1e-5)


def test_steps_that_are_not_finite_are_left_out():
  state = stability.update_noise(stability.noise_state(), 9.0, 2.0, 1, 8)
  for bad in (np.nan, np.inf):
    after = stability.update_noise(state, bad, 2.0, 1, 8)
    assert int(after.left_out) == 1 and after[:3] == state[:3]
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
      lambda x: (x.shape, x.dtype), state
  )


@pytest.mark.parametrize(
    'function, arguments, error',
    [
        ('gradient_noise', (1.0, 1.0, 8, 8), ValueError),
        ('gradient_noise', (1.0, 1.0, 0, 8), ValueError),
        ('gradient_noise', (1.0, 1.0, 'a', 8), TypeError),
        ('squared_norms', ({},), ValueError),
        ('squared_norms', (np.ones((1, 2)),), ValueError),
        ('squared_norms', ([np.ones((3, 2)), np.ones((2, 2))],), ValueError),
        ('squared_norms', (np.ones((3, 2), int),), TypeError),
    ],
)
def test_bad_calls_are_refused(function, arguments, error):
  with pytest.raises(error):
    getattr(stability, function)(*arguments)
  with pytest.raises(ValueError):
    stability.update_noise(stability.noise_state(), 1.0, 1.0, 1, 8, decay=1.0)
