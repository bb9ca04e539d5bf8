"""What every optimizer that estimates its rate must do: the schedule multiplies.

Members are found by what they show: under a schedule of 1 the rate is not 1.
"""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_contract_optimizers as contract

import lrax

every = pytest.mark.parametrize('name', contract.LEARNING_RATE_FREE)


def learn(tx, steps, gate=lambda t: 1.0, scale=1.0):
  """The parameters, the state and the rates of a quadratic's descent."""
  curvature = jnp.array([1.0, 3.0, 0.3])

  @jax.jit
  def step(x, state, factor):
    updates, state = tx.update(factor * curvature * x, state, x)
    return optax.apply_updates(x, updates), state

  x = scale * jnp.array([1.0, -1.0, 1.0])
  state, rates = tx.init(x), []
  for t in range(steps):
    x, state = step(x, state, jnp.float32(gate(t)))
    rates.append(float(lrax.get_learning_rate(state)))
    assert bool(jnp.isfinite(x).all()), t
  return x, state, rates


def test_some_are_found():
  assert {'prodigy', 'dog', 'dowg'} <= set(contract.ESTIMATING)


@every
def test_learns_from_a_start_of_zero_rates_and_zero_gradients(name):
  """No NaN, in the parameters or in what is kept, and then it learns."""
  rate = lrax.constant(1.0).with_warmup(10)
  x, state, rates = learn(
      contract.build(name, learning_rate=rate), 2000, lambda t: float(t >= 4)
  )
  assert rates[:4] == [0.0] + rates[1:4] and rates[-1] > 0
  kept = [leaf for leaf in jax.tree.leaves(state[0])]
  assert all(bool(jnp.isfinite(leaf).all()) for leaf in kept)
  assert float(jnp.abs(x).max()) < 0.2


@every
def test_an_override_is_the_rate_and_ends(name):
  tx = contract.build(name)
  x = jnp.array([1.0, -2.0])
  state = tx.init(x)
  for _ in range(3):
    _, state = tx.update(x, state, x)
  estimated = lrax.get_learning_rate(state)
  changed = lrax.set_learning_rate(state, 0.125)
  _, changed = tx.update(x, changed, x)
  assert float(lrax.get_learning_rate(changed)) == 0.125
  _, followed = tx.update(x, lrax.follow_schedule(changed), x)
  assert float(lrax.get_learning_rate(followed)) != 0.125
  _, plain = tx.update(x, state, x)
  _, half = tx.update(x, lrax.scale_learning_rate(state, 0.5), x)
  np.testing.assert_array_equal(
      lrax.get_learning_rate(half), lrax.get_learning_rate(plain) / 2
  )
  assert estimated > 0


@every
def test_changes_do_not_recompile(name):
  tx = contract.build(name, learning_rate=lrax.linear(1.0, 0.5, steps=8))
  update, traces = contract._counting(tx)
  params = contract.tree(0)
  state = tx.init(params)
  for change in (
      lambda state: state,
      lambda state: lrax.set_learning_rate(state, 0.25),
      lrax.follow_schedule,
      lambda state: lrax.scale_learning_rate(state, 0.5),
      lambda state: lrax.restart_schedule(state, at=0),
  ):
    _, state = update(contract.tree(1), change(state), params)
  assert len(traces) == 1


@every
def test_a_restored_checkpoint_goes_on(name):
  tx = contract.build(name)
  x = jnp.array([1.0, -2.0, 0.5])
  update, state = jax.jit(tx.update), tx.init(x)
  for _ in range(4):
    updates, state = update(x, state, x)
    x = optax.apply_updates(x, updates)
  saved = pickle.loads(pickle.dumps(jax.tree.map(np.asarray, state)))
  contract.assert_close(update(x, saved, x), update(x, state, x), rtol=0)


@every
def test_metrics_show_the_product(name):
  tx = contract.build(name)
  x = jnp.array([1.0, -2.0])
  _, state = tx.update(x, tx.init(x), x)
  shown = lrax.metrics(state)
  assert shown['learning_rate'] == lrax.get_learning_rate(state)
  assert shown['learning_rate_step'] == 1


@every
def test_estimates_are_per_group(name):
  """Each group is estimated as if it were alone."""
  tx = contract.build(name)
  both = optax.partition({'a': tx, 'b': tx}, {'x': 'a', 'y': 'b'})
  params = {'x': jnp.array([0.01, 0.02]), 'y': jnp.array([30.0])}
  state, states = both.init(params), {k: tx.init(v) for k, v in params.items()}
  for _ in range(5):
    updates, state = both.update(params, state, params)
    for k in params:
      alone, states[k] = tx.update(params[k], states[k], params[k])
      np.testing.assert_array_equal(updates[k], alone)
    params = optax.apply_updates(params, updates)
  rates = lrax.get_learning_rate(state)
  assert rates['a'] == lrax.get_learning_rate(states['x'])
  assert rates['b'] == lrax.get_learning_rate(states['y'])


@every
def test_zero_gradients_for_ever_move_nothing(name):
  x, _, _ = learn(contract.build(name, eps=0.0), 5, lambda t: 0.0)
  assert x.tolist() == [1.0, -1.0, 1.0]


@every
def test_the_derivative_by_the_rate_after_several_updates(name, x64):
  """Of nothing that a hand may have put in the schedule's place."""
  start = jnp.array([1.0, -1.0, 0.5])

  def end(rate):
    tx = contract.build(name, learning_rate=rate)
    x, state = start, tx.init(start)
    for t in range(3):
      updates, state = tx.update(jnp.sin(x) + 0.1 * t, state, x)
      x = optax.apply_updates(x, updates)
    return jnp.sum(x)

  derivative = jax.grad(end)(jnp.float64(0.7))
  around = [end(jnp.float64(0.7 + h)) for h in (1e-6, -1e-6)]
  # Of sums of about 1 the difference has ten digits left, 1e-10 / 2e-6.
  np.testing.assert_allclose(derivative, (around[0] - around[1]) / 2e-6, atol=2e-4)
