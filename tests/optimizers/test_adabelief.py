"""AdaBelief against the paper and the authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_the_authors():
  build = lambda rate: lrax.adabelief(rate, eps=1e-8, eps_root=1e-8)
  trajectories.assert_follows('adabelief', build)


def test_follows_the_authors_with_decoupled_decay():
  build = lambda rate: optax.chain(
      lrax.transforms.scale_by_belief(eps=1e-10, eps_root=1e-10),
      optax.add_decayed_weights(0.05),
      rate,
  )
  trajectories.assert_follows('adabelief_decay', build)


def test_follows_the_authors_with_coupled_decay():
  build = lambda rate: optax.chain(
      optax.add_decayed_weights(0.05),
      lrax.adabelief(rate, eps=1e-8, eps_root=1e-8),
  )
  trajectories.assert_follows('adabelief_coupled', build)


def _updates(tx, gradients):
  state, updates = tx.init(jnp.zeros(())), []
  for g in gradients:
    update, state = tx.update(jnp.asarray(g), state)
    updates.append(float(update))
  return np.array(updates)


def test_the_first_step():
  # mu = g / 4, so that g - mu is 3/4 of g: the update is 4/3 of its sign.
  tx = lrax.transforms.scale_by_belief(b1=0.75, b2=0.0, eps=0.0, eps_root=0.0)
  # mu / (1 - b1) = g, over |g - g / 4|; a few float32 roundings of 6e-8.
  np.testing.assert_allclose(_updates(tx, [-3.0]), [-4 / 3], rtol=3e-7)


def test_eps_root_gathers_in_the_average():
  # b1 = 0 leaves no surprise: nu = eps_root * (1 + b2 + ...), and nu_hat is
  # eps_root / (1 - b2) at every step: 1/4 over 1/4 here.
  tx = lrax.transforms.scale_by_belief(b1=0.0, b2=0.75, eps=1.0, eps_root=0.25)
  # Some ten float32 roundings of 6e-8.
  np.testing.assert_allclose(_updates(tx, [3.0] * 9), 1.5, rtol=1e-6)


def test_a_gradient_as_expected_makes_large_finite_steps():
  # The surprise falls as 0.9**t to nothing while mu_hat stays, and the average of
  # its squares is that of the first few spread over 400 steps: a root of 1/100.
  updates = _updates(lrax.transforms.scale_by_belief(eps=0.0), [2.0] * 400)
  assert np.isfinite(updates).all()
  assert updates[-1] > 5 * updates[0]


def test_bfloat16_gradients_are_compared_with_a_float32_average():
  g = jnp.full((2,), 1.0, jnp.bfloat16)
  tx = lrax.transforms.scale_by_belief()
  state = tx.init(g)
  for _ in range(50):
    _, state = tx.update(g, state)
  assert state.mu.dtype == jnp.float32
  # mu = 1 - 0.9**50; in bfloat16 it would stop at 1 - 2**-5 or so.
  np.testing.assert_allclose(state.mu, 1 - 0.9**50, rtol=1e-6)


@pytest.mark.parametrize('nesterov', [False, True])
def test_equals_optax(nesterov):
  gradients = np.random.default_rng(0).normal(size=(50, 3))
  with jax.enable_x64(True):
    paths = []
    for make in (lrax.adabelief, optax.adabelief):
      tx, path = make(0.1, nesterov=nesterov), []
      state = tx.init(jnp.zeros(3))
      for g in gradients:
        update, state = tx.update(jnp.asarray(g), state)
        path.append(update)
      paths.append(np.array(path))
  # The same formula in float64; 50 steps gather about 1e-14.
  np.testing.assert_allclose(*paths, rtol=1e-12)


@pytest.mark.parametrize('name, value', [('b1', 1.0), ('b2', 1.0), ('eps_root', -1.0)])
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_belief: `{name}` must be'):
    lrax.adabelief(0.1, **{name: value})
