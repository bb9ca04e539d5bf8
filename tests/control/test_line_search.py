import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.control import averaged
from lrax.control import line_search

START = jnp.array([1.0, -2.0, 0.5])
CURVATURE = jnp.array([1.0, 4.0, 16.0])


def bowl(w):
  return 0.5 * jnp.sum(CURVATURE * w**2)


def first(policy, loss=bowl, start=START, **changed):
  """The state and the rate of the first update of gradient descent."""
  value, grads = jax.value_and_grad(loss)(start)
  signals = {'value': value, 'value_fn': loss} | changed
  state = policy.update(grads, policy.init(), start, **signals)[1]
  return state, float(state.learning_rate)


def searched(w, start, c, factor):
  """The rate of an Armijo search by hand, in float64."""
  w, curvature = np.float64(w), np.float64(CURVATURE)
  loss = lambda w: 0.5 * np.sum(curvature * w**2)
  grad, rate = curvature * w, start
  while loss(w - rate * grad) > loss(w) - c * rate * np.sum(grad**2):
    rate *= factor
  return rate


# --- the paper's search ------------------------------------------------------


@pytest.mark.parametrize('c, factor', [(0.1, 0.9), (0.5, 0.5), (0.25, 0.75)])
def test_the_first_rate_that_lowers_the_loss_enough(c, factor):
  rate = first(line_search(c=c, factor=factor))[1]
  # A product for each of at most 30 trials, of half an ulp each.
  np.testing.assert_allclose(rate, searched(START, 1.0, c, factor), rtol=2e-6)


def test_the_condition_is_armijos():
  """Of a parabola of curvature k it holds up to 2 (1 - c) / k."""
  loss = lambda w: 4 * jnp.sum(w**2)  # k = 8
  just = 2 * (1 - 0.25) / 8
  assert first(line_search(just * 0.999, c=0.25), loss)[1] == np.float32(just * 0.999)
  assert first(line_search(just * 1.001, c=0.25, factor=0.5), loss)[1] == np.float32(
      just * 1.001
  ) / 2


def test_a_run_is_that_of_a_search_by_hand():
  """With the reset of option 2, in float64, from the papers' numbers."""
  with jax.enable_x64(True):
    curvature = jnp.asarray(np.float64(CURVATURE))
    loss = lambda w: 0.5 * jnp.sum(curvature * w**2)
    policy = line_search(10.0, doubling_steps=4)
    w = jnp.asarray(np.float64(START))
    state, theirs, start = policy.init(), np.float64(START), 10.0
    for _ in range(12):
      value, grads = jax.value_and_grad(loss)(w)
      updates, state = policy.update(grads, state, w, value=value, value_fn=loss)
      w = optax.apply_updates(w, updates)
      rate = searched(theirs, start, 0.1, 0.9)
      theirs = theirs - rate * np.float64(CURVATURE) * theirs
      start = min(2**0.25 * rate, 10.0)
      # Twelve steps of a few float64 roundings.
      np.testing.assert_allclose(float(state.learning_rate), rate, rtol=1e-13)
    np.testing.assert_allclose(w, theirs, rtol=1e-12)


def test_goes_down_on_the_problem_of_the_references():
  tx = lrax.sgd(line_search(10.0, doubling_steps=4))

  @jax.jit
  def step(params, state):
    value, grads = jax.value_and_grad(trajectories.loss)(params)
    updates, state = tx.update(
        grads, state, params, value=value, value_fn=trajectories.loss
    )
    return optax.apply_updates(params, updates), state, value

  params = trajectories.start()
  state, values = tx.init(params), []
  for _ in range(60):
    params, state, value = step(params, state)
    values.append(float(value))
  # It never rises but by rounding.
  assert np.all(np.diff(values) <= 1e-6 * values[0])
  assert values[-1] < 0.1 * values[0]


def test_a_direction_is_measured_by_its_slope():
  """Four times the gradient: a quarter of the rate."""
  policy = optax.chain(optax.scale(4.0), line_search(0.25, factor=0.5))
  value, grads = jax.value_and_grad(bowl)(START)
  signals = dict(value=value, value_fn=bowl, grad=grads)
  state = policy.update(grads, policy.init(START), START, **signals)[1]
  rate = first(line_search(1.0, factor=0.5))[1]
  assert float(lrax.get_learning_rate(state)) == rate / 4


# --- faults ------------------------------------------------------------------


