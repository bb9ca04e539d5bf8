import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.control import averaged
from lrax.control import momo
from lrax.schedules import minimum

PARAMS = {'w': jnp.array([3.0, 4.0])}


def from_the_first(decay):
  """The average of gradients that starts at the first one, as the paper's."""

  def init(params):
    return jnp.zeros((), bool), jax.tree.map(jnp.zeros_like, params)

  def update(updates, state, params=None):
    del params
    started, before = state
    mix = lambda m, g: jnp.where(started, decay * m + (1 - decay) * g, g)
    mean = jax.tree.map(mix, before, updates)
    return mean, (jnp.ones((), bool), mean)

  return optax.GradientTransformation(init, update)


def changing(make):
  """Policies with the run's rates as their bound, that share one state."""

  def build(rate):
    before, after = (make(value) for value in rate.arguments['values'])

    def update(updates, state, params=None, **signals):
      ways = [p.update(updates, state, params, **signals) for p in (before, after)]
      late = state.step >= trajectories.REFERENCE['change']
      return jax.tree.map(lambda a, b: jnp.where(late, b, a), *ways)

    return optax.chain(
        from_the_first(0.9), optax.GradientTransformationExtraArgs(before.init, update)
    )

  return build


def first_rate(policy, value=9.0, grads=PARAMS, params=PARAMS, **changed):
  signals = {'value': value, 'grad': grads} | changed
  state = policy.update(grads, policy.init(PARAMS), params, **signals)[1]
  return float(state.learning_rate)


# --- the paper's algorithms --------------------------------------------------


def test_follows_the_reference():
  trajectories.assert_follows('momo', lambda rate: optax.chain(
      from_the_first(0.9), minimum(rate, momo(None, bias_correction=False))
  ))


def test_follows_the_reference_with_an_estimated_lowest_loss():
  trajectories.assert_follows('momo_fstar', changing(lambda rate: momo(
      rate, f_star=-1.0, estimate_f_star=True, bias_correction=False
  )))


def by_hand(kind, max_value, f_star, estimate, steps, b1=0.9):
  """Algorithms 1 and 2 with corrected averages, in float64, by NumPy."""
  value_and_grad = jax.jit(jax.value_and_grad(trajectories.loss))
  flat = lambda tree: np.concatenate([np.ravel(tree[k]) for k in ('x', 'w')])
  x = {k: np.asarray(v) for k, v in trajectories.start().items()}
  f = gamma = d = v = 0.0
  lowest, found = f_star, []
  for t in range(1, steps + 1):
    loss, grad = value_and_grad(x)
    grad, here = flat(grad), flat(x)
    f, d = b1 * f + (1 - b1) * float(loss), b1 * d + (1 - b1) * grad
    gamma = b1 * gamma + (1 - b1) * (grad @ here)
    rho = 1 - b1**t
    metric = np.ones_like(grad)
    if kind == 'adam':
      v = 0.999 * v + 0.001 * grad**2
      metric = np.sqrt(v / (1 - 0.999**t)) + 1e-8
    h, size = f + d @ here - gamma, np.sum(d**2 / metric)
    if estimate and h < rho * lowest:
      lowest = max(h / (2 * rho), f_star)
    tau = min(max_value / rho, max(h - rho * lowest, 0) / size)
    if estimate:
      lowest = max((h - tau * size / 2) / rho, f_star)
    moved = here - tau * d / metric
    x = {'x': moved[:6], 'w': moved[6:].reshape(4, 3)}
    found.append(tau * rho)
  return found, moved


