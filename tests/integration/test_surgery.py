"""Surgery: a checkpointed run takes another course, and only its rate changes."""

from __future__ import annotations

import functools
import math
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import lrax

PEAK, LENGTH = 0.0625, 20
CONSTANT = lrax.constant(PEAK)
COSINE = lrax.cosine_annealing(PEAK, steps=LENGTH)
# No loss falls to a hundredth here, so every second update brings a cut.
PLATEAU = lrax.control.reduce_on_plateau(0.5, patience=2, rtol=0.99)
CUTS = np.array([1, 1, 0.5, 0.5, 0.25, 0.25])
CLOSED = (PEAK * PLATEAU).with_warmup(4)
MOMENTUM = lrax.linear(0.95, 0.85, steps=LENGTH)

INPUTS = jax.random.normal(jax.random.key(1), (64, 8))
TARGETS = jnp.sin(INPUTS[:, 0]) + INPUTS[:, 1]


class Run(NamedTuple):
  """What a checkpoint holds."""

  params: Any
  state: Any


def loss_of(params):
  hidden = jnp.tanh(INPUTS @ params['first'] + params['bias'])
  return jnp.mean(jnp.square(hidden @ params['second'] - TARGETS))


def parameters():
  keys = jax.random.split(jax.random.key(0))
  return {
      'first': jax.random.normal(keys[0], (8, 16)) / 3,
      'bias': jnp.zeros(16),
      'second': jax.random.normal(keys[1], (16,)) / 4,
  }


def adam(policy):
  return lrax.adam(policy, b1=0.75, b2=0.875)


def scheduled(policy):
  decay = lrax.linear(0.1, 0.0, steps=LENGTH)
  return lrax.adamw(policy, b1=MOMENTUM, b2=0.875, weight_decay=decay)


def guarded(policy, mode='roll_back'):
  return lrax.guard(
      adam(policy), mode, window=4, patience=2, recovery_steps=4, snapshot_steps=2
  )


def accumulated(policy):
  return optax.MultiSteps(guarded(policy, 'back_off'), 2)


@functools.cache
def program(policy, build):
  """The optimizer, its compiled step, and the run at its start."""
  tx = build(policy)

  @jax.jit
  def step(run, fault):
    loss, gradients = jax.value_and_grad(loss_of)(run.params)
    updates, state = tx.update(
        gradients, run.state, run.params, value=loss + fault
    )
    return Run(optax.apply_updates(run.params, updates), state)

  # On a device of its own from the start, as what Orbax restores is: then one
  # compilation serves both.
  run = jax.device_put(Run(parameters(), tx.init(parameters())), jax.devices()[0])
  return tx, step, run


def train(run, policy, steps, build=adam, faults=()):
  """The run after so many steps, and the rate of each; NaN losses at `faults`."""
  _, step, _ = program(policy, build)
  rates = []
  for index in range(steps):
    run = step(run, np.float32(np.nan if index in faults else 0))
    rates.append(float(lrax.get_learning_rate(run.state)))
  assert step._cache_size() == 1  # one program, wherever the run came from
  return run, rates


@functools.cache
def trained(policy, steps, build=adam):
  return train(program(policy, build)[2], policy, steps, build)[0]


def save(path, run):
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(path / 'run', run)


def restore(path, policy, build=adam):
  """What was saved, as the run of this policy."""
  target = jax.tree.map(ocp.utils.to_shape_dtype_struct, program(policy, build)[2])
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(path / 'run', target)


def carry_over(run, policy, build=adam):
  """The run under another optimizer, and what `transplant` says of it."""
  tx, _, _ = program(policy, build)
  moved = lrax.transplant(run.state, tx.init(run.params))
  return Run(run.params, moved.state), moved


def clock(run):
  return int(lrax.metrics(run.state)['learning_rate_step'])


