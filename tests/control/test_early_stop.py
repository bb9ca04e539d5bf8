import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.control import early_stop
from lrax.control import should_stop

PARAMS = {'w': jnp.ones(()), 'b': jnp.ones(())}


def stops(policy, metrics):
  """Whether to stop after each update with these metrics as `value=`."""

  def step(state, metric):
    state = policy.update((), state, value=metric)[1]
    return state, (should_stop(state), state.learning_rate)

  run = lambda metrics: jax.lax.scan(step, policy.init(), metrics)[1]
  stops, rates = jax.jit(jax.vmap(run))(jnp.asarray(metrics, jnp.float32))
  np.testing.assert_array_equal(rates, 1.0)  # it is never the rate that stops
  return stops.tolist()


def test_stops_at_the_last_evaluation_endured_and_for_ever():
  metrics = np.array([
      [3.0, 2.0, 2.0, 2.5, 1.0, 0.5],
      [3.0, 3.0, 2.0, 2.5, 1.0, 1.0],
      [-3.0, -3.0, -3.0, -4.0, -5.0, -6.0],
      [math.nan, 3.0, math.inf, -math.inf, 2.0, 1.0],
  ])
  expect = [
      [False, False, False, True, True, True],
      [False] * 6,
      [False, False, True, True, True, True],
      [False, False, False, True, True, True],
  ]
  assert stops(early_stop(patience=2), metrics) == expect
  assert stops(early_stop(patience=2, mode='max'), -metrics) == expect


def test_thresholds_ask_for_more():
  metrics = [[-8.0, -8.5, -9.5], [8.0, 7.5, 6.5]]
  assert stops(early_stop(patience=1), metrics) == [[False] * 3] * 2
  for threshold in (dict(rtol=0.125), dict(atol=1.0)):
    policy = early_stop(patience=1, **threshold)
    assert stops(policy, metrics) == [[False, True, True]] * 2


def test_a_while_loop_stops_by_it():
  tx = lrax.sgd(0.25 * early_stop(patience=3, atol=0.125))
  loss = lambda w: jnp.maximum(w, 0.0)  # falls by 0.25 a step from 1, to 0

  @jax.jit
  def train(w):
    def step(carry):
      w, state, steps = carry
      value, grad = jax.value_and_grad(loss)(w)
      updates, state = tx.update(grad, state, w, value=value)
      return w + updates, state, steps + 1

    keep_on = lambda carry: ~should_stop(carry[1]) & (carry[2] < 100)
    return jax.lax.while_loop(keep_on, step, (w, tx.init(w), 0))

  w, _, steps = train(jnp.ones(()))
  # Losses 1, 0.75, 0.5, 0.25, 0, and then three times 0 again.
  assert steps == 8 and abs(w) <= 0.25


def test_is_found_at_any_depth():
  stopping = 0.1 * early_stop(patience=1, signal='report').with_warmup(1)
  tx = optax.MultiSteps(
      optax.chain(
          optax.clip_by_global_norm(1.0),
          optax.partition(
              {'slow': lrax.adam(0.1), 'fast': lrax.adam(stopping)},
              {'w': 'slow', 'b': 'fast'},
          ),
      ),
      1,
  )
  step = jax.jit(lambda s: tx.update(PARAMS, s, PARAMS)[1])
  state = step(tx.init(PARAMS))
  said = []
  for metric in (3.0, 4.0):
    state = step(lrax.report(state, metric, group='fast'))
    said.append(bool(should_stop({'opt': state, 'step': 3})))
  assert said == [False, True]


def test_of_several_any_stops():
  policy = early_stop(patience=1) * early_stop(patience=2)
  policy = policy.with_warmup(0)
  assert stops(policy, [[1.0, 1.0, 1.0]]) == [[False, True, True]]


def test_a_state_without_one_is_an_error():
  state = lrax.sgd(0.1 * lrax.control.reduce_on_plateau()).init(PARAMS)
  with pytest.raises(ValueError, match='should_stop: `state` must hold an early_s'):
    should_stop(state)


@pytest.mark.parametrize('name, value', [
    ('patience', -1), ('rtol', -1.0), ('atol', -1.0), ('mode', 'up'),
    ('signal', 'loss'),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'early_stop: `{name}` must be'):
    early_stop(**{name: value})
