"""Prodigy against the authors' package and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax

RUNS = {
    'prodigy': {},
    'prodigy_safeguard': {'safeguard_warmup': True, 'estim_lr_coef': 0.5},
    'prodigy_corrected': {
        'safeguard_warmup': True, 'bias_correction': True, 'estim_lr0': 1e-4,
        'weight_decay': 0.02,
    },
}


@pytest.mark.parametrize('name', RUNS)
def test_follows(name):
  trajectories.assert_follows(name, lambda rate: lrax.prodigy(rate, **RUNS[name]))


def test_follows_with_a_growth_limit_and_coupled_decay():
  def build(rate):
    tx = lrax.prodigy(rate, beta3=0.99, estim_lr0=1e-4, growth_rate=1.2)
    return optax.chain(optax.add_decayed_weights(0.02), tx)

  trajectories.assert_follows('prodigy_coupled', build)


def test_two_updates_by_hand():
  """In one dimension, with no averages: d is how far it has come at least."""
  tx = lrax.prodigy(0.5, betas=(0.0, 0.0), beta3=0.0, eps=0.0, estim_lr0=0.25)
  x = jnp.array(1.0)
  state = tx.init(x)
  assert float(lrax.get_learning_rate(state)) == 0.125
  updates, state = tx.update(jnp.array(2.0), state, x)
  assert float(updates) == -0.125
  # r / |s| = <g, x0 - x> / |g| = 1/2 at x = 1/2; from the next update on.
  updates, state = tx.update(jnp.array(4.0), state, x - 0.5)
  assert float(updates) == -0.125
  assert float(state[0].estimate) == 0.5
  updates, state = tx.update(jnp.array(4.0), state, x - 0.5)
  assert float(updates) == -0.25
  assert float(lrax.get_learning_rate(state)) == 0.25


def test_tiny_gradients_do_not_underflow():
  """d0 * g squared is 1e-42 in the package: no float32 that is kept."""
  tx = lrax.prodigy(eps=0.0)
  x = jnp.ones(2)
  updates, _ = tx.update(jnp.full(2, 1e-15), tx.init(x), x)
  # mu / sqrt(nu) is 0.1 / sqrt(0.001) at first.
  np.testing.assert_allclose(updates, -1e-6 * 0.1 / 0.001**0.5, rtol=1e-5)


def test_the_rate_is_the_schedule_times_the_estimate():
  tx = lrax.prodigy(lrax.linear(1.0, 0.0, 40), estim_lr0=0.01)
  x = jnp.array([1.0, -1.0])
  state = tx.init(x)
  for t in range(20):
    before = state[0].estimate
    updates, state = tx.update(x, state, x)
    x = optax.apply_updates(x, updates)
    expected = before * jnp.float32(1 - t / 40)
    np.testing.assert_allclose(lrax.get_learning_rate(state), expected, rtol=1e-6)
    np.testing.assert_array_equal(
        lrax.metrics(state)['learning_rate'], lrax.get_learning_rate(state)
    )
  assert float(state[0].estimate) > 0.01


def test_an_override_is_the_rate_and_the_estimate_goes_on():
  tx = lrax.prodigy(betas=(0.0, 0.0), eps=0.0, estim_lr0=0.01)
  x = jnp.array([4.0, -4.0])
  state = lrax.set_learning_rate(tx.init(x), 0.5)
  for _ in range(3):
    updates, state = tx.update(x, state, x)
    # The direction is the sign: two roundings.
    np.testing.assert_allclose(updates, [-0.5, 0.5], rtol=3e-7)
    assert float(lrax.get_learning_rate(state)) == 0.5
    x = optax.apply_updates(x, updates)
  assert float(state[0].estimate) > 0.1
  state = lrax.scale_learning_rate(lrax.follow_schedule(state), 0.5)
  d = state[0].estimate
  _, state = tx.update(x, state, x)
  np.testing.assert_allclose(lrax.get_learning_rate(state), d / 2, rtol=1e-7)


def test_groups_have_estimates_of_their_own():
  tx = optax.partition(
      {'near': lrax.prodigy(), 'far': lrax.prodigy()}, {'a': 'near', 'b': 'far'}
  )
  params = {'a': jnp.array(0.01), 'b': jnp.array(100.0)}

  @jax.jit
  def step(params, state):
    updates, state = tx.update(params, state, params)
    return optax.apply_updates(params, updates), state

  state = tx.init(params)
  for _ in range(200):
    params, state = step(params, state)
  rates = lrax.get_learning_rate(state)
  alone = {}
  for name, start in {'near': 0.01, 'far': 100.0}.items():
    one = lrax.prodigy()
    x, inner = jnp.array(start), one.init(jnp.array(start))
    update = jax.jit(one.update)
    for _ in range(200):
      updates, inner = update(x, inner, x)
      x = optax.apply_updates(x, updates)
    alone[name] = lrax.get_learning_rate(inner)
    # The same arithmetic in another program: some roundings of 200 updates.
    np.testing.assert_allclose(rates[name], alone[name], rtol=1e-3)
  assert rates['far'] > 100 * rates['near'] > 0


@pytest.mark.parametrize(
    'arguments, error',
    [
        ({'betas': 0.9}, TypeError), ({'betas': (0.9, 1.0)}, ValueError),
        ({'estim_lr0': 0.0}, ValueError), ({'growth_rate': 0.5}, ValueError),
        ({'safeguard_warmup': 1}, TypeError), ({'beta3': -0.1}, ValueError),
    ],
)
def test_refuses(arguments, error):
  with pytest.raises(error, match=f'prodigy: `{next(iter(arguments))}'):
    lrax.prodigy(**arguments)