def assert_same(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


def assert_rates(rates, expected):
  # A unit in the last place of float32, for formulas with a cosine.
  np.testing.assert_allclose(rates, expected, rtol=1.2e-7)


def cosine(step, length):
  return PEAK * (1 + math.cos(math.pi * min(step, length) / length)) / 2


def test_a_constant_a_cosine_a_plateau_and_back(tmp_path):
  """Moments and counts go through every change; the clock goes on."""
  before = trained(CONSTANT, 6)
  save(tmp_path / '1', before)
  run = restore(tmp_path / '1', COSINE)  # all open-loop policies have one tree
  assert_same(run, before)
  before, rates = train(run, COSINE, 4)
  assert_rates(rates, [cosine(t, LENGTH) for t in range(6, 10)])

  save(tmp_path / '2', before)
  with pytest.raises(ValueError, match='memory'):  # a closed loop has one more
    restore(tmp_path / '2', CLOSED)
  run, moved = carry_over(restore(tmp_path / '2', COSINE), CLOSED)
  assert_same(run.state[0], before.state[0])
  assert all('memory' in name for name in moved.fresh) and not moved.dropped
  # At a clock of 10 the warmup is over.
  before, rates = train(run, CLOSED, 6)
  np.testing.assert_array_equal(rates, PEAK * CUTS)

  save(tmp_path / '3', before)
  run, moved = carry_over(restore(tmp_path / '3', CLOSED), CONSTANT)
  assert_same(run.state[0], before.state[0])
  assert all('memory' in name for name in moved.dropped) and not moved.fresh
  run, rates = train(run, CONSTANT, 2)
  np.testing.assert_array_equal(rates, [PEAK, PEAK])
  assert int(run.state[0].count) == clock(run) == 18
  assert loss_of(run.params) < loss_of(trained(CONSTANT, 6).params)


def test_the_first_update_differs_by_its_rate_only(tmp_path):
  save(tmp_path, trained(CONSTANT, 6))
  run = restore(tmp_path, COSINE)
  (old, _), (new, rates) = train(run, CONSTANT, 1), train(run, COSINE, 1)
  for x, y in zip(jax.tree.leaves(new.state[0]), jax.tree.leaves(old.state[0])):
    # Two programs, which may round a gradient of order 1 in another order.
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)
  moved = lambda run: jax.tree.map(
      lambda x, y: np.asarray(y) - np.asarray(x),
      trained(CONSTANT, 6).params,
      run.params,
  )
  for x, y in zip(jax.tree.leaves(moved(new)), jax.tree.leaves(moved(old))):
    # Differences of parameters of up to 1.5 in float32, spaced 1.2e-7.
    np.testing.assert_allclose(x, rates[0] / PEAK * y, atol=3e-7)
    assert np.abs(y).max() > 1e-3


@pytest.mark.parametrize('policy', [COSINE, CLOSED], ids=['cosine', 'plateau'])
def test_the_new_policy_from_its_start(policy, tmp_path):
  before = trained(CONSTANT, 6)
  save(tmp_path, before)
  run, _ = carry_over(restore(tmp_path, CONSTANT), policy)
  run = run._replace(state=lrax.restart_schedule(run.state))
  assert_same(run.state[0], before.state[0])
  run, rates = train(run, policy, 10)
  if policy == COSINE:
    assert_rates(rates, [cosine(t, LENGTH) for t in range(10)])
  else:
    np.testing.assert_array_equal(rates, PEAK * np.array([0, 0.25, 0.5, 0.75, *CUTS]))
  assert int(run.state[0].count) == 16 and clock(run) == 10


def test_the_cuts_of_a_plateau_go_along_to_another_base(tmp_path):
  run, _ = train(carry_over(trained(CONSTANT, 6), CLOSED)[0], CLOSED, 6)
  save(tmp_path, run)
  again, rates = train(restore(tmp_path, CLOSED), CLOSED, 2)
  np.testing.assert_array_equal(rates, [PEAK / 8, PEAK / 8])
  assert_same(again, train(run, CLOSED, 2)[0])  # as without the checkpoint
  line = lrax.linear(1.0, 0.0, steps=16) * PLATEAU
  run, _ = carry_over(restore(tmp_path, CLOSED), line)
  _, rates = train(run, line, 2)
  np.testing.assert_array_equal(rates, [4 / 16 / 8, 3 / 16 / 8])


