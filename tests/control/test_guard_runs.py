"""Real training runs with faults injected, one per mode of the guard.

The task is handwritten digits, an MLP of 64-128-10 for 600 updates. Each run is
one compiled scan, and the parameters are looked at after every update.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

STEPS = 600
CLEAN, NAN_LOSS, INF_GRADIENT, SPIKE = range(4)

# From step 150 on single faults of each kind, a burst of each that is as long as
# the patience, and faults at the very first and near the last update.
FAULTS = np.zeros(STEPS, np.int32)
FAULTS[[0, 150, 170]] = NAN_LOSS
FAULTS[[1, 151, 180, 597]] = INF_GRADIENT
FAULTS[[100, 153, 190]] = SPIKE
FAULTS[200:204] = NAN_LOSS
FAULTS[215:219] = INF_GRADIENT
FAULTS[230:234] = SPIKE
NON_FINITE = int(np.sum((FAULTS == NAN_LOSS) | (FAULTS == INF_GRADIENT)))
SPIKES = int(np.sum(FAULTS == SPIKE))
BURSTS = 3
ON_END = int(np.sum((FAULTS != CLEAN) & (np.roll(FAULTS, 1) == CLEAN)))
NONE = np.zeros(STEPS, np.int32)

# The examples of each batch, with replacement.
BATCHES = np.random.default_rng(0).integers(1_437, size=(STEPS, 128))

OPTIONS = dict(window=64, patience=4, recovery_steps=10, snapshot_steps=20)


def _inject(fault, loss, gradients):
  """The loss and the gradients with a fault; a spike is of both."""
  loss = jnp.where(fault == NAN_LOSS, jnp.nan, loss)
  loss = jnp.where(fault == SPIKE, 1000 * loss, loss)
  by = jnp.where(fault == SPIKE, 1000.0, 1.0)
  wrong = lambda g: jnp.where(fault == INF_GRADIENT, jnp.inf, by * g)
  return loss, jax.tree.map(wrong, gradients)


def _optimizer():
  return lrax.adamw(lrax.cosine_annealing(3e-3, steps=STEPS), weight_decay=1e-4)


@functools.cache
def _compiled(mode):
  """A run: faults and boosts at each step -> what was seen.

  Boosts multiply the rate behind the guard's back. What is seen: the validation
  loss, the true loss and whether all parameters are finite at each step, and the
  last state. Without a mode there is no guard.
  """
  tx = lrax.control.guard(_optimizer(), mode, **OPTIONS) if mode else _optimizer()
  task = lrax.tasks.digits()

  def step(carry, now):
    params, state = carry
    fault, boost, chosen = now
    batch = jax.tree.map(lambda x: jnp.asarray(x)[chosen], task.train.data)
    training_loss = lambda p: task.training_loss(p, (), batch, jax.random.key(0))[0]
    true_loss, gradients = jax.value_and_grad(training_loss)(params)
    loss, gradients = _inject(fault, true_loss, gradients)
    state = lrax.scale_learning_rate(state, boost)
    updates, state = tx.update(gradients, state, params, value=loss)
    state = lrax.scale_learning_rate(state, 1 / boost)
    params = optax.apply_updates(params, updates)
    finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]
    return (params, state), (true_loss, jnp.all(jnp.stack(finite)))

  def train(faults, boosts):
    params, _ = task.start(jax.random.key(1))
    (params, state), seen = jax.lax.scan(
        step, (params, tx.init(params)), (faults, boosts, BATCHES)
    )
    return task.evaluate(params, task.validation.data), *seen, state

  return jax.jit(train)


def run(mode, faults=NONE, boosts=NONE + 1.0):
  return jax.device_get(_compiled(mode)(faults, boosts.astype(np.float32)))


@functools.cache
def _clean_loss():
  return float(run(None)[0])


def test_the_faults_ruin_a_run_without_a_guard():
  final, _, finite, _ = run(None, FAULTS)
  assert not finite[1:].any() and not np.isfinite(final)


def test_the_guard_leaves_a_clean_run_alone():
  final, _, _, state = run('skip')
  assert state.skipped == 0
  # The same arithmetic, compiled in another program: a rounding here and there,
  # which 600 updates of Adam amplify.
  assert float(final) == pytest.approx(_clean_loss(), rel=1e-2)


@pytest.mark.parametrize('mode', ['skip', 'back_off', 'roll_back'])
def test_a_run_recovers_from_every_fault(mode):
  final, _, finite, state = run(mode, FAULTS)
  assert finite.all()
  # Within 10 % is what the guard promises.
  assert float(final) == pytest.approx(_clean_loss(), rel=0.1)
  assert state.steps == STEPS
  assert state.non_finite == NON_FINITE
  # Here and there a batch is an outlier by itself.
  natural = state.outliers - SPIKES
  assert 0 <= natural <= 3
  assert state.roll_backs == (BURSTS if mode == 'roll_back' else 0)
  if mode == 'back_off':
    assert ON_END <= state.back_offs <= ON_END + natural
  else:
    assert state.back_offs == state.roll_backs
  # A return may take up to three updates more, for what was rounded.
  returns = state.skipped - NON_FINITE - state.outliers
  assert 0 <= returns <= 3 * state.roll_backs
  # The clock has run on, to the end of the schedule.
  assert lrax.metrics(state)['learning_rate_step'] == STEPS


def test_going_back_undoes_an_update_that_did_damage():
  """One update at 10,000 times the rate: finite, and seen only at the next loss."""
  boosts = NONE + 1.0
  boosts[150] = 1e4
  _, skipping, finite, state = run('skip', boosts=boosts)
  assert finite.all() and state.outliers >= OPTIONS['patience']
  final, losses, finite, state = run('roll_back', boosts=boosts)
  assert finite.all() and state.roll_backs == 1
  assert losses[151] > 1000 * losses[150]
  usual, after = losses[140:150].mean(), slice(160, 170)
  # Back at a snapshot at most 20 updates old: much the same loss.
  assert losses[after].mean() < 1.5 * usual
  assert skipping[after].mean() > 100 * usual
  assert float(final) == pytest.approx(_clean_loss(), rel=0.1)
