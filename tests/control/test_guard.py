"""`guard`: each of its rules, by what the next update does."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec
import numpy as np
import optax
import pytest

import lrax
from lrax.control import guard

PARAMS = {'w': np.array([1.0, -2.0], np.float32), 'b': np.float32(0.5)}
ONES = {'w': np.ones(2, np.float32), 'b': np.float32(1)}
NANS = {'w': np.array([1.0, np.nan], np.float32), 'b': np.float32(1)}
# 0.5, 0.4375, ...: powers of two, which float32 holds exactly.
LINE = lrax.linear(0.5, 0.0, steps=8)


def start(tx, params=PARAMS):
  params = jax.tree.map(jnp.asarray, params)
  return params, tx.init(params)


def step(tx, training, gradients=ONES, **signals):
  """One update, outside `jax.jit`: the parameters and the state after it."""
  params, state = training
  updates, state = tx.update(gradients, state, params, **signals)
  return optax.apply_updates(params, updates), state


def run(tx, losses, gradients=ONES):
  """Updates one by one; what there is after each, stacked."""
  trainings = [start(tx)]
  for loss in losses:
    trainings.append(step(tx, trainings[-1], gradients, value=np.float32(loss)))
  return jax.tree.map(lambda *each: np.stack(each), *trainings[1:])


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def counts(state):
  names = ('skipped', 'non_finite', 'outliers', 'consecutive', 'back_offs')
  return {name: int(getattr(state, name)) for name in names}


def usual(steps, mean=1.0):
  """Losses that scatter around a mean as a normal distribution does."""
  return mean + 0.1 * np.random.default_rng(0).standard_normal(steps)


# --- skipping ----------------------------------------------------------------


@pytest.mark.parametrize('mode', ['skip', 'back_off', 'roll_back'])
@pytest.mark.parametrize(
    'gradients, loss',
    [(NANS, 1.0), (ONES, np.nan), (ONES, -np.inf), (ONES, np.inf)],
    ids=['gradient', 'nan', 'minus infinity', 'infinity'],
)
def test_what_is_not_finite_changes_nothing(mode, gradients, loss):
  tx = guard(lrax.adam(0.1), mode)
  before = step(tx, start(tx), value=1.0)
  params, state = step(tx, before, gradients, value=loss)
  same(params, before[0])
  same(state.inner_state[0], before[1].inner_state[0])  # moments and count
  same(state.window, before[1].window)
  expected = dict(skipped=1, non_finite=1, outliers=0, consecutive=1)
  assert counts(state) == expected | dict(back_offs=int(mode == 'back_off'))


@pytest.mark.parametrize('mode', ['skip', 'roll_back'])
def test_nothing_not_finite_is_applied_however_long_it_lasts(mode):
  tx = guard(lrax.adam(0.1), mode, patience=3)
  params, state = run(tx, np.ones(20), NANS)
  for leaf, old in zip(jax.tree.leaves(params), jax.tree.leaves(PARAMS)):
    np.testing.assert_array_equal(leaf, np.broadcast_to(old, leaf.shape))
  assert state.skipped[-1] == 20


def broken(updates_by_step):
  """A transformation that gives these updates, whatever it gets."""

  def update(updates, state, params=None):
    now = jnp.asarray(updates_by_step)[state]
    return jax.tree.map(lambda g: jnp.full_like(g, now), updates), state + 1

  return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def test_updates_that_are_not_finite_out_of_gradients_that_are():
  tx = guard(broken([1.0, np.inf, np.nan]))
  training = step(tx, start(tx))
  for _ in range(3):
    before, training = training, step(tx, training)
    same(training[0], before[0])
    assert training[1].inner_state == 1
  assert training[1].non_finite == 3


def test_a_sum_that_overflows_is_not_applied():
  params = {'w': jnp.full(2, 60_000, jnp.float16)}
  tx = guard(optax.sgd(1.0))
  gradients = {'w': jnp.full(2, -10_000, jnp.float16)}
  after, state = step(tx, start(tx, params), gradients)
  same(after, params)
  assert state.non_finite == 1


def test_parameters_that_are_nan_already_take_no_update():
  tx = guard(lrax.sgd(0.1))
  params = {'w': jnp.array([jnp.nan, 1.0])}
  after, state = step(tx, start(tx, params), {'w': jnp.ones(2)})
  same(after, params)
  assert state.non_finite == 1


def test_what_is_not_taken_does_not_leak_under_vmap():
  """There both branches are computed, and one is selected."""
  tx = guard(lrax.adam(0.1), 'roll_back', patience=1)
  one = lambda g: step(tx, start(tx), {**ONES, 'b': g}, value=1.0)
  many = jax.jit(jax.vmap(one))(jnp.array([1.0, jnp.nan, 2.0]))
  for index, gradient in enumerate([1.0, np.nan, 2.0]):
    expected = one(jnp.float32(gradient))
    got = jax.tree.map(lambda x, index=index: x[index], many)
    # Compiled as a whole and op by op: a rounding of parameters near 1.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=3e-7), got, expected
    )


# --- the clock ---------------------------------------------------------------

INSIDE = {
    'lrax': lambda: lrax.adam(LINE),
    'optax': lambda: optax.adam(optax.linear_schedule(0.5, 0.0, 8)),
    'injected': lambda: optax.inject_hyperparams(optax.sgd)(LINE),
    'injected optax': lambda: optax.inject_hyperparams(optax.sgd)(
        optax.linear_schedule(0.5, 0.0, 8)
    ),
    'momentum': lambda: lrax.sgd(0.5, momentum=lrax.linear(0.5, 0.0, steps=8)),
}


def clock(state):
  """The clock of the one schedule inside, by the kind of its state."""
  if isinstance(state, optax.InjectStatefulHyperparamsState):
    state = state.hyperparams_states['learning_rate']
  elif hasattr(state[0], 'step'):
    state = state[0]  # that of the momentum
  else:
    state = state[-1]
  return state.step if hasattr(state, 'step') else state.count


@pytest.mark.parametrize('kind', INSIDE)
@pytest.mark.parametrize('how, expected', [('runs', 3), ('waits', 2)])
def test_the_clock_when_an_update_is_skipped(kind, how, expected):
  tx = guard(INSIDE[kind](), clock=how)
  training = step(tx, start(tx))
  training = step(tx, training, NANS)
  assert clock(training[1].inner_state) == expected - 1
  training = step(tx, training)
  assert clock(training[1].inner_state) == expected


def test_a_run_ends_where_its_schedule_does():
  losses = np.where(np.arange(9) % 3 == 1, np.nan, 1.0)
  _, state = run(guard(lrax.sgd(LINE)), losses)
  assert lrax.get_learning_rate(state)[-1] == 0
  _, state = run(guard(lrax.sgd(LINE), clock='waits'), losses)
  assert lrax.get_learning_rate(state)[-1] == LINE(5)


def start_heard(init_value):
  return init_value, jnp.zeros(())


@lrax.control.closed_loop(start_heard)
def heard(memory, step, signals, init_value):
  """Adds up what was reported."""
  del step
  told = jnp.where(jnp.isnan(signals.reported), 0.0, signals.reported)
  return init_value + memory + told, memory + told


def test_a_closed_loop_keeps_its_memory_and_a_report_when_skipped():
  tx = guard(lrax.sgd(heard(1.0)))
  params, state = start(tx)
  training = params, lrax.report(state, 2.0)
  training = step(tx, training, NANS)
  assert lrax.get_learning_rate(training[1]) == 1
  training = step(tx, training)
  assert lrax.get_learning_rate(training[1]) == 3
  assert lrax.get_learning_rate(step(tx, training)[1]) == 3


# --- what is an outlier ------------------------------------------------------


def robust_score(recent, value):
  """The modified z-score of Iglewicz and Hoaglin, written out with NumPy."""
  centre = np.median(recent)
  deviations = np.abs(recent - centre)
  spread = np.median(deviations) / 0.6745 or np.mean(deviations) * np.sqrt(np.pi / 2)
  return (value - centre) / spread


@pytest.mark.parametrize('mean', [5.0, 0.0, -5.0])
@pytest.mark.parametrize('seen', [4, 7, 11, 16])
def test_an_outlier_is_what_its_score_says(mean, seen):
  losses = usual(seen, mean)
  recent = losses[-8:]
  spread = 1 / (robust_score(recent, 1.0) - robust_score(recent, 0.0))
  tx = guard(lrax.sgd(0.0), window=8, threshold=5.0)
  training = start(tx)
  for loss in losses:
    training = step(tx, training, value=np.float32(loss))
  assert training[1].outliers == 0
  # 1 % to both sides of the limit: the constants are 1.4826 and 1 / 0.6745.
  for z, outlier in ((4.95, 0), (5.05, 1), (-100.0, 0)):
    loss = np.median(recent) + z * spread
    assert step(tx, training, value=np.float32(loss))[1].outliers == outlier


def test_nothing_is_said_before_half_of_the_window_is_there():
  tx = guard(lrax.sgd(0.0), window=8)
  _, state = run(tx, [1.0, 1.1, 0.9, 1e6])
  assert state.outliers[-1] == 0
  _, state = run(tx, [1.0, 1.1, 0.9, 1.0, 1e6])
  assert state.outliers[-1] == 1


@pytest.mark.parametrize(
    'losses, value, outlier',
    [
        ([2.0] * 8, 2.01, 0),  # below 6 * 0.001 * 2
        ([2.0] * 8, 2.02, 1),
        ([-2.0] * 8, -1.99, 0),
        ([-2.0] * 8, -1.98, 1),
        ([0.0] * 8, 1.0, 0),  # no spread, and none to be had from the median
        ([0.0] * 7 + [1.0], 0.9, 0),  # MAD 0, mean deviation 1 / 8
        ([0.0] * 7 + [1.0], 1.0, 1),  # above 6 * 1.2533 / 8 = 0.94
    ],
)
def test_a_window_without_a_median_deviation(losses, value, outlier):
  _, state = run(guard(lrax.sgd(0.0), window=8), losses + [value])
  assert state.outliers[-1] == outlier


def test_a_narrow_loss_may_move_by_its_own_spacing():
  """bfloat16 near 2 is spaced 1/64: by six of them it is no outlier."""
  tx = guard(lrax.sgd(0.0), window=4)
  training = start(tx)
  for _ in range(4):
    training = step(tx, training, value=jnp.bfloat16(2))
  assert step(tx, training, value=jnp.bfloat16(2.09375))[1].outliers == 0
  assert step(tx, training, value=jnp.bfloat16(2.125))[1].outliers == 1
  assert step(tx, training, value=2.09375)[1].outliers == 1


def test_the_gradient_is_judged_where_there_is_no_loss():
  tx = guard(lrax.sgd(0.1), window=4)
  training = start(tx)
  for size in (1.0, 1.1, 0.9, 1.0):
    training = step(tx, training, jax.tree.map(lambda g, s=size: g * s, ONES))
  before = training
  training = step(tx, training, jax.tree.map(lambda g: g * 1000, ONES))
  same(training[0], before[0])
  assert counts(training[1])['outliers'] == 1
  assert training[1].window.seen.tolist() == [0, 4]


def test_a_loss_that_is_left_out_once_is_not_judged():
  tx = guard(lrax.sgd(0.0), window=4)
  training = start(tx)
  for _ in range(4):
    training = step(tx, training, value=-5.0)
  assert step(tx, training)[1].skipped == 0


def test_without_a_threshold_only_what_is_not_finite_is_bad():
  _, state = run(guard(lrax.sgd(0.1), window=4, threshold=None), [1.0] * 8 + [1e9])
  assert state.skipped[-1] == 0


def test_what_was_not_accepted_is_not_usual():
  losses = list(usual(16))
  _, state = run(guard(lrax.sgd(0.0), window=8), losses + [50.0, np.nan] * 4)
  assert state.window.values[-1, 0].max() < 2
  assert state.outliers[-1] == 4 and state.non_finite[-1] == 4


@pytest.mark.parametrize('mode', ['skip', 'back_off', 'roll_back'])
def test_a_new_level_does_not_lock_the_run_out(mode):
  """After patience the window starts anew; with a roll-back, after a second one."""
  tx = guard(lrax.sgd(0.1), mode, window=8, patience=3)
  losses = np.concatenate([usual(12), usual(20, mean=50.0)])
  _, state = run(tx, losses)
  lost = 6 if mode == 'roll_back' else 3
  # Where it went back, the update after may return what was rounded.
  assert lost <= state.skipped[-1] <= lost + 1
  assert state.outliers[-1] == lost
  assert state.consecutive[-1] == 0
  assert state.window.values[-1, 0].min() > 40


# --- the norm ----------------------------------------------------------------


@pytest.mark.parametrize(
    'leaf, norm',
    [
        (jnp.array([3.0, 4.0]), 5.0),
        (jnp.array([3e30, 4e30]), 5e30),  # its squares overflow float32
        (jnp.array([3e38, 3e38]), float(np.finfo(np.float32).max)),
        (jnp.array([3e30, 4e30], jnp.bfloat16), 5e30),
        (jnp.array([300.0, 400.0], jnp.float16), 500.0),
        (jnp.array([3 + 4j, 0j]), 5.0),
        (jnp.array([]), 0.0),
    ],
)
def test_the_norm_of_a_finite_gradient_is_finite(leaf, norm):
  tx = guard(optax.set_to_zero())
  _, state = tx.update({'w': leaf}, tx.init({'w': leaf}))
  assert state.non_finite == 0
  # bfloat16 holds 3e30 to within 1 / 256.
  rtol = 4e-3 if leaf.dtype == jnp.bfloat16 else 1e-6
  assert float(state.window.values[1, 0]) == pytest.approx(norm, rel=rtol)


def test_the_norm_where_it_is_compiled():
  tx = guard(optax.set_to_zero())
  state = tx.init(jnp.zeros(2))
  update = jax.jit(lambda g: tx.update(g, state)[1])
  many = jnp.array([[3.0, 4.0], [3e30, 4e30], [3e38, 3e38], [np.inf, 1.0]])
  norms = [float(update(gradient).window.values[1, 0]) for gradient in many]
  expected = [5.0, 5e30, float(np.finfo(np.float32).max), np.inf]
  assert norms == pytest.approx(expected, rel=1e-6)
  assert update(many[-1]).non_finite == 1


def test_leaves_that_are_not_trained():
  params = {'w': jnp.ones(2), 'n': None, 'count': jnp.arange(2)}
  zero = np.zeros(2, jax.dtypes.float0)
  gradients = {'w': jnp.ones(2), 'n': None, 'count': zero}
  tx = guard(optax.identity(), 'roll_back', patience=1)
  for loss, expected in ((1.0, 1.0), (np.nan, 0.0)):
    updates, state = tx.update(gradients, tx.init(params), params, value=loss)
    assert updates['w'].tolist() == [expected] * 2
    assert updates['n'] is None and updates['count'].dtype == jax.dtypes.float0
    assert state.skipped == (expected == 0)


def test_an_empty_tree():
  tx = guard(lrax.adam(0.1), 'roll_back')
  updates, state = jax.jit(tx.update)({}, tx.init({}), {}, value=1.0)
  assert updates == {} and state.skipped == 0


# --- backing off -------------------------------------------------------------


def test_the_rate_backs_off_and_recovers_to_the_very_same():
  losses = [1.0, np.nan, 1.0, np.nan, np.nan] + [1.0] * 8
  tx = guard(lrax.sgd(0.25), 'back_off', factor=0.25, recovery_steps=4)
  _, state = run(tx, losses)
  # At a skipped update the rate of the latest applied one stays.
  left = [0, 0, 4, 4, 4, 7, 6, 5, 4, 3, 2, 1, 0]
  expected = 0.25 * 0.25 ** (np.array(left) / 4)
  rates = np.asarray(lrax.get_learning_rate(state))
  np.testing.assert_allclose(rates, expected, rtol=1e-6)  # float32's power
  assert rates[-1] == 0.25
  assert counts(jax.tree.map(lambda x: x[-1], state))['back_offs'] == 2


def test_the_rate_is_backed_off_ten_times_at_most():
  tx = guard(lrax.sgd(1.0), 'back_off', recovery_steps=100)
  _, state = run(tx, [1.0, np.nan] * 30 + [1.0])
  # Each good update on the way takes one of a hundred off.
  assert state.recovery.max() == 1000
  assert state.scale[-1] == pytest.approx(2.0**-9.99, rel=1e-5)


@pytest.mark.parametrize('change', ['scale', 'override'])
def test_what_the_user_set_stays_and_is_backed_off(change):
  tx = guard(lrax.sgd(0.25), 'back_off', recovery_steps=1)
  params, state = start(tx)
  if change == 'scale':
    state = lrax.scale_learning_rate(state, 0.5)
  else:
    state = lrax.set_learning_rate(state, 0.125)
  rates = []
  training = params, state
  for gradients in (ONES, NANS, ONES, ONES):
    training = step(tx, training, gradients)
    rates.append(float(lrax.get_learning_rate(training[1])))
  assert rates == [0.125, 0.125, 0.0625, 0.125]
  same(training[1].inner_state[-1].scale, state.inner_state[-1].scale)
  same(training[1].inner_state[-1].override, state.inner_state[-1].override)


NO_RATE = {
    'optax': lambda: optax.sgd(0.25),
    'one rate': lambda: lrax.sgd(0.25),
    'injected': lambda: optax.inject_hyperparams(lrax.sgd)(lrax.constant(0.25)),
    'injected number': lambda: optax.inject_hyperparams(lrax.sgd)(0.25),
    'injected momentum': lambda: optax.inject_hyperparams(optax.sgd)(
        0.25, momentum=lrax.constant(0.0)
    ),
    'partition': lambda: optax.partition(
        {'x': lrax.sgd(0.25), 'y': lrax.sgd(0.25)}, {'w': 'x', 'b': 'y'}
    ),
    'accumulation': lambda: optax.MultiSteps(lrax.sgd(0.25), 1),
}


@pytest.mark.parametrize('kind', NO_RATE)
def test_every_kind_of_optimizer_is_backed_off_once(kind):
  tx = guard(NO_RATE[kind](), 'back_off')
  training = step(tx, start(tx))
  before, state = step(tx, training, NANS)
  after, _ = step(tx, (before, state))
  for leaf, old in zip(jax.tree.leaves(after), jax.tree.leaves(before)):
    np.testing.assert_array_equal(leaf, old - 0.125)


# --- rolling back ------------------------------------------------------------


def test_it_goes_back_to_the_snapshot_exactly():
  """Snapshots are of the parameters before a good update, each second one."""
  tx = guard(
      lrax.adam(LINE), 'roll_back', window=2, patience=2, snapshot_steps=2,
      recovery_steps=1,
  )
  losses = [1.0] * 6 + [np.nan] * 2 + [1.0] * 3
  params, state = run(tx, losses)
  at = lambda index: jax.tree.map(lambda x: x[index], (params, state))
  # Taken before the updates 2 and 4, so after 1 and 3.
  assert state.snapshot.age[:6].tolist() == [1, 2, 1, 2, 1, 2]
  same(at(7)[0], at(3)[0])
  same(at(7)[1].inner_state[0], at(3)[1].inner_state[0])  # moments and count
  assert state.roll_backs[7] == 1 and state.back_offs[7] == 1
  assert state.consecutive[7] == 0
  # The clock has gone on: update 8 has the rate of step 8, backed off.
  assert state.inner_state[-1].step[7] == 8
  assert lrax.get_learning_rate(state)[8] == LINE(8) / 2


def test_no_snapshot_is_taken_before_losses_are_judged():
  tx = guard(lrax.sgd(0.1), 'roll_back', window=8, snapshot_steps=1)
  _, state = run(tx, [1.0] * 6)
  assert state.snapshot.age.tolist() == [1, 2, 3, 4, 1, 1]


def test_clocks_that_wait_go_back_too_but_not_what_the_user_set():
  tx = guard(
      lrax.sgd(LINE), 'roll_back', window=2, patience=1, snapshot_steps=2,
      clock='waits',
  )
  training = start(tx)
  for _ in range(6):
    training = step(tx, training, value=1.0)
  params, state = training
  training = params, lrax.scale_learning_rate(state, 0.25)
  training = step(tx, training, value=np.nan)
  rate = training[1].inner_state[-1]
  assert rate.step == 4 and rate.scale == 0.25


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
def test_far_away_it_takes_more_updates_to_come_back(dtype):
  goal = jnp.array([0.1, -3e-3, 0.0, 7.0, 1e-5], dtype)
  tx = guard(lrax.sgd(1.0), 'roll_back', patience=1)
  state = tx.init({'w': goal})
  params = {'w': jnp.array([1e4, -2e3, 77.0, 7.1, 3e4], dtype)}
  gradients = {'w': jnp.zeros(5, dtype)}
  training = step(tx, (params, state), gradients, value=np.nan)
  assert training[0]['w'].dtype == dtype
  assert not np.array_equal(training[0]['w'], goal)
  for _ in range(4):
    training = step(tx, training, gradients, value=1.0)
  same(training[0], {'w': goal})
  assert 1 < training[1].skipped <= 4
  # It is there, and trains on.
  ones = {'w': jnp.ones(5, dtype)}
  assert not np.array_equal(step(tx, training, ones, value=1.0)[0]['w'], goal)


def test_a_way_back_that_is_changed_afterwards_ends():
  """What comes after the guard halves its updates: it never quite arrives."""
  tx = optax.chain(
      guard(lrax.sgd(0.5), 'roll_back', patience=1), optax.scale(0.5)
  )
  training = step(tx, start(tx), value=1.0)
  training = step(tx, training, value=np.nan)
  for _ in range(3):
    training = step(tx, training, value=1.0)
  assert training[1][0].skipped == 4
  assert step(tx, training, value=1.0)[1][0].skipped == 4


def test_a_snapshot_is_not_found_by_what_reads_the_state():
  params = jax.tree.map(jnp.asarray, PARAMS)
  free = guard(optax.contrib.schedule_free_sgd(0.1), 'roll_back')
  inner = step(free, (params, free.init(params)))[1]
  same(lrax.eval_params(inner, params), lrax.eval_params(inner.inner_state, params))
  tx = guard(lrax.adamw(LINE, b1=lrax.constant(0.5)), 'roll_back')
  state = step(tx, (params, tx.init(params)))[1]
  assert float(lrax.get_learning_rate(state)) == 0.5
  assert lrax.metrics(state)['b1'] == 0.5
  restarted = lrax.restart_schedule(state, at=4)
  assert lrax.get_learning_rate(step(tx, (params, restarted))[1]) == LINE(4)
  mapped = optax.tree.map_params(tx, lambda x: x * 0 + 7.0, state)
  assert mapped.snapshot.params['b'] == 7 and mapped.steps == 1


def test_it_transplants():
  params, state = start(lrax.adam(0.1))
  state = step(lrax.adam(0.1), (params, state))[1]
  tx = guard(lrax.adam(0.1), 'roll_back')
  moved = lrax.transplant(state, tx.init(params)).state
  same(moved.inner_state, state)
  again = lrax.transplant(moved, tx.init(params))
  same(again.state, moved)
  assert not again.fresh and not again.dropped


# --- inside and around other things ------------------------------------------


def test_accumulation_outside_judges_the_mean():
  tx = optax.MultiSteps(
      guard(lrax.sgd(0.5)), 2, should_skip_update_fn=optax.skip_not_finite
  )
  update = jax.jit(functools.partial(step, tx))
  training = start(tx)
  for gradients in (ONES, NANS, ONES):
    training = update(training, gradients)
  assert training[0]['b'] == 0
  huge = jax.tree.map(lambda g: g * 3e38, ONES)
  # Each is finite, but Optax's running mean of the two is not.
  before = update(training, huge)
  training = update(before, jax.tree.map(lambda g: -g, huge))
  same(training[0], before[0])


def test_accumulation_inside_loses_one_micro_batch():
  tx = guard(optax.MultiSteps(lrax.sgd(LINE), 2))
  training = start(tx)
  for gradients in (ONES, NANS):
    training = step(tx, training, gradients)
  assert training[0]['b'] == 0.5
  assert step(tx, training)[0]['b'] == 0.5 - LINE(1)




@pytest.mark.parametrize(
    'mode, dtype',
    [('skip', 'float32'), ('back_off', 'bfloat16'), ('roll_back', 'bfloat16')],
)
def test_compiled_it_is_the_same_and_compiles_once(mode, dtype):
  params = jax.tree.map(lambda x: jnp.asarray(x, dtype), PARAMS)
  tx = guard(
      lrax.sgd(LINE, momentum=0.5), mode, window=4, patience=2, snapshot_steps=2
  )
  compiled = jax.jit(functools.partial(step, tx), donate_argnums=0)
  training, eager = start(tx, params), start(tx, jax.tree.map(jnp.copy, params))
  shapes = jax.tree.map(jnp.shape, training)
  for loss in (1, 2, 1, 2, 1, np.nan, 1, 999, np.nan, 1, 2, 1):
    loss, gradients = np.float32(loss), jax.tree.map(jnp.ones_like, params)
    training = compiled(training, gradients, value=loss)
    eager = step(tx, eager, gradients, value=loss)
    for a, b in zip(jax.tree.leaves(training), jax.tree.leaves(eager), strict=True):
      assert a.dtype == b.dtype and a.weak_type == b.weak_type
      # Roundings of a fused program: of float32, and of bfloat16 for parameters.
      rtol = 1e-6 if a.dtype == jnp.float32 else 1e-2
      np.testing.assert_allclose(
          np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=rtol, atol=1e-6
      )
  assert shapes == jax.tree.map(jnp.shape, training)
  assert compiled._cache_size() == 1
  assert training[1].non_finite == 2 and training[1].outliers == 1


def test_a_derivative_goes_through():
  tx = guard(lrax.sgd(0.5), 'roll_back')

  @jax.jit
  @jax.grad
  def derivative(gradient):
    training = step(tx, start(tx), {**ONES, 'b': gradient}, value=1.0)
    return training[0]['b']

  assert derivative(jnp.float32(3)) == -0.5


@pytest.mark.parametrize(
    'mode, mapping', [('skip', 'vmap'), ('roll_back', 'shard_map')]
)
def test_replicas_decide_together(mode, mapping):
  tx = guard(lrax.sgd(0.5), mode, window=2, patience=1, axis_name='i')

  def replica(gradients, losses):
    training = start(tx)
    for loss in losses:
      training = step(tx, training, gradients, value=loss)
    return training[0]['b'], training[1].skipped, training[1].window.values

  # Of the mean 3.5 each time, but in another order on each replica.
  losses = np.stack([np.roll(np.arange(8.0), shift) for shift in (0, 3, 5)], 1)
  losses = losses.astype(np.float32)
  gradients = jax.tree.map(lambda g: np.stack([g] * 8), ONES)
  gradients['w'][2] = 2  # a norm of 3, where the others' is the root of 3
  bad = jax.tree.map(np.copy, gradients)
  bad['b'][5] = np.inf
  if mapping == 'vmap':
    mapped = jax.jit(jax.vmap(replica, axis_name='i'))
  else:
    one = lambda *args: jax.tree.map(
        lambda x: x[None], replica(*jax.tree.map(lambda x: x[0], args))
    )
    mesh, spec = Mesh(np.array(jax.devices()[:8]), 'i'), PartitionSpec('i')
    mapped = jax.jit(
        jax.shard_map(one, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    )
  b, skipped, window = mapped(gradients, losses)
  assert np.unique(window[:, 0]).tolist() == [3.5] and not skipped.any()
  assert np.unique(window[:, 1]).tolist() == [3.0]
  assert np.unique(b).tolist() == [-1.0]
  b, skipped, _ = mapped(bad, losses)
  assert np.unique(b).tolist() == [0.5]
  assert skipped.tolist() == [3] * 8


def test_two_guards_each_do_their_part():
  tx = guard(guard(lrax.sgd(0.5), 'back_off'), 'back_off')
  training = step(tx, start(tx), NANS)
  training = step(tx, training)
  # Both backed off: the inner one had no say, for its state was not kept.
  assert training[1].inner_state.non_finite == 0
  assert lrax.get_learning_rate(training[1]) == 0.25


def test_in_float64(x64):
  tx = guard(lrax.sgd(0.25), 'roll_back', window=2, patience=1, snapshot_steps=1)
  params = {'w': jnp.array([1.0, 2.0])}
  update = jax.jit(functools.partial(step, tx))
  training = update((params, tx.init(params)), {'w': jnp.full(2, 1e30)}, value=1.0)
  assert training[1].scale.dtype == training[0]['w'].dtype == jnp.float64
  # The square of 1e30 is one that float64 holds; that of 1e200 is not.
  assert float(training[1].window.values[1, 0]) == pytest.approx(2**0.5 * 1e30)
  huge = tx.update({'w': jnp.full(2, 1e200)}, tx.init(params), params)[1]
  assert float(huge.window.values[1, 0]) == pytest.approx(2**0.5 * 1e200)
  training = update(training, {'w': jnp.full(2, jnp.nan)}, value=1.0)
  training = update(training, {'w': jnp.zeros(2)}, value=1.0)
  same(training[0], params)
  assert training[1].roll_backs == 1 and training[1].skipped == 2


# --- bad calls ---------------------------------------------------------------


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        (dict(inner=0.1), TypeError, '`inner` must be an optax.GradientTrans'),
        (dict(mode='rollback'), ValueError, "did you mean 'roll_back'"),
        (dict(window=1), ValueError, '`window` must be a whole number >= 2, got 1'),
        (dict(threshold=0), ValueError, '`threshold` must be a finite number > 0'),
        (dict(patience=0), ValueError, '`patience` must be a whole number >= 1'),
        (dict(factor=1.0), ValueError, r'`factor` must be a number in \(0, 1\)'),
        (dict(recovery_steps=0), ValueError, '`recovery_steps` must be a whole'),
        (dict(recovery_steps=10**9), ValueError, '`recovery_steps` must be a whole'),
        (dict(snapshot_steps=0.5), ValueError, '`snapshot_steps` must be a whole'),
        (dict(clock='stops'), ValueError, "`clock` must be one of 'runs', 'waits'"),
    ],
)
def test_a_bad_argument_is_refused(arguments, error, says):
  with pytest.raises(error, match=f'guard: .*{says}'):
    guard(**{'inner': lrax.sgd(0.1)} | arguments)


def test_a_traced_window_is_refused():
  with pytest.raises(TypeError, match='guard: `window` must be a Python int'):
    jax.jit(lambda n: guard(lrax.sgd(0.1), window=n).init(PARAMS))(4)


def test_going_back_needs_the_parameters():
  tx = guard(lrax.sgd(0.1), 'roll_back')
  with pytest.raises(ValueError, match='guard: `params` must be given'):
    tx.update(ONES, tx.init(PARAMS))


@pytest.mark.parametrize('value', [np.ones(2), 1j])
def test_a_loss_that_is_no_real_scalar_is_refused(value):
  tx = guard(lrax.sgd(0.1))
  with pytest.raises(TypeError, match='guard: `value` must be a real scalar'):
    tx.update(ONES, tx.init(PARAMS), value=value)


def test_numbers_may_be_traced():
  def after(threshold, factor, steps):
    tx = guard(
        lrax.sgd(0.5), 'roll_back', threshold=threshold, factor=factor,
        patience=steps, recovery_steps=steps, snapshot_steps=steps,
    )
    training = step(tx, start(tx), value=np.nan)
    return lrax.get_learning_rate(step(tx, training, value=1.0)[1])

  factors = jnp.array([0.25, 0.5])
  mapped = jax.jit(jax.vmap(after, in_axes=(None, 0, None)))
  assert mapped(6.0, factors, 1).tolist() == [0.125, 0.25]
