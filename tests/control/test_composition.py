"""Closed-loop policies as factors and parts of schedules, and their states."""

import json
import pickle

from flax.training import train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

import lrax
from lrax import control

POLICIES = {
    'reduce_on_plateau': control.reduce_on_plateau(0.5, patience=2, cooldown=1),
    'greedy': control.greedy(0.5, patience=1),
    'bold_driver': control.bold_driver(2.0, factor=0.5),
    'newbob': control.newbob(),
    'averaged': control.averaged(control.newbob(), smoothing=0.5),
}
every = pytest.mark.parametrize('policy', POLICIES.values(), ids=list(POLICIES))
# Both falls and rises, and no two parts of it are alike.
LOSSES = np.float32([9, 8, 7, 7, 8, 9, 6, 5, 5, 5, 5, 4, 3, 2, 2, 2])
PARAMS = {'w': jnp.ones(3), 'b': jnp.ones(())}


@every
def test_multiplies_a_schedule(policy):
  line = lrax.linear(1.0, 0.0, steps=16)
  factors = runs.rates(policy, LOSSES)
  assert len(np.unique(factors)) > 1
  # Powers of 0.5 times a sixteenth: exact.
  np.testing.assert_array_equal(
      runs.rates(line * policy, LOSSES), factors * line(np.arange(16))
  )


@every
def test_hears_nothing_until_the_warmup_has_ended(policy):
  rates = runs.rates(policy.with_warmup(4), np.concatenate([LOSSES[8:12], LOSSES]))
  np.testing.assert_array_equal(rates[:4], [0, 0.25, 0.5, 0.75])
  np.testing.assert_array_equal(rates[4:], runs.rates(policy, LOSSES))


@every
def test_a_cooldown_falls_from_the_last_rate(policy):
  before = runs.rates(policy, LOSSES)[:12]
  rates = runs.rates(policy.cooldown(at=12, steps=2), LOSSES)
  np.testing.assert_array_equal(rates[:12], before)
  last = before[-1]
  np.testing.assert_array_equal(rates[12:], [last, last / 2, 0, 0])


@every
def test_goes_on_from_a_stored_state(policy):
  tx, traces = lrax.adam(lrax.linear(1.0, 0.0, steps=16) * policy), []

  @jax.jit
  def step(state, loss):
    traces.append(None)
    return tx.update(PARAMS, state, PARAMS, value=loss)[1]

  state = tx.init(PARAMS)
  for loss in LOSSES[:7]:
    state = step(state, loss)
  restored = pickle.loads(pickle.dumps(jax.device_get(state)))
  for loss in LOSSES[7:]:
    state, restored = step(state, loss), step(restored, loss)
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  assert len(traces) == 1


@every
def test_an_expression_goes_to_a_dict_and_to_a_call_and_back(policy):
  policy = (lrax.cosine_annealing(0.1, 100) * policy).with_warmup(5)
  assert lrax.Schedule.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
  assert eval(repr(policy), vars(lrax) | vars(control)) == policy
  assert pickle.loads(pickle.dumps(policy)) == policy


def test_each_group_has_its_own_memory():
  plateau = control.reduce_on_plateau(0.5, patience=1, signal='report')
  tx = optax.partition(
      {'slow': lrax.sgd(0.25 * plateau), 'fast': lrax.sgd(0.5 * plateau)},
      {'w': 'slow', 'b': 'fast'},
  )
  step = jax.jit(lambda s: tx.update(PARAMS, s, PARAMS)[1])
  state = tx.init(PARAMS)
  for _ in range(2):
    state = step(lrax.report(state, 1.0, group='fast'))
  assert lrax.get_learning_rate(state) == {'slow': 0.25, 'fast': 0.25}
  state = step(lrax.report(state, 1.0))
  assert lrax.get_learning_rate(state) == {'slow': 0.25, 'fast': 0.125}


def test_a_flax_train_state_hears_reports_only():
  """Its `apply_gradients` forwards no `value=`."""

  def create(signal):
    plateau = control.reduce_on_plateau(0.5, patience=1, signal=signal)
    return train_state.TrainState.create(
        apply_fn=None, params=PARAMS, tx=lrax.adam(0.5 * plateau)
    )

  state, rates = create('report'), []
  for metric in (1.0, 2.0, 0.5):
    state = lrax.report(state, metric).apply_gradients(grads=PARAMS)
    rates.append(float(lrax.get_learning_rate(state)))
  assert rates == [0.5, 0.25, 0.25]
  with pytest.raises(ValueError, match="signal='report' .* lrax.report"):
    create('value').apply_gradients(grads=PARAMS)


def test_low_precision_updates_hear_in_full_precision():
  """A loss of 0.999 is one in bfloat16; the memory is not of the updates' dtype."""
  policy = control.reduce_on_plateau(0.5, patience=1)
  updates = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
  state = policy.init(updates)
  for value in (1.0, 0.999, 0.998):
    new, state = policy.update(updates, state, updates, value=jnp.float32(value))
  assert state.learning_rate == 1.0
  assert new['w'].dtype == jnp.bfloat16