@pytest.mark.parametrize('f_star, estimate', [(0.0, False), (0.5, False), (-1.0, True)])
@pytest.mark.parametrize('kind', ['average', 'sum', 'adam'])
def test_follows_the_algorithm_by_hand(kind, f_star, estimate):
  """Of an average, of the sum that `lrax.sgd` keeps, and of Adam."""
  steps, max_value = 40, {'adam': 0.1}.get(kind, 0.3)
  with jax.enable_x64(True):
    expect, end = by_hand(kind, max_value, f_star, estimate, steps)
    if kind == 'adam':
      tx = lrax.adam(momo(max_value, 0.9, f_star, estimate))
    elif kind == 'average':
      policy = momo(max_value, 0.9, f_star, estimate)
      tx = optax.chain(optax.ema(0.9), policy)
    else:
      # A sum is 10 times the average with weights from 0; its bound is not the
      # paper's while the weight gathers, so there is none here.
      expect, end = by_hand(kind, math.inf, f_star, estimate, steps)
      tx = lrax.sgd(momo(None, 0.9, f_star, estimate), momentum=0.9)
      expect = [e * 0.1 / (1 - 0.9**t) for t, e in enumerate(expect, 1)]
    params = trajectories.start()
    state, found = tx.init(params), []

    @jax.jit
    def step(params, state):
      value, grads = jax.value_and_grad(trajectories.loss)(params)
      updates, state = tx.update(grads, state, params, value=value, grad=grads)
      return optax.apply_updates(params, updates), state

    for _ in range(steps):
      params, state = step(params, state)
      found.append(float(lrax.get_learning_rate(state)))
    assert len(set(found)) > 1
    # 40 steps of a run that is not chaotic, and roundings of 1e-16 each.
    np.testing.assert_allclose(found, expect, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(trajectories.flat(params), end, rtol=1e-12, atol=1e-12)


def test_without_momentum_it_is_polyaks_step():
  """(f - f*) / |g| ** 2, wherever the parameters are."""
  far = jax.tree.map(lambda x: x + 512.0, PARAMS)
  for params in (PARAMS, far):
    found = first_rate(momo(b1=0.0, f_star=4.0), 9.0, params=params)
    assert found == np.float32(5.0 / 25.0)


# --- faults ------------------------------------------------------------------


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_moves_and_teaches_nothing(bad):
  policy = momo()
  assert first_rate(policy, bad) == 0
  state = policy.init(PARAMS)
  for value in (9.0, bad, 8.0):
    state = policy.update(PARAMS, state, PARAMS, value=value, grad=PARAMS)[1]
  clean = policy.init(PARAMS)
  for value in (9.0, 8.0):
    clean = policy.update(PARAMS, clean, PARAMS, value=value, grad=PARAMS)[1]
  jax.tree.map(np.testing.assert_array_equal, state.memory, clean.memory)


def test_gradients_that_are_not_finite_move_and_teach_nothing():
  for bad in (math.nan, math.inf, 1e30):
    grads = {'w': jnp.array([bad, 0.0])}
    policy = momo()
    state = policy.update(
        grads, policy.init(PARAMS), PARAMS, value=1.0, grad=grads
    )[1]
    assert state.learning_rate == 0
    assert state.memory.kept.weight == 0 and not state.memory.kept.gradient['w'].any()


@pytest.mark.parametrize('estimate', [False, True])
def test_zero_gradients_are_finite(estimate):
  zeros = {'w': jnp.zeros(2)}
  policy = momo(None, estimate_f_star=estimate)
  state = policy.init(zeros)
  for _ in range(2):
    state = policy.update(zeros, state, PARAMS, value=3.0, grad=zeros)[1]
    assert state.learning_rate == 0
  assert np.isfinite(state.memory.kept.f_star)


def test_never_uphill():
  assert first_rate(momo(f_star=10.0)) == 0  # the loss is below
  assert first_rate(momo(), grad={'w': -PARAMS['w']}) == 0  # the direction


def test_half_precision_gradients_are_averaged_in_float32():
  policy = momo(None, b1=0.0)
  half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
  state = policy.init(half)
  assert state.memory.kept.gradient['w'].dtype == jnp.float32
  state = policy.update(half, state, half, value=9.0, grad=half)[1]
  assert float(state.learning_rate) == np.float32(9.0 / 25.0)


# --- signals and company -----------------------------------------------------


@pytest.mark.parametrize('missing', ['value', 'grad', 'params'])
def test_a_missing_signal_is_named(missing):
  policy = momo()
  signals = {'params': PARAMS, 'value': 1.0, 'grad': PARAMS, missing: None}
  with pytest.raises(ValueError, match=f'momo: needs the signal `{missing}`'):
    policy.update(PARAMS, policy.init(PARAMS), **signals)


def test_a_state_made_without_the_parameters_is_refused():
  policy = momo()
  with pytest.raises(ValueError, match='momo: needs the signal `params` where'):
    policy.update(PARAMS, policy.init(), PARAMS, value=1.0, grad=PARAMS)


def test_each_group_has_a_model_of_its_own():
  tx = optax.partition(
      {'a': lrax.sgd(momo(b1=0.0)), 'b': lrax.sgd(0.5)}, {'x': 'a', 'y': 'b'}
  )
  grads = {'x': jnp.array([2.0]), 'y': jnp.array([4.0])}
  state = tx.update(grads, tx.init(grads), grads, value=2.0, grad=grads)[1]
  # value / |g| ** 2
  assert lrax.get_learning_rate(state) == {'a': 0.5, 'b': 0.5}


def test_replicas_take_one_rate():
  """The mean of the losses 0.5, ..., 7.5 is 4, and 4 / 25 the rate."""
  policy = averaged(momo(), axis_name='batch')

  def step(value):
    grads = jax.lax.pmean({'w': PARAMS['w'] * value / 4}, 'batch')
    signals = dict(value=value, grad=grads)
    return policy.update(grads, policy.init(PARAMS), PARAMS, **signals)[1].learning_rate

  found = np.asarray(jax.pmap(step, axis_name='batch')(jnp.arange(8.0) + 0.5))
  assert len(set(found.tolist())) == 1
  # The averages are 0.1 of it, in float32.
  np.testing.assert_allclose(found, 4 / 25, rtol=16 * 2.0**-24)


@pytest.mark.parametrize('name, value', [
    ('max_value', 0.0), ('b1', 1.0), ('f_star', math.inf),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'momo: `{name}` must be'):
    momo(**{name: value})
