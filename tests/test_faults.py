"""Faults known from other libraries, that the optimizers here must not repeat."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax


def _path(tx, gradients, params):
  """The update of each gradient, at fixed parameters."""

  def step(state, g):
    updates, state = tx.update(g, state, params)
    return state, updates

  return jax.lax.scan(step, tx.init(params), gradients)[1]


# --- centred RMSProp: a variance below zero by rounding, and NaN from its root


@pytest.mark.parametrize('momentum', [None, 0.9])
@pytest.mark.parametrize('eps_in_sqrt', [True, False])
def test_centred_rmsprop_survives_a_constant_gradient(eps_in_sqrt, momentum):
  tx = lrax.rmsprop(
      0.1, eps=1e-12, eps_in_sqrt=eps_in_sqrt, centered=True, momentum=momentum
  )
  constants = jnp.array([1.0, 0.1, 3.7, 1e-3, 1234.5])
  gradients = jnp.broadcast_to(constants, (300, 5))
  updates = _path(tx, gradients, jnp.zeros(5))
  assert jnp.isfinite(updates).all()
  # Whatever the variance has become, descent goes down.
  assert (updates < 0).all()


# --- b2 = 0.999 is 1 in bfloat16, where 1 - b2 divides 0 by 0


def _bfloat16():
  params = {'w': jnp.ones(3, jnp.bfloat16)}
  gradients = {'w': jnp.array([0.5, -2.0, 1.0], jnp.bfloat16)}
  return params, gradients


@pytest.mark.parametrize('make', [lrax.adam, lrax.nadam, lrax.adamw, lrax.nadamw])
def test_bfloat16_parameters_do_not_round_b2(make):
  params, gradients = _bfloat16()
  tx = make(0.125)
  state, update = tx.init(params), jax.jit(tx.update)
  for _ in range(20):
    updates, state = update(gradients, state, params)
    assert updates['w'].dtype == jnp.bfloat16
    # A constant gradient moves by about the rate in its direction, at every
    # step; Nadam's first step is 1.5 of it and the decay 1e-4. With b2 = 1 it
    # would be NaN.
    size = np.abs(updates['w'].astype(float))
    assert ((size > 0.1) & (size < 0.2)).all()
    assert (jnp.sign(updates['w']) == -jnp.sign(gradients['w'])).all()


def test_the_rate_changes_without_inject_hyperparams():
  """What one injects for is in the state, in float32 whatever the parameters."""
  params, gradients = _bfloat16()
  tx = lrax.adam(0.125)
  state = lrax.set_learning_rate(tx.init(params), 0.3)
  updates, state = tx.update(gradients, state, params)
  assert lrax.get_learning_rate(state) == np.float32(0.3)
  # bfloat16 keeps eight bits of the rate, 2**-9 of it.
  np.testing.assert_allclose(np.abs(updates['w'].astype(float)), 0.3, rtol=2**-8)


def test_injected_bfloat16_hyperparameters_are_refused():
  """inject_hyperparams casts b2 to the parameters' dtype: 1.0, which is no b2."""
  params, _ = _bfloat16()
  tx = optax.inject_hyperparams(lrax.adam)(learning_rate=0.125)
  with pytest.raises(TypeError, match='`b1` .* hyperparam_dtype=jnp.float32'):
    tx.init(params)


def test_injected_bfloat16_hyperparameters_under_jit_are_refused_or_work():
  """Traced values cannot be checked, but their dtype can; NaN is no answer."""
  params, gradients = _bfloat16()
  tx = optax.inject_hyperparams(lrax.adam)(learning_rate=0.125)
  try:
    state = jax.jit(tx.init)(params)
    updates, _ = jax.jit(tx.update)(gradients, state, params)
  except (TypeError, ValueError) as error:
    assert '`b' in str(error)  # b1 or b2, whichever is met first
  else:
    assert jnp.isfinite(updates['w']).all()


def test_injected_float32_hyperparameters_work_on_bfloat16_parameters():
  params, gradients = _bfloat16()
  tx = optax.inject_hyperparams(lrax.adam, hyperparam_dtype=jnp.float32)(
      learning_rate=0.125
  )
  state = jax.jit(tx.init)(params)
  for _ in range(3):
    updates, state = jax.jit(tx.update)(gradients, state, params)
  assert updates['w'].dtype == jnp.bfloat16
  # The rate, an eighth, is exact; the direction is +-1 to float32's rounding.
  assert updates['w'].tolist() == [-0.125, 0.125, -0.125]


# --- bfloat16 parameters that do not move


def test_adam_gives_bfloat16_parameters_updates_that_add_up():
  """The updates are right; 1.0 - 1e-3 is 1.0 in bfloat16, so the sum is not.

  No update in bfloat16 can change that: the remedy is parameters in float32,
  a copy of which is cast to bfloat16 for the model.
  """
  params = jnp.ones(3, jnp.bfloat16)
  updates = _path(lrax.adam(1e-3), jnp.ones((300, 3), jnp.bfloat16), params)
  assert updates.dtype == jnp.bfloat16
  # Their average is in bfloat16 by default, and settles where a tenth of its
  # error is half a rounding: ten times 2**-9, beside the rounding of the update.
  np.testing.assert_allclose(updates.astype(float), -1e-3, rtol=11 * 2**-9)
  master = 1 + updates.astype(jnp.float32).sum(0)
  # The same, of a movement of 0.3.
  np.testing.assert_allclose(master, 0.7, atol=0.3 * 11 * 2**-9)


# --- nu in bfloat16 never decays


@pytest.mark.parametrize('make', [lrax.adam, lrax.amsgrad, lrax.nadam])
def test_an_average_of_squares_forgets_in_bfloat16(make):
  """0.999 * nu rounds to nu there: one outlier would slow training for ever."""
  gradients = jnp.ones((4000, 2), jnp.bfloat16).at[0].set(100.0)
  arguments = {'b1': 0.0, 'b2': 0.99}
  updates = _path(make(0.125, **arguments), gradients, jnp.ones(2, jnp.bfloat16))
  if make is lrax.amsgrad:
    # It never forgets, by design: the first average is the largest, 0.01 * 100**2.
    expected = -0.125 / 10
  else:
    expected = -0.125  # 0.99**4000 of the outlier is nothing
  # bfloat16 keeps eight bits.
  np.testing.assert_allclose(updates[-1].astype(float), expected, rtol=2**-8)


# --- a first gradient, or a first rate, of zero


@pytest.mark.parametrize(
    'make',
    [
        lrax.sgd, lrax.adagrad, lrax.rmsprop, lrax.adam, lrax.adamw, lrax.amsgrad,
        lrax.nadam, lrax.nadamw,
    ],
)
def test_a_warmup_from_zero_and_a_first_gradient_of_zero(make):
  tx = make(lrax.constant(0.1).with_warmup(2))
  params = jnp.array([1.0, -1.0])
  gradients = jnp.array([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
  updates = _path(tx, gradients, params)
  assert (updates[0] == 0).all()  # the rate is 0
  assert jnp.isfinite(updates).all()
  assert (updates[1:] < 0).all()
