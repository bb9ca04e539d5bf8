"""COCOB against the package `parameterfree` and by hand."""

import jax
import jax.numpy as jnp
import optax
import pytest
import trajectories

import lrax

RUNS = {
    'cocob': {},
    'cocob_decay': {'alpha': 10.0, 'weight_decay': 0.05},
}


@pytest.mark.parametrize('name', RUNS)
def test_follows(name):
  trajectories.assert_follows(name, lambda: lrax.cocob(**RUNS[name]))


def test_three_bets_by_hand():
  tx = lrax.cocob(alpha=4.0, eps=0.0)
  x = jnp.array(3.0)
  state = tx.init(x)
  for g in (2.0, 2.0, -2.0):
    updates, state = tx.update(jnp.array(g), state, x)
    x = x + updates
  # 11/4; then R = 1/2 and x0 - 4/8 * 5/4 = 19/8; then R = 0 and x0 - 2/8.
  assert float(x) == 2.75
  assert float(lrax.get_learning_rate(state)) == 1.0


@pytest.mark.parametrize('eps', [0.0, 1e-8])
def test_learns_after_a_warm_up_from_0_and_zero_gradients(eps):
  tx = lrax.cocob(lrax.constant(1.0).with_warmup(5), eps=eps)
  curvature = jnp.array([1.0, 3.0, 0.3])

  @jax.jit
  def step(x, state, gate):
    updates, state = tx.update(gate * curvature * x, state, x)
    return optax.apply_updates(x, updates), state

  x = jnp.array([1.0, -1.0, 1.0])
  state = tx.init(x)
  for t in range(400):
    x, state = step(x, state, jnp.float32(t > 2))
    assert bool(jnp.isfinite(x).all())
  assert float(jnp.abs(x).max()) < 0.1


@pytest.mark.parametrize('scale', [1e-18, 1.0, 1e18])
def test_the_scale_of_the_gradient_does_not_matter(scale):
  """Optax and the package divide by a product of two of its size: 0 or infinite."""
  tx = lrax.cocob(eps=0.0)
  x = jnp.array([1.0, -2.0])
  state = tx.init(x)
  for _ in range(30):
    updates, state = tx.update(jnp.float32(scale) * x, state, x)
    x = optax.apply_updates(x, updates)
  assert bool(jnp.isfinite(x).all())
  assert float(x[0]) < 0.8 and float(x[1]) > -1.8


@pytest.mark.parametrize('arguments', [{'alpha': 0.0}, {'eps': -1.0}])
def test_refuses(arguments):
  with pytest.raises(ValueError, match=f'cocob: `{next(iter(arguments))}` must be'):
    lrax.cocob(**arguments)