def test_one_kind_of_closed_loop_tells_another_nothing():
  """A cooldown falls from the last rate, which must be the policy's own."""
  greedy = lrax.control.greedy(0.5)
  run, _ = train(program(CLOSED, adam)[2], CLOSED, 10)
  new = adam((PEAK * greedy).cooldown(at=10, steps=2))
  moved = lrax.transplant(run.state, new.init(run.params))
  assert_same(moved.state[-1].memory, new.init(run.params)[-1].memory)
  both = adam(PEAK * greedy * PLATEAU)
  moved = lrax.transplant(run.state, both.init(run.params))
  of_greedy, of_plateau = jax.tree.leaves(
      moved.state[-1].memory,
      is_leaf=lambda node: type(node).__name__ == 'ClosedLoopMemory',
  )
  assert float(of_greedy.rate) == 1 and float(of_plateau.rate) == 0.25


def test_a_closed_loop_of_b1_does_not_take_that_of_the_rate():
  run, _ = train(program(CLOSED, adam)[2], CLOSED, 10)
  new = lrax.adam(CLOSED, b1=0.75 * PLATEAU, b2=0.875)
  moved = lrax.transplant(run.state, new.init(run.params)).state
  assert_same(moved[-1], run.state[-1])
  assert_same(moved[0].memories, new.init(run.params)[0].memories)
  # Back again, it does not go to the rate either.
  later = lrax.transplant(moved, program(CLOSED, adam)[0].init(run.params)).state
  assert_same(later, run.state)


def test_a_longer_schedule_goes_on_at_the_old_clock_with_a_jump(tmp_path):
  longer = lrax.cosine_annealing(PEAK, steps=2 * LENGTH)
  save(tmp_path, trained(COSINE, 12))
  run, rates = train(restore(tmp_path, longer), longer, 8)
  assert_rates(rates, [cosine(t, 2 * LENGTH) for t in range(12, 20)])
  assert rates[0] > 1.8 * cosine(11, LENGTH)
  assert int(run.state[0].count) == clock(run) == 20


def test_a_cooldown_from_the_present_rate_extends_without_a_jump(tmp_path):
  save(tmp_path, trained(COSINE, 12))
  left = 2 * LENGTH - 12
  longer = COSINE.cooldown(at=12, steps=left, shape='cosine', end_value=PEAK / 64)
  run, rates = train(restore(tmp_path, longer), longer, left + 2)
  present = cosine(12, LENGTH)
  fall = lambda t: (1 + math.cos(math.pi * t / left)) / 2
  expected = [
      PEAK / 64 + (present - PEAK / 64) * fall(min(t, left)) for t in range(left + 2)
  ]
  assert_rates(rates, expected)
  assert rates[-2:] == [PEAK / 64, PEAK / 64]
  # No step is larger than the steepest of the new fall, or the old one's last.
  steepest = math.pi / 2 * (present - PEAK / 64) / left
  assert np.abs(np.diff(rates)).max() <= steepest
  assert int(run.state[0].count) == 2 * LENGTH + 2


WSD = lrax.warmup_stable_decay(PEAK, steps=100, warmup_steps=2, decay_steps=20)


