import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.control import averaged
from lrax.control import critical_warmup

START = jnp.array([1.0, -2.0, 0.5])
CURVATURE = jnp.array([1.0, 4.0, 16.0])


def bowl(w):
  return 0.5 * jnp.sum(CURVATURE * w**2)


def critical(w):
  """Where a step of gradient descent is level, in closed form and float64."""
  grad = np.float64(CURVATURE) * np.float64(w)
  return 2 * np.sum(grad**2) / np.sum(np.float64(CURVATURE) * grad**2)


def train(tx, loss, params, steps):
  """The parameters, the rates and the losses of a run in one program."""

  def body(carry, _):
    params, state = carry
    value, grads = jax.value_and_grad(loss)(params)
    updates, state = tx.update(
        grads, state, params, value=value, value_fn=loss, grad=grads
    )
    kept = lrax.get_learning_rate(state), value, params
    return (optax.apply_updates(params, updates), state), kept

  run = lambda params: jax.lax.scan(body, (params, tx.init(params)), length=steps)
  (params, _), (rates, losses, path) = jax.jit(run)(params)
  return params, np.asarray(rates), np.asarray(losses), path


@pytest.mark.parametrize('init_value', [1e-6, 0.1, 300.0])
def test_the_first_rate_is_a_share_of_the_critical_one(init_value):
  policy = critical_warmup(100.0, init_value, fraction=0.5, max_trials=40)
  value, grads = jax.value_and_grad(bowl)(START)
  signals = {'value': value, 'value_fn': bowl}
  _, state = jax.jit(lambda: policy.update(grads, policy.init(), START, **signals))()
  # The bracket's lower end, at most 25% below; float32 losses round by 1e-7.
  rate = 2 * float(state.learning_rate)
  assert critical(START) / 1.25 <= rate <= critical(START) * (1 + 1e-5)


def test_follows_the_critical_rate_down_a_parabola():
  _, rates, losses, path = train(
      lrax.sgd(critical_warmup(10.0, 0.1)), bowl, START, 25
  )
  ratios = 2 * rates / [critical(w) for w in path]
  # As above; one search of 8 trials reaches a factor of 2 ** 6 and narrows it.
  assert np.all((ratios > 0.8 * (1 - 1e-5)) & (ratios < 1 + 1e-5))
  assert np.all(np.diff(losses) < 0)


def test_the_peak_is_taken_at_once_where_it_is_safe_and_then_costs_nothing():
  seen = []

  def loss(w):
    jax.debug.callback(lambda: seen.append(None))
    return bowl(w)

  policy = critical_warmup(0.07, 0.07 / 0.3, fraction=0.3, patience=3)

  @jax.jit
  def step(w, state):
    value, grads = jax.value_and_grad(bowl)(w)
    updates, state = policy.update(grads, state, w, value=value, value_fn=loss)
    return w + updates, state

  # A peak of which fraction * (peak / fraction) is not the peak in float32; the
  # gradient is along the flattest axis, so that the critical rate is 2.
  w, state, counts = jnp.array([1.0, 0.0, 0.0]), policy.init(), []
  for _ in range(6):
    w, state = step(w, state)
    jax.effects_barrier()
    counts.append(len(seen))
    assert float(state.learning_rate) == np.float32(0.07)
  assert counts == [1, 2, 3, 3, 3, 3]  # one loss shows that the peak is safe


def test_losses_in_an_update_are_bounded():
  seen = []

  def loss(w):
    jax.debug.callback(lambda: seen.append(None))
    return bowl(w)

  policy = critical_warmup(1e9, 1e-30, max_trials=5)
  state = policy.init()
  value, grads = jax.value_and_grad(bowl)(START)
  step = jax.jit(
      lambda s: policy.update(grads, s, START, value=value, value_fn=loss)[1]
  )
  rates = []
  for updates in range(1, 4):
    state = step(state)
    jax.effects_barrier()
    assert len(seen) == 5 * updates
    rates.append(float(state.learning_rate))
  # Four doublings an update, then the last rate again: still far below.
  np.testing.assert_allclose(rates, 0.5e-30 * 16.0 ** np.arange(1, 4), rtol=1e-6)


