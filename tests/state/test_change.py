"""What a change means for the updates that follow it, and what is refused."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

PARAMS = {'w': jnp.zeros(3)}
ONES = {'w': jnp.ones(3)}
MAX_STEP = 2**31 - 1


def falling(init=1.0):
  """From `init` to 0 in 8 steps; each rate is exact in float32."""
  return lrax.linear(init, 0.0, steps=8)


def start_heard(init_value):
  return init_value, jnp.asarray(init_value, jnp.result_type(float))


@lrax.control.closed_loop(start_heard)
def heard(memory, step, signals, init_value):
  """What is reported in this very update, else `init_value`; keeps the last."""
  del step
  nothing = jnp.isnan(signals.reported)
  rate = jnp.where(nothing, init_value, jnp.nan_to_num(signals.reported))
  return rate, jnp.where(nothing, memory, signals.reported)


def start_count():
  return 1.0, (jnp.zeros((), jnp.int32), jnp.zeros(()))


@lrax.control.closed_loop(start_count)
def counting(memory, step, signals):
  """One plus how many metrics were reported; keeps their sum too."""
  del step
  told = ~jnp.isnan(signals.reported)
  count, total = memory
  count += told
  total += jnp.where(told, signals.reported, 0)
  return 1.0 + count, (count, total)


def sgd(policy):
  """The optimizer, its first state, and a step that gives the rate it applied."""
  tx = lrax.sgd(policy)

  def step(state):
    updates, state = tx.update(ONES, state, PARAMS)
    rate = -float(updates['w'][0])
    assert float(lrax.get_learning_rate(state)) == rate
    return rate, state

  return tx.init(PARAMS), step


def kinds(tree):
  leaves, structure = jax.tree.flatten(tree)
  return structure, [(x.shape, x.dtype, x.weak_type) for x in leaves]


# An override


def test_an_override_replaces_the_policy_until_it_is_followed_again():
  state, step = sgd(falling())
  rate, state = step(state)
  assert rate == 1.0
  state = lrax.set_learning_rate(state, 0.0625)
  for _ in range(3):
    rate, state = step(state)
    assert rate == 0.0625
  # The clock went on under the override: this is the rate of step 4.
  rate, state = step(lrax.follow_schedule(state))
  assert rate == 0.5
  rate, state = step(state)
  assert rate == 0.375


def test_nan_in_the_override_field_is_what_follows_the_policy():
  state, step = sgd(falling())
  assert math.isnan(state[-1].override)
  overridden = lrax.set_learning_rate(state, 0.5)
  assert float(overridden[-1].override) == 0.5
  followed = lrax.follow_schedule(overridden)
  assert math.isnan(followed[-1].override)
  assert step(followed)[0] == 1.0


def test_the_last_of_two_overrides_counts():
  state, step = sgd(falling())
  state = lrax.set_learning_rate(lrax.set_learning_rate(state, 0.5), 0.25)
  assert step(state)[0] == 0.25


def test_an_override_of_zero_is_an_override():
  state, step = sgd(falling())
  tx = lrax.sgd(falling())
  state = lrax.set_learning_rate(state, 0)
  updates, after = tx.update(ONES, state, PARAMS)
  np.testing.assert_array_equal(updates['w'], 0)
  assert float(lrax.get_learning_rate(after)) == 0.0


def test_an_override_is_not_scaled_and_the_scale_waits():
  state, step = sgd(falling())
  state = lrax.scale_learning_rate(lrax.set_learning_rate(state, 0.5), 0.25)
  rate, state = step(state)
  assert rate == 0.5
  rate, state = step(lrax.follow_schedule(state))
  assert rate == 0.25 * 0.875


def test_following_without_an_override_changes_nothing():
  state, step = sgd(falling())
  assert step(lrax.follow_schedule(state))[0] == 1.0


def test_an_override_of_a_closed_loop_lets_it_remember():
  state, step = sgd(counting())
  state = lrax.set_learning_rate(lrax.report(state, 3.0), 0.5)
  rate, state = step(state)
  assert rate == 0.5
  assert step(lrax.follow_schedule(state))[0] == 2.0


# A scale


def test_factors_multiply():
  state, step = sgd(falling())
  state = lrax.scale_learning_rate(state, 0.5)
  rate, state = step(state)
  assert rate == 0.5
  rate, state = step(lrax.scale_learning_rate(state, 0.5))
  assert rate == 0.25 * 0.875
  rate, state = step(lrax.scale_learning_rate(state, 8))
  assert rate == 2 * 0.75


def test_a_factor_of_zero_stops_and_gives_no_nan():
  state, step = sgd(falling())
  tx = lrax.sgd(falling())
  updates, _ = tx.update(ONES, lrax.scale_learning_rate(state, 0.0), PARAMS)
  np.testing.assert_array_equal(updates['w'], 0)


# The clock


def test_restart_moves_the_clock_and_the_run_goes_on_from_there():
  state, step = sgd(falling())
  for _ in range(3):
    _, state = step(state)
  rate, state = step(lrax.restart_schedule(state))
  assert rate == 1.0
  rate, state = step(state)
  assert rate == 0.875
  rate, state = step(lrax.restart_schedule(state, at=6))
  assert rate == 0.25


def test_restart_takes_a_whole_float_as_a_count():
  state, step = sgd(falling())
  assert step(lrax.restart_schedule(state, 6.0))[0] == 0.25


def test_restart_leaves_adams_count_and_moments():
  """The update after it is Adam's, corrected by the count that went on."""
  b1, b2, eps = 0.75, 0.875, 0.5
  tx = lrax.adam(falling(), b1=b1, b2=b2, eps=eps)
  gradients = [1.0, -2.0, 0.5]
  state, mu, nu = tx.init(PARAMS), 0.0, 0.0
  for count, g in enumerate(gradients, 1):
    if count == 3:
      state = lrax.restart_schedule(state)
    updates, state = tx.update({'w': jnp.full(3, g)}, state, PARAMS)
    mu, nu = b1 * mu + (1 - b1) * g, b2 * nu + (1 - b2) * g * g
  direction = mu / (1 - b1**3) / (math.sqrt(nu / (1 - b2**3)) + eps)
  # At the restart the rate is that of step 0: 1. About ten roundings of float32.
  np.testing.assert_allclose(updates['w'], -direction, rtol=1e-6)
  assert int(state[0].count) == 3
  assert int(state[-1].step) == 1


