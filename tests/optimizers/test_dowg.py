"""DoWG by hand, and against the package's departure."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_the_formula():
  """Algorithm 1 in NumPy, on the problem of the reference runs."""
  with jax.enable_x64(True):
    tx = lrax.dowg(init_estim_sq_dist=0.01)
    params = trajectories.start()
    state, gradient = tx.init(params), jax.grad(trajectories.loss)
    start = x = trajectories.flat(params)
    square, total = 0.01, 0.0
    for _ in range(30):
      grads = gradient(params)
      g = trajectories.flat(grads)
      updates, state = tx.update(grads, state, params)
      params = optax.apply_updates(params, updates)
      square = max(square, ((x - start) ** 2).sum())
      total += square * (g**2).sum()
      x = x - square / total**0.5 * g
      np.testing.assert_allclose(trajectories.flat(params), x, rtol=1e-12, atol=1e-12)
      shown = lrax.get_learning_rate(state)
      np.testing.assert_allclose(shown, square / total**0.5, rtol=1e-12)


@pytest.mark.parametrize('factor', [2.0**-20, 2.0**20])
def test_a_factor_of_the_loss_changes_nothing(factor):
  """With 1e-4 beside the root, as in the package and Optax, it changes the path."""

  def path(tx, factor):
    x = jnp.array([1.0, -2.0])
    state = tx.init(x)
    for _ in range(20):
      updates, state = tx.update(factor * x, state, x)
      x = optax.apply_updates(x, updates)
    return x

  plain = path(lrax.dowg(), 1.0)
  # A power of two rounds nothing.
  assert path(lrax.dowg(), factor).tolist() == plain.tolist()
  theirs = optax.contrib.dowg()
  assert path(theirs, 2.0**-20).tolist() != path(theirs, 1.0).tolist()


def test_averages_when_asked():
  tx = lrax.dowg(average_gamma=8.0)
  x = jnp.array([1.0, -2.0])
  state = tx.init(x)
  for _ in range(3):
    updates, state = tx.update(x, state, x)
    x = optax.apply_updates(x, updates)
  assert lrax.eval_params(state, x).tolist() != x.tolist()


def test_refuses_a_start_of_0():
  with pytest.raises(ValueError, match='dowg: `init_estim_sq_dist` must be'):
    lrax.dowg(init_estim_sq_dist=0.0)