def test_ends_after_so_many_updates_and_stays():
  policy = critical_warmup(10.0, 1e-6, warmup_steps=4, max_trials=3)
  _, rates, *_ = train(lrax.sgd(policy), bowl, START, 8)
  # Two doublings an update; then it would go on.
  np.testing.assert_allclose(rates[:4], 0.5e-6 * 4.0 ** np.arange(1, 5), rtol=1e-6)
  np.testing.assert_array_equal(rates[4:], rates[3])


def test_a_steep_start_that_the_peak_blows_up_is_walked_out_of():
  """A product of two weights, far from balance: curvature 400 falls to about 2."""
  loss = lambda w: 0.5 * (w['a'] * w['b'] - 1.0) ** 2 + 0.01 * w['a'] ** 2
  start = {'a': jnp.array(20.0), 'b': jnp.array(0.5)}
  alone = train(lrax.sgd(0.1), loss, start, 200)[2]
  assert not np.isfinite(alone[-1])
  for tx in (
      lrax.sgd(critical_warmup(0.1)),
      optax.chain(optax.clip_by_global_norm(1e3), lrax.sgd(critical_warmup(0.1))),
      lrax.with_learning_rate(optax.identity(), critical_warmup(0.1)),
  ):
    _, rates, losses, _ = train(tx, loss, start, 2000)
    assert rates[0] < 2 / 400 and rates[-1] == np.float32(0.1)
    # From 48.5; what is left is the penalty, which has a long way to go.
    assert np.all(np.isfinite(losses)) and losses[-1] < 0.2


def test_with_adam_and_a_schedule():
  policy = critical_warmup(0.1, 0.05, patience=2) * lrax.linear(1.0, 0.0, steps=20)
  _, rates, losses, _ = train(lrax.adam(policy), bowl, START, 20)
  assert losses[-1] < losses[0]
  # Both factors are in float32; the warm-up is over at once: Adam's first step of
  # 0.2 in each coordinate still lowers the loss.
  np.testing.assert_allclose(rates, 0.1 * (1 - np.arange(20) / 20), rtol=1e-6)


def test_a_loss_of_nan_is_above_and_one_before_the_step_changes_nothing():
  policy = critical_warmup(10.0, 0.1)
  value, grads = jax.value_and_grad(bowl)(START)
  wall = lambda w: jnp.where(w[1] > 0, jnp.nan, bowl(w))  # from a rate of 0.25 on
  step = jax.jit(
      lambda state, value: policy.update(
          grads, state, START, value=value, value_fn=wall
      )[1]
  )
  state = step(policy.init(), value)
  assert 0.8 * 0.125 / 2 <= float(state.learning_rate) <= 0.125
  after = step(state, jnp.nan)
  assert after.learning_rate == state.learning_rate
  assert after.memory.kept.measured == 1
  # Where all is above, the lowest rate tried: half of 0.1 / 2 ** 7.
  up = step(policy.init(), value - 1e6)
  np.testing.assert_allclose(up.learning_rate, 0.05 / 2**7, rtol=1e-6)


def test_devices_take_one_rate():
  scales = jnp.array([1.0, 8.0])
  policy = averaged(critical_warmup(10.0, 0.1), axis_name='batch')
  tx = lrax.sgd(policy)

  def step(scale, w):
    loss = lambda w: scale * bowl(w)
    value, grads = jax.value_and_grad(loss)(w)
    grads = jax.lax.pmean(grads, 'batch')
    _, state = tx.update(grads, tx.init(w), w, value=value, value_fn=loss)
    return lrax.get_learning_rate(state)

  rates = jax.pmap(step, 'batch', in_axes=(0, None))(scales, START)
  expected = critical(START) / 4.5 / 2  # of the mean loss, half of it
  assert rates[0] == rates[1] and expected / 1.25 <= rates[0] <= expected * 1.00001