@pytest.mark.parametrize('trunk', [CONSTANT, WSD], ids=['constant', 'wsd'])
def test_a_cooldown_branches_off_and_the_trunk_goes_on(trunk, tmp_path):
  save(tmp_path, trained(trunk, 6))
  branch = trunk.cooldown(at=6, steps=4, shape='sqrt', end_value=PEAK / 64)
  run, rates = train(restore(tmp_path, branch), branch, 6)
  falls = 1 - np.sqrt(np.arange(5) / 4)
  assert_rates(rates[:5], PEAK / 64 + (PEAK - PEAK / 64) * falls)
  assert rates[0] == PEAK and rates[4:] == [PEAK / 64, PEAK / 64]  # steps 10, 11
  # The same branch once more.
  assert_same(train(restore(tmp_path, branch), branch, 6)[0], run)
  # The trunk as if there were neither a branch nor a checkpoint.
  main, rates = train(restore(tmp_path, trunk), trunk, 6)
  assert rates == [PEAK] * 6
  assert_same(main, trained(trunk, 12))


def test_a_branch_of_a_closed_loop_falls_from_its_last_rate(tmp_path):
  save(tmp_path, trained(CLOSED, 10))
  branch = CLOSED.cooldown(at=10, steps=4)
  run, _ = carry_over(restore(tmp_path, CLOSED), branch)
  _, rates = train(run, branch, 5)
  np.testing.assert_array_equal(rates, PEAK / 4 * np.array([1, 0.75, 0.5, 0.25, 0]))


def test_the_anneal_of_an_infinite_rate_is_triggered_inside_jit(tmp_path):
  policy = lrax.infinite(
      PEAK, PEAK / 2, warmup_steps=2, cooldown_steps=2,
      anneal_steps=4, end_value=PEAK / 32, anneal_at=1_000,
  )
  _, step, start = program(policy, adam)

  @jax.jit
  def triggered(run, trigger):
    at = jnp.where(trigger, 1_000, run.state[-1].step)
    return step(run._replace(state=lrax.restart_schedule(run.state, at)), 0.0)

  def go_on(run, triggers):
    rates = []
    for trigger in triggers:
      run = triggered(run, trigger)
      rates.append(float(lrax.get_learning_rate(run.state)))
    return run, rates

  run, _ = go_on(start, [False] * 6)
  save(tmp_path, run)
  later = [False, False, True, False, False, False, False, False]
  run, rates = go_on(restore(tmp_path, policy), later)
  halves = [1, 1, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16]
  assert_rates(rates, PEAK / 2 * np.array(halves))
  assert rates[-1] == PEAK / 32
  assert int(run.state[0].count) == 14
  # Without the trigger the checkpoint goes on at the constant rate.
  assert go_on(restore(tmp_path, policy), [False] * 3)[1] == [PEAK / 2] * 3
  assert triggered._cache_size() == 1


def test_only_the_clock_is_rewound(tmp_path):
  save(tmp_path, trained(COSINE, 12))
  run = restore(tmp_path, COSINE)
  rewound = run._replace(state=lrax.restart_schedule(run.state, at=3))
  assert clock(rewound) == 3
  back = rewound.state[-1]._replace(step=run.state[-1].step)
  assert_same(rewound._replace(state=(*rewound.state[:-1], back)), run)
  later, rates = train(rewound, COSINE, 5)
  assert_rates(rates, [cosine(t, LENGTH) for t in range(3, 8)])
  assert int(later.state[0].count) == 17


def test_the_whole_run_is_rewound_to_an_older_checkpoint(tmp_path):
  run = program(COSINE, adam)[2]
  target = jax.tree.map(ocp.utils.to_shape_dtype_struct, run)
  with ocp.CheckpointManager(tmp_path) as manager:
    for step in range(0, 12, 4):
      manager.save(step, args=ocp.args.StandardSave(run))
      manager.wait_until_finished()
      run, _ = train(run, COSINE, 4)
    older = manager.restore(4, args=ocp.args.StandardRestore(target))
  assert clock(older) == int(older.state[0].count) == 4
  assert_same(train(older, COSINE, 8)[0], run)