def test_the_clock_stops_at_the_largest_int32():
  state, step = sgd(lrax.linear(1.0, 0.5, steps=8))
  state = lrax.restart_schedule(state, MAX_STEP - 1)
  for expected in (MAX_STEP, MAX_STEP, MAX_STEP):
    rate, state = step(state)
    assert int(state[-1].step) == expected
    assert rate == 0.5
  # A schedule that still moves there: progress from whole numbers.
  state, step = sgd(lrax.linear(1.0, 0.5, steps=MAX_STEP))
  rate, state = step(lrax.restart_schedule(state, MAX_STEP))
  assert (rate, int(state[-1].step)) == (0.5, MAX_STEP)


# A report


def test_a_report_is_used_at_the_next_update_once():
  state, step = sgd(heard(1.0))
  state = lrax.report(state, 0.25)
  rate, state = step(state)
  assert rate == 0.25
  rate, state = step(state)
  assert rate == 1.0


def test_of_two_reports_before_an_update_the_last_is_used():
  state, step = sgd(counting())
  state = lrax.report(lrax.report(state, 5.0), 3.0)
  rate, state = step(state)
  assert rate == 2.0  # one metric was heard
  assert float(state[-1].memory.kept[1]) == 3.0


@pytest.mark.parametrize('metric', [3, -3.0, np.float64(2.5), jnp.int32(7), 1e30])
def test_metrics_of_any_real_kind_and_sign_are_taken(metric):
  state, step = sgd(counting())
  before = kinds(state)
  state = lrax.report(state, metric)
  assert kinds(state) == before
  _, state = step(state)
  assert state[-1].memory.kept[1] == np.float32(metric)


