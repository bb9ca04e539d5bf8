"""Stability limits against the spectral radius of the methods' own matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax import stability
from lrax.stability import _limits


def radius(method, rate, curvature, momentum, decay):
  """How much a step multiplies a quadratic's worst direction by, from the method.

  The columns are what one step makes of each unit state: nothing of the closed
  forms is used.
  """
  b = momentum
  average = 1 - b if 'averaged' in method or 'ada' in method else 1

  def step(x, velocity):
    gradient = curvature * x
    velocity = b * velocity + average * gradient
    ahead = 'nesterov' in method or method == 'nadam'
    along = b * velocity + average * gradient if ahead else velocity
    return x - rate * (along + decay * x), velocity

  matrix = np.stack([step(1.0, 0.0), step(0.0, 1.0)], 1)
  return max(abs(np.linalg.eigvals(matrix)))


CASES = [
    (method, momentum, decay)
    for method in _limits.GAINS
    for momentum in ((0.0,) if method in _limits.WITHOUT_MOMENTUM else (0.3, 0.9))
    for decay in (0.0, 0.7)
]


@pytest.mark.parametrize('method, momentum, decay', CASES)
def test_the_limit_is_where_the_spectral_radius_is_one(method, momentum, decay):
  for sharpness in (3e-3, 1.0, 5e4):
    limit = float(stability.stability_limit(sharpness, method, momentum, decay))
    for share in (1.0, 0.4, 0.0):  # every flatter direction is stable too
      inside = radius(method, 0.999 * limit, share * sharpness, momentum, decay)
      # A direction without curvature or decay stays as it is, at 1.
      assert inside <= 1 + 1e-12
    # At -1 a root moves by at least (1 - b) / (1 + b) of the rate's share: 5e-5.
    outside = radius(method, 1.001 * limit, sharpness, momentum, decay)
    assert outside > 1 + 1e-5
    at = radius(method, limit, sharpness, momentum, decay)
    np.testing.assert_allclose(at, 1, atol=1e-5)  # the limit is in float32


def test_the_numbers_of_the_papers():
  limit = lambda *args: float(stability.stability_limit(*args))
  # Two roundings in float32.
  np.testing.assert_allclose(limit(8.0), 0.25, rtol=2e-7)
  np.testing.assert_allclose(limit(8.0, 'heavy ball', 0.9), 0.475, rtol=2e-7)
  np.testing.assert_allclose(limit(8.0, 'averaged momentum', 0.9), 4.75, rtol=5e-7)
  np.testing.assert_allclose(limit(8.0, 'nesterov', 0.9), 3.8 / 22.4, rtol=2e-7)
  np.testing.assert_allclose(limit(1.0, 'adam', 0.9), 38, rtol=5e-7)


def test_no_upward_curvature_is_no_limit():
  limits = stability.stability_limit(jnp.array([0.0, -3.0, jnp.nan, 2.0]))
  np.testing.assert_array_equal(limits, [np.inf, np.inf, np.nan, 1.0])
  # The decay alone is a curvature of its own.
  assert stability.stability_limit(0.0, weight_decay=0.5) == 4.0


def test_under_jit_and_of_narrow_curvature():
  make = jax.jit(lambda s, b: stability.stability_limit(s, 'heavy ball', b))
  assert make(jnp.bfloat16(4.0), 0.5) == 0.75
  assert make(jnp.bfloat16(4.0), 0.5).dtype == jnp.float32
  slope = jax.grad(lambda s: stability.stability_limit(s))(0.0)
  assert np.isfinite(slope)


@pytest.mark.parametrize(
    'tx, method, momentum',
    [
        (optax.sgd(1.0), 'gradient descent', 0.0),
        (lrax.sgd(1.0, momentum=0.9), 'heavy ball', 0.9),
        (lrax.sgd(1.0, momentum=0.9, nesterov=True), 'nesterov', 0.9),
        (optax.chain(optax.ema(0.9, debias=False), optax.scale(-1.0)),
         'averaged momentum', 0.9),
    ],
)
def test_the_methods_themselves_turn_at_the_limit(tx, method, momentum):
  """One dimension of curvature 1, at 0.99 and 1.01 of the limit."""
  limit = float(stability.stability_limit(1.0, method, momentum))

  @jax.jit
  def after(share):
    tall = (share * limit) ** 0.5  # a rate of 1 on a curvature of share * limit

    def body(_, carry):
      x, state = carry
      updates, state = tx.update(tall**2 * x, state, x)
      return x + updates, state

    x = jnp.ones(())
    return jax.lax.fori_loop(0, 4000, body, (x, tx.init(x)))[0]

  # At least 1 - 0.01 / 19 a step (heavy ball, b = 0.9): 1e-9 after 4,000 steps.
  assert abs(after(0.99)) < 1e-6
  assert not abs(after(1.01)) < 1e2


@pytest.mark.parametrize(
    'call, says',
    [
        (lambda: stability.stability_limit(1.0, 'sgd'), "`method` must be one of"),
        (lambda: stability.stability_limit(1.0, momentum=0.9), "'gradient descent'"),
        (lambda: stability.stability_limit(1.0, momentum=jnp.float32(0.9)),
         "0 for 'gradient descent'"),
        (lambda: stability.stability_limit(1.0, 'adam', 1.0), r'\[0, 1\)'),
        (lambda: stability.stability_limit(1.0, weight_decay=-1.0), '>= 0'),
    ],
)
def test_refusals(call, says):
  with pytest.raises(ValueError, match=says):
    call()
