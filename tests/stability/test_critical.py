"""The critical rate against closed forms, and what float32 cannot show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrax.stability import critical_learning_rate

START = jnp.array([1.0, -2.0, 0.5])
CURVATURE = jnp.array([1.0, 4.0, 16.0])


def bowl(w):
  return 0.5 * jnp.sum(CURVATURE * w**2)


def closed(direction):
  """2 slope / (d^T H d), of a quadratic, in float64."""
  curvature, start, d = (np.float64(x) for x in (CURVATURE, START, direction))
  return 2 * np.sum(curvature * start * d) / np.sum(curvature * d**2)


def search(loss, *trees, **options):
  """As in a step that is compiled, which is faster too."""
  return jax.jit(lambda *t: critical_learning_rate(loss, *t, **options))(*trees)


found_from = jax.jit(
    lambda w, init: critical_learning_rate(bowl, w, init_value=init, rtol=1e-5)
)


@pytest.mark.parametrize('init_value', [1e-38, 1e-20, 0.2, 1e20])
def test_of_the_gradient_from_any_start(init_value):
  found = found_from(START, init_value)
  want = closed(CURVATURE * START)
  # The bracket and the rounding of the losses, both as the result itself says.
  assert abs(found.learning_rate - want) <= found.error < 2e-5 * want
  assert found.lower < want * (1 + 1e-5) and want * (1 - 1e-5) < found.upper
  assert found.bracketed and found.resolved and found.downhill
  # A factor of 2 for each trial, and log2(1e5) for the width.
  assert found.evaluations <= abs(np.log2(init_value / want)) + 2 + 17


def test_along_a_direction_of_another_metric():
  direction = jnp.array([1.0, -1.0, 1.0])
  found = jax.jit(lambda w, d: critical_learning_rate(bowl, w, d))(START, direction)
  np.testing.assert_allclose(found.learning_rate, closed(direction), rtol=1e-3)
  np.testing.assert_allclose(found.slope, 1 + 8 + 8, rtol=1e-6)


def test_never_below_two_over_the_sharpness_along_the_gradient():
  starts = jax.random.normal(jax.random.key(0), (16, 3))
  found = jax.vmap(lambda w: found_from(w, 0.1))(starts)
  assert np.all(found.upper >= 2 / 16 * (1 - 1e-4))
  # And that much along the sharpest axis.
  axis = found_from(jnp.array([0.0, 0.0, 3.0]), 0.1)
  np.testing.assert_allclose(axis.learning_rate, 2 / 16, rtol=2e-5)


def test_uphill_is_said_with_the_slope():
  found = search(bowl, START, -CURVATURE * START)
  assert found.learning_rate == 0 and not found.downhill and not found.resolved
  assert found.slope < 0


def test_a_fall_below_float32_is_no_uphill():
  """The same parabola on a constant that swallows it."""
  high = lambda w: 1e7 + 1e-3 * bowl(w)
  found = search(high, START)
  assert found.downhill and not found.resolved
  assert found.error > found.learning_rate  # nothing is known of it
  with jax.enable_x64(True):
    curvature, w = (jnp.asarray(np.float64(x)) for x in (CURVATURE, START))
    high = lambda w: 1e7 + 0.5e-3 * jnp.sum(curvature * w**2)
    found = search(high, w, init_value=1.0)
    assert found.resolved
    want = 1e3 * closed(CURVATURE * START)
    assert abs(found.learning_rate - want) <= found.error < 2e-3 * want


def test_a_wall_of_nan_is_above():
  wall = lambda w: jnp.where(w[1] > 0, jnp.nan, bowl(w))  # at a rate of 2 / 8
  steep = jnp.array([0.0, 8.0, 0.0])
  found = search(wall, START, -steep, rtol=1e-5)
  np.testing.assert_allclose(found.learning_rate, 0.25, rtol=1e-5)


def test_no_rate_raises_it():
  found = search(lambda w: jnp.exp(-jnp.sum(w)), START, -jnp.ones(3))
  assert found.learning_rate == np.inf and found.upper == np.inf
  assert found.downhill and found.resolved and not found.bracketed
  # Nor does a step of nothing.
  still = search(bowl, START, jnp.zeros(3))
  assert still.learning_rate == np.inf and not still.resolved and not still.downhill


def test_a_loss_or_a_direction_that_is_not_finite():
  nan = search(lambda w: jnp.nan * jnp.sum(w), START)
  assert np.isnan(nan.learning_rate) and nan.evaluations == 0
  nan = search(bowl, START, jnp.array([jnp.inf, 1.0, 1.0]))
  assert np.isnan(nan.learning_rate)


def test_bfloat16_parameters_move_in_their_own_steps():
  loss = lambda w: bowl(w.astype(jnp.float32))
  w = START.astype(jnp.bfloat16)
  found = search(loss, w, init_value=1e-4)
  # Weights near 1 move by 1/128: of a rate of 0.2 and steps of 1 to 8 up to 4%.
  np.testing.assert_allclose(found.learning_rate, closed(CURVATURE * START), rtol=0.05)
  assert found.resolved and found.learning_rate.dtype == jnp.float32


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_the_error_covers_the_rounding_of_a_loss_in_bfloat16(dtype):
  found = search(lambda w: jnp.sum(w**2).astype(jnp.bfloat16), jnp.ones(4, dtype))
  assert abs(found.learning_rate - 1) <= found.error < 0.02  # four spacings: 0.016


def test_of_a_loss_that_is_no_parabola():
  """The definition itself, of a logistic regression."""
  rows = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
  loss = lambda w: jnp.mean(jnp.logaddexp(0.0, rows @ w))
  found = search(loss, START)
  grads = jax.grad(loss)(START)
  after = [
      float(loss(START - share * found.learning_rate * grads))
      for share in (0.5, 0.98, 1.02)
  ]
  assert after[0] < after[1] < found.loss < after[2]


@pytest.mark.parametrize(
    'call, error, says',
    [
        (lambda: critical_learning_rate(bowl, START, jnp.ones(1)), ValueError,
         r'of the shape \(3,\) of `params` at the root, got \(1,\); it is not broad'),
        (lambda: critical_learning_rate(bowl, START, {'w': START}), ValueError,
         'a tree like `params`'),
        (lambda: critical_learning_rate(bowl, START, jnp.ones(3, int)), TypeError,
         'real floating-point'),
        (lambda: critical_learning_rate(bowl, jnp.ones(3, int)), TypeError,
         'real floating-point'),
        (lambda: critical_learning_rate(lambda w: w, START), TypeError,
         '`loss` must be a real scalar'),
        (lambda: critical_learning_rate(3.0, START), TypeError, 'a function'),
        (lambda: critical_learning_rate(bowl, START, init_value=0.0), ValueError,
         '> 0'),
    ],
)
def test_refusals(call, error, says):
  with pytest.raises(error, match=says):
    call()