def test_an_infinite_metric_is_handed_on():
  state, step = sgd(counting())
  rate, state = step(lrax.report(state, math.inf))
  assert rate == 2.0
  assert float(state[-1].memory.kept[1]) == math.inf


def test_a_report_before_a_policy_has_started_is_not_kept_for_it():
  """It is used at the next update; after the warmup it would be an old one."""
  state, step = sgd(heard(1.0).with_warmup(2))
  state = lrax.report(state, 0.25)
  rates = []
  for _ in range(4):
    rate, state = step(state)
    rates.append(rate)
  assert rates == [0.0, 0.5, 1.0, 1.0]


def test_every_closed_loop_in_a_combination_hears():
  policy = heard(0.5) * falling() + counting().with_warmup(0)
  state, step = sgd(policy)
  # 0.25 * 1 + (1 + 1), then without a metric 0.5 * 0.875 + 2.
  rate, state = step(lrax.report(state, 0.25))
  assert rate == 2.25
  rate, state = step(state)
  assert rate == 0.5 * 0.875 + 2.0


def two_groups(first, second):
  params = {'w': jnp.zeros(3), 'b': jnp.zeros(2)}
  tx = optax.partition(
      {'body': lrax.sgd(first), 'head': lrax.sgd(second)},
      {'w': 'body', 'b': 'head'},
  )

  def step(state):
    updates, state = tx.update(jax.tree.map(jnp.ones_like, params), state, params)
    return -float(updates['w'][0]), -float(updates['b'][0]), state

  return tx.init(params), step


def test_a_report_for_all_passes_by_the_open_loops():
  state, step = two_groups(heard(1.0), falling())
  assert step(lrax.report(state, 0.25))[:2] == (0.25, 1.0)
  assert step(lrax.report(state, 0.25, 'body'))[:2] == (0.25, 1.0)


@pytest.mark.parametrize('group', [None, 'head'])
def test_a_report_that_nobody_hears_is_refused(group):
  first = heard(1.0) if group else falling()
  state, _ = two_groups(first, falling())
  with pytest.raises(ValueError, match='report: `state` must hold a closed-loop'):
    lrax.report(state, 0.25, group)


# Groups


@pytest.mark.parametrize(
    'change, expected',
    [
        (lambda s, g: lrax.set_learning_rate(s, 0.125, g), 0.125),
        (lambda s, g: lrax.scale_learning_rate(s, 0.5, g), 0.4375),
        (lambda s, g: lrax.restart_schedule(s, 4, g), 0.5),
    ],
    ids=['set', 'scale', 'restart'],
)
def test_a_group_alone_is_changed(change, expected):
  state, step = two_groups(falling(), falling())
  _, _, state = step(state)
  assert step(change(state, 'body'))[:2] == (expected, 0.875)
  assert step(change(state, 'head'))[:2] == (0.875, expected)
  assert step(change(state, None))[:2] == (expected, expected)


# Purity and kinds

CHANGES = {
    'set_learning_rate': lambda s, v: lrax.set_learning_rate(s, v),
    'scale_learning_rate': lambda s, v: lrax.scale_learning_rate(s, v),
    'restart_schedule': lambda s, v: lrax.restart_schedule(s, v),
    'report': lambda s, v: lrax.report(s, v),
}
changes = pytest.mark.parametrize('name', CHANGES)


