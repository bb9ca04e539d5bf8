"""Mechanic against the authors' package and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_over_adamw():
  def build(rate):
    direction = optax.chain(
        lrax.transforms.scale_by_adam(), optax.add_decayed_weights(0.01)
    )
    return lrax.mechanic(direction, rate, weight_decay=0.0, s_init=1e-3)

  trajectories.assert_follows('mechanic_adamw', build)


def test_the_formula():
  """Algorithm 1 in NumPy with its decay, which the package takes elsewhere."""
  decay, eps, first = 0.1, 1e-8, 0.01
  b = 1 - 0.1 ** np.arange(1, 7)
  with jax.enable_x64(True):
    tx = lrax.mechanic(optax.identity(), 0.5, decay, eps, first)
    params = trajectories.start()
    state, gradient = tx.init(params), jax.grad(trajectories.loss)
    x0 = x = trajectories.flat(params)
    s, m, v, r, path = np.zeros(6), np.full(6, 1e-6), np.zeros(6), np.zeros(6), 0 * x
    for _ in range(20):
      grads = gradient(params)
      g = trajectories.flat(grads)
      updates, state = tx.update(grads, state, params)
      params = optax.apply_updates(params, updates)
      norms = np.linalg.norm(g) / (np.linalg.norm(x) + eps)
      h = path @ (g + decay * s.sum() * norms * x)
      m, v = np.maximum(b * m, abs(h)), b**2 * v + h**2
      r = np.maximum(0, b * r - s * h)
      s = (first / 6 * m + r) / (np.sqrt(v) + eps)
      path = path - 0.5 * g
      x = x0 + s.sum() * path
      np.testing.assert_allclose(trajectories.flat(params), x, rtol=1e-10, atol=1e-10)
      shown = lrax.get_learning_rate(state)
      np.testing.assert_allclose(shown, s.sum() / 2, rtol=1e-10)


def test_refuses_a_direction_with_a_rate_of_its_own():
  with pytest.raises(ValueError, match='mechanic: `transform` must be a direction'):
    lrax.mechanic(lrax.sgd(0.1)).init(jnp.ones(2))


@pytest.mark.parametrize(
    'arguments', [{'eps': -1.0}, {'s_init': 0.0}, {'num_betas': 0}]
)
def test_refuses(arguments):
  with pytest.raises(ValueError, match=f'mechanic: `{next(iter(arguments))}` must'):
    lrax.mechanic(optax.identity(), **arguments)
