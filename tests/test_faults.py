"""Faults known from other libraries, that the optimizers here must not repeat.

Those of Optax 0.2.8 and their tests. A fault of one member is in its own file.

centred RMSProp is NaN where its variance rounds below 0:
  test_centred_rmsprop_survives_a_constant_gradient
D-Adaptation and Prodigy are NaN after a first rate, or a first gradient, of 0:
  test_d_adaptation_and_prodigy_learn_after_a_start_of_nothing
b2 = 0.999 is 1 in bfloat16 under `inject_hyperparams`, and Adam NaN:
  test_injected_bfloat16_hyperparameters_are_refused
updates of 1e-3 do not move bfloat16 parameters of 1:
  test_adam_gives_bfloat16_parameters_updates_that_add_up
Schedule-Free weighs its average by the rate of the step after:
  optimizers/test_schedule_free.py test_the_weights_are_of_the_rates_applied
Schedule-Free's evaluation parameters are NaN at b1 = 0:
  optimizers/test_schedule_free.py test_b1_of_0_that_is_traced_gives_no_nan
Schedule-Free's weight_sum stays at 0.000488 in bfloat16:
  optimizers/test_schedule_free.py test_bfloat16_keeps_its_sums_wide
Schedule-Free's evaluation parameters fail through `chain` and `MultiSteps`:
  optimizers/test_schedule_free.py test_eval_params_at_any_nesting
Yogi moves at a gradient of 0:
  optimizers/test_yogi.py test_a_zero_gradient_moves_nothing
Polyak's step goes uphill below its `f_min`:
  control/test_polyak.py test_never_uphill_below_the_lowest_loss
DoWG has its eps beside the root, so that the scale of the loss matters:
  optimizers/test_dowg.py test_a_factor_of_the_loss_changes_nothing

Two more are of methods that lrax has not: `optax.scale_by_rprop` gives each update
a step late, and Sophia divides by its estimate of the Hessian before there is one.
Here they are to be had through `lrax.with_learning_rate(optax....)` only, which
leaves them as they are.
"""

import ast
from pathlib import Path
import re

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


def test_the_list_above_names_tests_that_exist():
  named = re.findall(r'^  (?:(\S+\.py) )?(test_\w+)$', __doc__, re.MULTILINE)
  assert len(named) == 11
  for file, name in named:
    path = Path(__file__).parent / file if file else Path(__file__)
    tree = ast.parse(path.read_text())
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in tests, file


# --- centred RMSProp: a variance below zero by rounding, and NaN from its root


@pytest.mark.parametrize('momentum', [None, 0.9])
@pytest.mark.parametrize('eps_in_sqrt', [True, False])
@pytest.mark.parametrize('decay', [0.9, 0.5])
def test_centred_rmsprop_survives_a_constant_gradient(decay, eps_in_sqrt, momentum):
  tx = lrax.rmsprop(
      0.1, decay, eps=1e-12, eps_in_sqrt=eps_in_sqrt, centered=True,
      momentum=momentum,
  )
  # Many, for it is a matter of roundings: at 0.9 Optax's is NaN at 4 of these, and
  # at 0.5 any is at a quarter of them whose variance may be below 0.
  constants = np.random.default_rng(0).uniform(0.1, 4.0, 200).astype(np.float32)
  gradients = jnp.broadcast_to(constants, (300, 200))
  updates = _path(tx, gradients, jnp.zeros(200))
  assert jnp.isfinite(updates).all()
  # Whatever the variance has become, descent goes down.
  assert (updates < 0).all()


# --- D-Adaptation and Prodigy: 0 / 0 where nothing was gathered yet


def _learn(tx, steps, silent):
  """Minimises a quadratic, without gradient in the first `silent` updates."""
  curvature = jnp.array([1.0, 3.0, 0.3])

  @jax.jit
  def step(x, state, gate):
    updates, state = tx.update(gate * curvature * x, state, x)
    return optax.apply_updates(x, updates), state

  x = jnp.array([1.0, -1.0, 1.0])
  state = tx.init(x)
  for t in range(steps):
    x, state = step(x, state, jnp.float32(t >= silent))
    assert bool(jnp.isfinite(x).all())
    assert all(bool(jnp.isfinite(s).all()) for s in jax.tree.leaves(state[0]))
  return x, state


@pytest.mark.parametrize('warmup', [0, 10])
@pytest.mark.parametrize('silent', [0, 3])
@pytest.mark.parametrize(
    'make, arguments',
    [
        (lrax.prodigy, {}),
        (lrax.prodigy, {'safeguard_warmup': True}),
        (lrax.dadapt_adamw, {}),
        (lrax.dadapt_sgd, {}),
        # Its estimate grows by the root of the step only.
        (lrax.dadapt_adagrad, {'estim_lr0': 1e-2}),
    ],
)
def test_d_adaptation_and_prodigy_learn_after_a_start_of_nothing(
    make, arguments, silent, warmup
):
  """A warm-up from 0, gradients of 0 at first, both, and neither."""
  tx = make(lrax.constant(1.0).with_warmup(warmup), **arguments)
  x, state = _learn(tx, 400, silent)
  assert float(jnp.abs(x).max()) < 0.1
  assert float(lrax.get_learning_rate(state)) > 0.05


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