@changes
@pytest.mark.parametrize(
    'value',
    [2, np.int64(2), np.float32(2), np.array(2), jnp.int32(2), jnp.uint8(2)],
    ids=repr,
)
def test_every_kind_of_number_is_taken_and_keeps_the_kinds(name, value):
  if name == 'restart_schedule' and value.__class__ is np.float32:
    value = 2.0
  state, _ = sgd(heard(1.0))
  before = jax.tree.map(np.array, state)
  changed = CHANGES[name](state, value)
  assert kinds(changed) == kinds(state)
  for old, now in zip(jax.tree.leaves(before), jax.tree.leaves(state)):
    np.testing.assert_array_equal(old, now)  # the state handed over is untouched
  fields = {
      'set_learning_rate': changed[-1].override,
      'scale_learning_rate': changed[-1].scale,
      'restart_schedule': changed[-1].step,
      'report': changed[-1].memory.reported,
  }
  assert float(fields[name]) == 2


@changes
def test_traced_values_are_taken_and_nothing_recompiles(name):
  state, _ = sgd(heard(1.0))
  tx = lrax.sgd(heard(1.0))
  dtype = jnp.int32 if name == 'restart_schedule' else jnp.float32
  traces = []

  @jax.jit
  def step(state, value):
    traces.append(value)
    state = CHANGES[name](state, value)
    return tx.update(ONES, state, PARAMS)[1]

  for value in (1, 2, 3):
    eager = CHANGES[name](state, value)
    eager = tx.update(ONES, eager, PARAMS)[1]
    jitted = step(state, jnp.asarray(value, dtype))
    for x, y in zip(jax.tree.leaves(jitted), jax.tree.leaves(eager)):
      np.testing.assert_array_equal(x, y)
    state = jitted
  assert len(traces) == 1


def test_a_change_by_a_condition_inside_jit():
  """Cooling down at once where a traced loss says so."""
  tx = lrax.sgd(falling())

  @jax.jit
  def step(state, loss):
    factor = jnp.where(loss > 1.0, 0.5, 1.0)
    updates, state = tx.update(ONES, lrax.scale_learning_rate(state, factor))
    return state, -updates['w'][0]

  state = tx.init(PARAMS)
  state, first = step(state, 0.5)
  state, second = step(state, 2.0)
  state, third = step(state, 0.5)
  assert (first, second, third) == (1.0, 0.4375, 0.375)


INSIDE = {
    'set_learning_rate': lambda s: lrax.set_learning_rate(s, 0.25),
    'follow_schedule': lrax.follow_schedule,
    'scale_learning_rate': lambda s: lrax.scale_learning_rate(s, 0.25),
    'restart_schedule': lrax.restart_schedule,
    'report': lambda s: lrax.report(s, 0.25),
}


@pytest.mark.parametrize('transform', [jax.vmap, lambda f: jax.jit(jax.vmap(f))])
@pytest.mark.parametrize('name', INSIDE)
def test_plain_numbers_inside_vmap(name, transform):
  """The state is traced and the number is not."""
  state = lrax.set_learning_rate(stacked(), 0.5)
  state = lrax.restart_schedule(state, 3)
  inside = transform(INSIDE[name])(state)
  outside = INSIDE[name](state)
  assert kinds(inside) == kinds(outside)
  for x, y in zip(jax.tree.leaves(inside), jax.tree.leaves(outside)):
    np.testing.assert_array_equal(x, y)


def test_float64_overrides_under_x64(x64):
  tx = lrax.sgd(0.5)
  params = {'w': jnp.zeros(3)}
  state = lrax.set_learning_rate(tx.init(params), 0.1)
  updates, state = tx.update({'w': jnp.ones(3)}, state, params)
  assert updates['w'].dtype == jnp.float64
  np.testing.assert_array_equal(updates['w'], -0.1)


def test_a_state_of_numpy_arrays_as_a_checkpoint_gives_it():
  state, step = sgd(heard(1.0))
  restored = jax.tree.map(np.asarray, state)
  assert step(lrax.set_learning_rate(restored, 0.125))[0] == 0.125
  assert step(lrax.scale_learning_rate(restored, 0.125))[0] == 0.125
  assert step(lrax.report(restored, 0.25))[0] == 0.25
  assert int(lrax.restart_schedule(restored, 5)[-1].step) == 5


# Refused