def test_no_trial_that_will_do_is_no_step_and_the_next_goes_on_from_there():
  policy = line_search(1.0, factor=0.5, max_trials=2, doubling_steps=10**6)
  state, rate = first(policy)
  assert rate == 0
  value, grads = jax.value_and_grad(bowl)(START)
  for _ in range(3):
    state = policy.update(grads, state, START, value=value, value_fn=bowl)[1]
  # 1/2 and 1/4 were tried, then 1/4 and 1/8: the growth of a millionth is small.
  assert 0.12 < float(state.learning_rate) < 0.13


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_a_loss_that_is_not_finite_moves_and_teaches_nothing(bad):
  policy = line_search(factor=0.5, doubling_steps=1)
  state, rate = first(policy, value=bad)
  assert rate == 0
  assert state.memory.kept == policy.init().memory.kept


def test_uphill_there_is_no_search():
  """It would fail to the last trial, and the next one start from there."""
  policy = line_search(factor=0.5, doubling_steps=1)
  state, rate = first(policy, grad=-CURVATURE * START)
  assert rate == 0
  assert state.memory.kept == policy.init().memory.kept


def test_a_trial_that_is_not_finite_is_not_taken():
  loss = lambda w: jnp.where(jnp.abs(w[0]) < 0.99, jnp.nan, bowl(w))
  assert 0 < first(line_search(), loss)[1] < 0.01


def test_zero_gradients_are_no_search():
  rate = first(line_search(), start=jnp.zeros(3))[1]
  assert rate == 1


def test_ends_at_the_minimum_where_no_fall_can_be_seen():
  """Without a slack of an ulp all of the trials would fail there."""
  loss = lambda w: 3.0 + bowl(w)
  rate = first(line_search(0.0625), loss, start=jnp.full(3, 1e-5))[1]
  assert rate == 0.0625


def test_it_waits_for_its_segment_without_trials():
  calls = []

  def counted(w):
    jax.debug.callback(lambda: calls.append(None))
    return bowl(w)

  first(line_search().with_warmup(3), value=bowl(START), value_fn=counted)
  jax.effects_barrier()
  assert not calls
  first(line_search(), value=bowl(START), value_fn=counted)
  jax.effects_barrier()
  assert calls


# --- signals and company -----------------------------------------------------


@pytest.mark.parametrize('missing', ['value', 'value_fn'])
def test_a_missing_signal_is_named(missing):
  with pytest.raises(ValueError, match=f'needs the signal `{missing}`'):
    first(line_search(), **{missing: None})


def test_missing_parameters_are_named():
  policy = line_search()
  with pytest.raises(ValueError, match='needs the signal `params`'):
    policy.update(START, policy.init(), value=1.0, value_fn=bowl)


def test_what_is_no_function_is_refused():
  with pytest.raises(TypeError, match='`value_fn` must be a function'):
    first(line_search(), value_fn=3.0)
  with pytest.raises(TypeError, match='`value_fn` must be a real scalar'):
    first(line_search(), value_fn=lambda w: w)


def test_replicas_make_the_same_trials():
  """By the mean loss; each device for itself would find another rate."""
  scales = jnp.arange(1.0, 9.0)

  def found(policy, loss_of):
    tx = lrax.sgd(policy)

    def step(scale):
      loss = loss_of(scale)
      value, grads = jax.value_and_grad(loss)(START)
      grads = jax.lax.pmean(grads, 'batch')
      signals = dict(value=value, value_fn=loss)
      state = tx.update(grads, tx.init(START), START, **signals)[1]
      return lrax.get_learning_rate(state)

    return np.asarray(jax.pmap(step, axis_name='batch')(scales))

  of_device = lambda scale: lambda w: scale * bowl(w)
  together = found(averaged(line_search(factor=0.5), axis_name='batch'), of_device)
  mean = first(line_search(factor=0.5), lambda w: 4.5 * bowl(w))[1]
  np.testing.assert_array_equal(together, np.full(8, np.float32(mean)))
  assert len(set(found(line_search(factor=0.5), of_device).tolist())) > 1


@pytest.mark.parametrize('name, value', [
    ('max_value', 0.0), ('c', 1.0), ('factor', 1.0), ('doubling_steps', 0),
    ('max_trials', 0),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'line_search: `{name}` must be'):
    line_search(**{name: value})


def test_a_part_of_the_parameters_is_not_what_value_fn_takes():
  params = {'a': jnp.ones(2), 'b': jnp.ones(2)}
  tx = optax.masked(lrax.sgd(line_search()), {'a': True, 'b': False})
  told = {'value': jnp.ones(()), 'value_fn': lambda p: jnp.sum(p['a'] + p['b'])}
  with pytest.raises(ValueError, match='line_search: `params` must be all that'):
    tx.update(params, tx.init(params), params, grad=params, **told)
