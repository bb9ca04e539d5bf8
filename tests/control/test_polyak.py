import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.control import averaged
from lrax.control import polyak

PARAMS = {'w': jnp.array([3.0, 4.0])}


def first_rate(policy, grads, value, **signals):
  """The rate of the first update of gradient descent."""
  tx = lrax.sgd(policy)
  state = tx.update(grads, tx.init(PARAMS), PARAMS, value=value, **signals)[1]
  return float(lrax.get_learning_rate(state))


# --- the paper's formula -----------------------------------------------------


@pytest.mark.parametrize('name, arguments', [
    ('sps_max', dict(max_value=0.3)),
    ('sps_max_capped', dict(max_value=0.1, c=3.0)),
    ('sps_smooth', dict(max_value=None, doubling_steps=4, init_value=0.05)),
])
def test_follows_the_reference(name, arguments):
  trajectories.assert_follows(name, lambda: lrax.sgd(polyak(**arguments)))


def test_follows_the_reference_with_momentum_after_it():
  """Heavy ball over finished steps, of which the new one counts half."""
  trajectories.assert_follows('sps_momentum', lambda: optax.chain(
      polyak(0.5, c=1.0), optax.scale(0.5), lrax.transforms.scale_by_momentum(0.5)
  ))


def test_one_step_solves_a_parabola_whose_minimum_is_known():
  """c = 1/2 of f = k |x| ** 2 / 2 + low gives 1 / k."""
  grads, value = {'w': 8 * PARAMS['w']}, 8 * 25 / 2 - 3
  assert first_rate(polyak(f_star=-3.0), grads, value) == 0.125
  assert first_rate(polyak(f_star=-3.0, c=1.0), grads, value) == 0.0625
  assert first_rate(polyak(0.01, f_star=-3.0), grads, value) == np.float32(0.01)


def test_a_direction_is_measured_by_its_slope():
  """Preconditioned by D it is the step in that metric: (f - f*) / (c <g, D g>)."""
  tx = optax.chain(optax.scale(4.0), polyak())
  grads = {'w': 8 * PARAMS['w']}
  _, state = tx.update(grads, tx.init(PARAMS), PARAMS, value=100.0, grad=grads)
  assert float(lrax.get_learning_rate(state)) == 0.125 / 4
  # Uphill, there is no step that lowers the loss.
  assert first_rate(polyak(), grads, 100.0, grad={'w': -grads['w']}) == 0


def test_the_rate_may_double_in_an_epoch():
  policy = polyak(None, doubling_steps=3, init_value=0.125)

  def step(state, value):
    state = policy.update(PARAMS, state, value=value)[1]
    return state, state.learning_rate

  # |grad| ** 2 is 25: 12.5 would be a rate of 1.
  values = jnp.array([12.5] * 3 + [3.125, 12.5])
  _, rates = jax.lax.scan(step, policy.init(), values)
  # Powers of 2 ** (1/3) in float32, multiplied up to four times.
  expect = [2 ** (1 / 3) / 8, 2 ** (2 / 3) / 8, 0.25, 0.25, 2 ** (1 / 3) / 4]
  np.testing.assert_allclose(rates, expect, rtol=8 * 2.0**-24)


# --- faults ------------------------------------------------------------------


def test_never_uphill_below_the_lowest_loss():
  """`optax.polyak_sgd` takes a negative rate there."""
  assert first_rate(polyak(f_star=2.0), PARAMS, 1.0) == 0


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_moves_nothing(value):
  assert first_rate(polyak(), PARAMS, value) == 0


def test_zero_and_huge_gradients_move_nothing():
  for grads in (jnp.zeros(2), jnp.full(2, 1e30), jnp.array([math.nan, 0.0])):
    assert first_rate(polyak(None), {'w': grads}, 1.0) == 0


def test_a_tiny_gradient_gives_a_finite_rate():
  rate = first_rate(polyak(None), {'w': jnp.full(2, 1e-19)}, 1e6)
  assert np.isfinite(rate)


@pytest.mark.parametrize('value', [0.0, -1.0, math.nan])
def test_one_step_of_zero_is_not_the_last(value):
  """In the authors' code it would bound all later ones by 0."""
  policy = polyak(None, doubling_steps=1, init_value=1.0)
  state = policy.update(PARAMS, policy.init(), value=12.5)[1]
  state = policy.update(PARAMS, state, value=value)[1]
  assert state.learning_rate == 0
  assert policy.update(PARAMS, state, value=12.5)[1].learning_rate == 1


def test_half_precision_gradients_are_measured_in_float32():
  grads = {'w': jnp.full(2, 300.0, jnp.float16)}  # squares overflow float16
  assert first_rate(polyak(), grads, 90000.0) == 1.0


# --- signals and company -----------------------------------------------------


def test_a_missing_loss_is_named():
  tx = lrax.sgd(polyak())
  with pytest.raises(ValueError, match='polyak: needs the signal `value`'):
    tx.update(PARAMS, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize('value', [jnp.ones(3), 1j])
def test_a_loss_that_is_no_real_scalar_is_refused(value):
  with pytest.raises(TypeError, match='polyak: `value` must be a real scalar'):
    first_rate(polyak(), PARAMS, value)


def test_each_group_has_the_step_of_its_own_slope():
  """The whole gradient is given; a group measures its own share of it."""
  tx = optax.partition(
      {'a': lrax.sgd(polyak()), 'b': lrax.sgd(polyak())}, {'x': 'a', 'y': 'b'}
  )
  grads = {'x': jnp.array([2.0]), 'y': jnp.array([4.0])}
  state = tx.update(grads, tx.init(grads), grads, value=1.0, grad=grads)[1]
  # value / (|g| ** 2 / 2)
  assert lrax.get_learning_rate(state) == {'a': 0.5, 'b': 0.125}


def test_multiplies_a_schedule_and_comes_after_a_warmup():
  policy = (lrax.linear(1.0, 0.0, steps=4) * polyak()).with_warmup(2)
  state, rates = policy.init(), []
  for value in (math.nan, math.nan, 12.5, 6.25, 12.5):
    state = policy.update(PARAMS, state, value=value)[1]
    rates.append(float(state.learning_rate))
  # A warmup rises to `max_value`; then 1 * 1, 3/4 * 1/2, 1/2 * 1.
  assert rates == [0.0, 0.5, 1.0, 0.375, 0.5]


def test_replicas_take_one_rate():
  """The mean of the losses 0.5, 1.5, ..., 7.5 is 4, and 4 / 12.5 the rate."""
  tx = lrax.sgd(averaged(polyak(), axis_name='batch'))

  def step(value):
    grads = jax.lax.pmean({'w': PARAMS['w'] * value / 4}, 'batch')
    state = tx.update(grads, tx.init(PARAMS), PARAMS, value=value)[1]
    return lrax.get_learning_rate(state)

  rates = jax.pmap(step, axis_name='batch')(jnp.arange(8.0) + 0.5)
  np.testing.assert_array_equal(rates, np.full(8, np.float32(4 / 12.5)))


@pytest.mark.parametrize('name, value', [
    ('max_value', 0.0), ('c', 0.0), ('f_star', math.nan), ('doubling_steps', 0),
    ('init_value', 0.0),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'polyak: `{name}` must be'):
    polyak(**{name: value})