ARGUMENTS = {
    'set_learning_rate': 'value',
    'scale_learning_rate': 'factor',
    'restart_schedule': 'at',
    'report': 'metric',
}


def refused(name, state, value, error):
  with pytest.raises(error) as caught:
    CHANGES[name](state, value)
  assert str(caught.value).startswith(f'{name}: `{ARGUMENTS[name]}` must be')


@changes
@pytest.mark.parametrize(
    'value',
    [None, '0.1', True, np.bool_(True), jnp.array(True), 1j, jnp.array(1j), object],
    ids=str,
)
def test_what_is_no_real_number_is_refused(name, value):
  state, _ = sgd(heard(1.0))
  refused(name, state, value, TypeError)


@pytest.mark.parametrize('name', ['set_learning_rate', 'scale_learning_rate'])
@pytest.mark.parametrize(
    'value', [-1e-9, -1, math.nan, math.inf, jnp.float32(-0.5), np.array(math.nan)]
)
def test_rates_and_factors_out_of_range_are_refused(name, value):
  state, _ = sgd(heard(1.0))
  refused(name, state, value, ValueError)


@pytest.mark.parametrize('value', [-1, 2**31, 1.5, math.nan, math.inf, 1e10])
def test_steps_out_of_range_are_refused(value):
  state, _ = sgd(heard(1.0))
  refused('restart_schedule', state, value, ValueError)


@pytest.mark.parametrize('value', [jnp.float32(1.0), jnp.float32(1.5)])
def test_a_float_array_is_no_step(value):
  state, _ = sgd(heard(1.0))
  refused('restart_schedule', state, value, TypeError)


def test_a_traced_float_is_no_step():
  state, _ = sgd(heard(1.0))
  with pytest.raises(TypeError, match='restart_schedule: `at` must be'):
    jax.jit(lrax.restart_schedule)(state, 1.5)


# Values per element, for a state with a leading axis


def stacked():
  init = lambda rate: lrax.sgd(heard(1.0) * rate).init(PARAMS)
  return jax.vmap(init)(jnp.ones(2))


@changes
def test_a_value_for_each_element(name):
  state = stacked()
  changed = CHANGES[name](state, jnp.array([2, 3]))
  assert kinds(changed) == kinds(state)
  node = changed[-1]
  fields = {
      'set_learning_rate': node.override,
      'scale_learning_rate': node.scale,
      'restart_schedule': node.step,
      'report': jax.tree.leaves(node.memory)[0],
  }
  np.testing.assert_array_equal(fields[name], [2, 3])


EITHER = (TypeError, ValueError)


@changes
@pytest.mark.parametrize('shape', [(1,), (2,)])
def test_an_array_for_a_single_state_is_refused(name, shape):
  state, _ = sgd(heard(1.0))
  refused(name, state, jnp.ones(shape, int), EITHER)


@changes
@pytest.mark.parametrize('shape', [(3,), (3, 2)])
def test_an_array_of_another_shape_is_refused(name, shape):
  refused(name, stacked(), jnp.ones(shape, int), EITHER)


@pytest.mark.parametrize('name', ['set_learning_rate', 'scale_learning_rate'])
@pytest.mark.parametrize('bad', [-0.5, math.nan])
def test_a_bad_value_for_one_element_is_refused(name, bad):
  refused(name, stacked(), np.array([0.5, bad]), ValueError)


@pytest.mark.parametrize('value', [[0, -1], [2**31, 0]])
def test_a_bad_step_for_one_element_is_refused(value):
  refused('restart_schedule', stacked(), np.array(value), ValueError)


@pytest.mark.parametrize('name', ['set_learning_rate', 'scale_learning_rate'])
@pytest.mark.parametrize('kind', [np.complex64, np.bool_])
def test_an_array_of_another_kind_is_refused(name, kind):
  refused(name, stacked(), np.ones(2, kind), TypeError)


def test_fractions_of_steps_for_each_element_are_refused():
  refused('restart_schedule', stacked(), np.array([0.5, 1.5]), EITHER)