@pytest.mark.parametrize(
    'build', [scheduled, guarded, accumulated], ids=lambda build: build.__name__
)
def test_wrapped_optimizers_go_on_where_they_were(build, tmp_path):
  """Saved after a bad loss, and in the middle of an accumulation."""
  run, _ = train(program(COSINE, build)[2], COSINE, 9, build, faults={8})
  save(tmp_path, run)
  restored = restore(tmp_path, COSINE, build)
  assert_same(restored, run)
  later, _ = train(restored, COSINE, 5, build, faults={0})
  assert_same(later, train(run, COSINE, 5, build, faults={0})[0])
  assert clock(later) == (7 if build is accumulated else 14)
  if build is guarded:
    # Two in a row, one on either side of the checkpoint.
    assert int(later.state.non_finite) == 2 and int(later.state.roll_backs) == 1
  if build is accumulated:
    # A guard inside hears the loss of the last micro-batch only.
    guard = later.state.inner_opt_state
    assert int(guard.skipped) == 1 and float(guard.scale) < 1


def test_each_hyperparameter_keeps_its_own_clock(tmp_path):
  save(tmp_path, trained(COSINE, 6, scheduled))
  run = restore(tmp_path, COSINE, scheduled)
  run = run._replace(state=lrax.restart_schedule(run.state))
  run, rates = train(run, COSINE, 1, scheduled)
  assert rates == [PEAK]
  values = lrax.metrics(run.state)
  # The values of step 6 on lines of 20, in float32.
  assert_rates([values['b1'], values['weight_decay']], [0.92, 0.07])


def test_a_schedule_of_b1_is_put_in_mid_run(tmp_path):
  """It starts at its step 0; shifted, it goes on as if it had always been there."""
  save(tmp_path, trained(COSINE, 6))
  old = restore(tmp_path, COSINE)
  for shift, expected in ((0, 0.95), (-6, 0.92)):
    tx = lrax.adam(COSINE, b1=MOMENTUM.shift(shift), b2=0.875)
    state = lrax.transplant(old.state, tx.init(old.params)).state
    assert_same(state[0].inner_state, old.state[0])
    _, state = jax.jit(tx.update)(old.params, state, old.params)
    assert_rates(lrax.metrics(state)['b1'], expected)
    assert_rates(lrax.get_learning_rate(state), cosine(6, LENGTH))


def test_a_guard_put_on_in_mid_run_goes_back_to_where_it_began(tmp_path):
  save(tmp_path, trained(COSINE, 6))
  old = restore(tmp_path, COSINE)
  new, _ = carry_over(old, COSINE, guarded)
  run, _ = train(new, COSINE, 2, guarded, faults={0, 1})
  assert int(run.state.roll_backs) == 1
  assert_same(run.params, old.params)
  assert_same(run.state.inner_state[0], old.state[0])  # moments, not zeros
  assert clock(run) == 8
  # And taken off again.
  off, moved = carry_over(run, COSINE)
  assert_same(off.state, run.state.inner_state)
  assert all('Guard' in n or 'Window' in n or 'Snapshot' in n for n in moved.dropped)


def test_the_snapshot_of_a_guard_goes_whole_or_not_at_all():
  """Under a policy with a memory its inner state does not fit any more."""
  run, _ = train(program(COSINE, guarded)[2], COSINE, 9, guarded)
  assert int(run.state.snapshot.age) < 9  # it has been taken in the run
  same, _ = carry_over(run, CONSTANT, guarded)
  assert_same(same.state.snapshot, run.state.snapshot)
  new, _ = carry_over(run, CLOSED, guarded)
  assert_same(new.state.snapshot.params, run.params)
  assert_same(
      jax.tree.leaves(new.state.snapshot.inner_state),
      jax.tree.leaves(new.state.inner_state),
  )


def test_what_is_new_in_a_transplant_does_not_compile_twice():
  run, _ = carry_over(trained(COSINE, 6), CLOSED)
  # As the parameters and moments are: what a step then returns is placed alike.
  assert all(leaf.committed for leaf in jax.tree.leaves(run))
  train(run, CLOSED, 2)  # asserts that it compiled once
