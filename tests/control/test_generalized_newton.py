
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.control import averaged
from lrax.control import generalized_newton

START = jnp.array([1.0, -2.0, 0.5])
CURVATURE = jnp.array([1.0, 4.0, 16.0])


def bowl(w):
  return 0.5 * jnp.sum(CURVATURE * w**2)


def newton(w, direction):
  """The step to the lowest point of the bowl along a direction."""
  curvature = np.float64(CURVATURE)
  w, direction = np.float64(w), np.float64(direction)
  return np.sum(curvature * w * direction) / np.sum(curvature * direction**2)


def updated(policy, state, loss=bowl, w=START, **changed):
  value, grads = jax.value_and_grad(loss)(w)
  signals = {'value': value, 'value_fn': loss} | changed
  return policy.update(grads, state, w, **signals)[1]


def rates(policy, losses):
  state, found = policy.init(), []
  for loss in losses:
    state = updated(policy, state, loss)
    found.append(float(state.learning_rate))
  return found


# --- the paper's formula -----------------------------------------------------


@pytest.mark.parametrize('init_value', [0.01, 0.1, 1.0])
def test_of_a_parabola_it_is_newtons_step(init_value):
  with jax.enable_x64(True):
    w = jnp.asarray(np.float64(START))
    policy = generalized_newton(init_value, every=1, smoothing=0.0)
    state = updated(policy, policy.init(), w=w)
    expect = newton(START, CURVATURE * START)
    # Of losses near 10 the difference for 0.01 is 1e-2 of them.
    np.testing.assert_allclose(state.learning_rate, expect, rtol=1e-11)


def test_of_any_direction_it_is_newtons_step():
  direction = jnp.array([1.0, -1.0, 1.0])
  policy = generalized_newton(0.5, smoothing=0.0)
  state = policy.update(
      direction, policy.init(), START, value=bowl(START), value_fn=bowl
  )[1]
  # Losses near 10 in float32, and differences of the same size.
  np.testing.assert_allclose(
      state.learning_rate, newton(START, direction), rtol=1e-5
  )


def test_the_formula_of_three_losses():
  """Of a loss that is no parabola it is that of these three points."""
  losses = {0.5: 2.0, 0.0: 3.0, -0.5: 8.0}  # ahead, here, back
  line = lambda w: jnp.select(
      [w < 0.75, w < 1.25], [losses[0.5], losses[0.0]], losses[-0.5]
  )
  policy = generalized_newton(0.5, every=1, smoothing=0.75)
  state = policy.update(
      jnp.array(1.0), policy.init(), jnp.array(1.0), value=3.0, value_fn=line
  )[1]
  found = 0.5 / 2 * (8 - 2) / (2 - 2 * 3 + 8)
  assert float(state.learning_rate) == 0.75 * 0.5 + 0.25 * found


def test_a_run_by_hand():
  with jax.enable_x64(True):
    curvature = jnp.asarray(np.float64(CURVATURE))
    loss = lambda w: 0.5 * jnp.sum(curvature * w**2)
    tx = lrax.sgd(generalized_newton(0.02, every=3))
    w, theirs, rate = jnp.asarray(np.float64(START)), np.float64(START), 0.02
    state = tx.init(w)
    for t in range(10):
      value, grads = jax.value_and_grad(loss)(w)
      updates, state = tx.update(grads, state, w, value=value, value_fn=loss)
      w = optax.apply_updates(w, updates)
      direction = np.float64(CURVATURE) * theirs
      if t % 3 == 0:
        rate = 0.9 * rate + 0.1 * newton(theirs, direction)
      theirs = theirs - rate * direction
      # The differences of losses lose two or three of sixteen digits.
      np.testing.assert_allclose(
          float(lrax.get_learning_rate(state)), rate, rtol=1e-12
      )
    np.testing.assert_allclose(w, theirs, rtol=1e-11)


def test_the_losses_are_measured_in_some_updates_only():
  calls = []

  def counted(w):
    jax.debug.callback(lambda: calls.append(None))
    return bowl(w)

  policy = generalized_newton(0.1, every=3)
  step = jax.jit(lambda state: updated(
      policy, state, value=bowl(START), value_fn=counted, loss=bowl
  ))
  state, seen = policy.init(), []
  for _ in range(7):
    state = step(state)
    jax.effects_barrier()
    seen.append(len(calls))
  assert seen == [2, 2, 2, 4, 4, 4, 6]


# --- faults ------------------------------------------------------------------


@pytest.mark.parametrize('loss', [
    lambda w: -bowl(w),  # it opens downwards
    lambda w: jnp.sum(w),  # straight
    lambda w: 3.0 + 0 * jnp.sum(w),  # flat, of gradient 0
    lambda w: jnp.nan * jnp.sum(w),
    lambda w: jnp.where(w[0] < 1, jnp.inf, bowl(w)),  # ahead
])
def test_what_gives_no_lowest_point_ahead_leaves_the_rate(loss):
  policy = generalized_newton(0.125, every=1, smoothing=0.0)
  assert rates(policy, [loss, loss]) == [0.125, 0.125]


def test_a_highest_rate():
  policy = generalized_newton(0.1, every=1, smoothing=0.0, max_value=0.05)
  assert rates(policy, [bowl])[0] == np.float32(0.05)


def test_it_waits_for_its_segment():
  policy = generalized_newton(0.5, every=2, smoothing=0.0)
  alone = rates(policy, [bowl] * 3)
  found = rates(policy.with_warmup(2), [bowl] * 5)
  assert found == [0.0, 0.25, *alone]


# --- signals and company -----------------------------------------------------


@pytest.mark.parametrize('missing', ['value', 'value_fn'])
def test_a_missing_signal_is_named(missing):
  policy = generalized_newton()
  with pytest.raises(ValueError, match=f'needs the signal `{missing}`'):
    updated(policy, policy.init(), **{missing: None})


def test_replicas_take_one_rate():
  """By the mean loss: of a bowl that is 4.5 times as steep."""
  policy = averaged(generalized_newton(0.01, smoothing=0.0), axis_name='batch')

  def step(scale):
    loss = lambda w: scale * bowl(w)
    value, grads = jax.value_and_grad(loss)(START)
    grads = jax.lax.pmean(grads, 'batch')
    signals = dict(value=value, value_fn=loss)
    return policy.update(grads, policy.init(), START, **signals)[1].learning_rate

  found = np.asarray(jax.pmap(step, axis_name='batch')(jnp.arange(1.0, 9.0)))
  assert len(set(found.tolist())) == 1
  expect = newton(START, CURVATURE * START) / 4.5
  # Differences of losses near 50 of about a half, in float32.
  np.testing.assert_allclose(found, expect, rtol=1e-4)


@pytest.mark.parametrize('name, value', [
    ('init_value', 0.0), ('every', 0), ('smoothing', 1.0), ('max_value', 0.0),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'generalized_newton: `{name}` must be'):
    generalized_newton(**{name: value})
