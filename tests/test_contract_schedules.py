"""The contract that every schedule and every combination keeps.

The members are found by `members.py`; nothing here names one. Closed-loop
policies keep the part of it that is about updates; one is defined here, alone
and inside each combination, so that this part is tested with a memory too.
"""

import copy
import gc
import json
import pickle
import re
import types
import weakref

import chex
import jax
from jax import export
import jax.numpy as jnp
import members
import numpy as np
import optax
import pytest

import lrax
from lrax import _checks


def _start(init_value, decay_rate):
  del decay_rate
  return init_value, jnp.zeros((), jnp.int32)


@lrax.control.closed_loop(_start)
def drop_when_told(memory, step, signals, init_value, decay_rate):
  """Drops by a factor at every metric that is reported."""
  del step
  drops = memory + jnp.where(jnp.isnan(signals.reported), 0, 1)
  return init_value * decay_rate**drops, drops


def _closed_loop_samples():
  """The policy above by itself and as the part of each combination."""
  alone = next(members.samples(drop_when_told))
  yield alone
  for constructor in members.COMBINATIONS:
    call = members.required(constructor)
    arguments = dict(call.arguments)
    for name, value in arguments.items():
      if isinstance(value, members.Call):
        arguments[name] = alone.call
      elif isinstance(value, list) and isinstance(value[0], members.Call):
        arguments[name] = [value[0], alone.call, value[2]]
    name = f'{constructor.__name__}-of-{drop_when_told.__name__}'
    yield members.Sample(name, members.Call(constructor, arguments))


def _parameters(samples):
  return [pytest.param(s, id=s.id) for s in samples]


PUBLIC = members.schedule_samples()
ALL = PUBLIC + list(_closed_loop_samples())
every = pytest.mark.parametrize('sample', _parameters(ALL))
every_public = pytest.mark.parametrize('sample', _parameters(PUBLIC))
# One of each member, and each combination of a closed loop too: for what a word
# does not change and takes long to compile.
every_short = pytest.mark.parametrize(
    'sample', _parameters(members.shortest(PUBLIC) + ALL[len(PUBLIC) :])
)
every_open = pytest.mark.parametrize(
    'sample', _parameters(s for s in ALL if not s.build().closed_loop)
)
every_closed = pytest.mark.parametrize(
    'sample', _parameters(s for s in ALL if s.build().closed_loop)
)

# No powers of two: a product with one rounds nothing.
UPDATES = {
    'w': np.array([-1.7, -0.3, 0.0, 0.123, 2.9], np.float32),
    'b': np.float32(0.7),
}
# Three lengths that may be any numbers >= 1.
ANY_SHAPE = export.symbolic_shape('a, b, c')


def half_square(params):
  """A loss whose gradient is the parameters."""
  return sum((jnp.sum(x * x) for x in jax.tree.leaves(params)), 0.0) / 2


# What a closed-loop policy may ask an update for, beside the gradient.
SIGNALS = {
    'value': np.float32(half_square(UPDATES)),
    'value_fn': half_square,
    'progress': np.float32(0),
    'shard_square_norm': np.float32(20.0),
}

# Two programs for one formula differ by rounding: a fused kernel contracts a
# product and a sum into one operation, and vector code has its own sin and
# pow. A formula has about ten roundings, each of half an ulp (2**-24) of a
# number no larger than the largest rate of the samples, 0.4.
ROUNDING = dict(rtol=8 * 2.0**-23, atol=0.4 * 8 * 2.0**-23)


def edges(sample):
  """Steps around the end of every phase, and far past the last one."""
  lengths = set(sample.call.numbers(int))
  total = sum(lengths)
  near = {n + d for n in lengths | {total} for d in (-1, 0, 1)}
  steps = sorted({0, 1, 3, 10 * total + 120} | near)
  # All of one length: what jax compiled for one sample serves the next.
  return np.resize(np.array(steps, np.int32), 20)


def update(policy, updates, state, **changed):
  signals = SIGNALS | {'grad': updates} | changed
  return policy.update(updates, state, updates, **signals)


def first_rate(policy, **changed):
  return update(policy, UPDATES, policy.init(UPDATES), **changed)[1].learning_rate


def needs_params(policy, state):
  """Whether it decides by the parameters, which Optax gives no hyperparameter."""
  try:
    policy.update(UPDATES, state, **SIGNALS, grad=UPDATES)
  except ValueError as error:
    assert 'needs the signal `params`' in str(error)
    return True
  return False


# --- the members themselves --------------------------------------------------


def test_members_are_found_by_their_return_type():
  @lrax.schedule
  def newcomer(step, init_value, cool_steps):
    return init_value + 0 * step / cool_steps

  module = types.ModuleType('family')
  module.newcomer = newcomer
  module.neighbour = lambda init_value: lrax.constant(init_value)
  module.__all__ = ['neighbour', 'newcomer']
  assert members.schedule_constructors(module) == [newcomer]
  assert [s.build() for s in members.samples(newcomer)] == [newcomer(0.1, 4)]


def test_every_family_has_members():
  assert lrax.constant in members.SCHEDULES
  assert lrax.join in members.SCHEDULES
  assert lrax.adamw in members.OPTIMIZERS
  assert lrax.transforms.scale_by_adam in members.TRANSFORMS


def test_a_member_that_no_rule_can_call_is_an_error():
  @lrax.schedule
  def odd(step, flavour):
    return flavour + 0.0 * step

  with pytest.raises(LookupError, match='odd: no rule .* parameter `flavour`'):
    list(members.samples(odd))


def test_every_choice_of_a_word_is_a_sample():
  @lrax.schedule(mode=_checks.choice('up', 'down'))
  def swing(step, init_value, mode='up'):
    return init_value + 0.0 * step * (mode == 'down')

  modes = [s.build().arguments['mode'] for s in members.samples(swing)]
  assert modes == ['up', 'down']


TRANSFORMATIONS = members.optimizer_samples() + members.transform_samples()


@pytest.mark.parametrize('sample', _parameters(TRANSFORMATIONS))
def test_every_sample_of_an_optimizer_and_a_transform_is_one(sample):
  tx = sample.build()
  assert isinstance(tx, optax.GradientTransformationExtraArgs)
  # Some listen to the loss.
  new, _ = tx.update(UPDATES, tx.init(UPDATES), UPDATES, value=jnp.ones(()))
  chex.assert_trees_all_equal_shapes_and_dtypes(new, UPDATES)


# --- a function of the step --------------------------------------------------


@every_open
def test_jit_equals_eager(sample):
  policy = sample.build()
  steps = np.append(edges(sample), [0, -(2**31)]).astype(np.int32)
  rates = jax.jit(policy.value)(steps)
  np.testing.assert_allclose(rates, policy.value(steps), **ROUNDING)
  assert rates[-1] == rates[-2]


@every_open
def test_steps_of_any_shape_give_the_same_rates(sample):
  policy, steps = sample.build(), edges(sample)
  rates = np.asarray(policy(steps))
  for index in (0, 3, 5, 9, -1):
    assert policy(int(steps[index])).shape == ()
    np.testing.assert_allclose(policy(int(steps[index])), rates[index], **ROUNDING)
  for same in (steps.astype(np.int64), steps.astype(np.int16), steps.tolist()):
    np.testing.assert_array_equal(policy(same), rates)
  square = policy(steps.reshape(4, 5))
  np.testing.assert_allclose(square, rates.reshape(4, 5), **ROUNDING)
  for shape in (ANY_SHAPE, (3, 0, 2)):
    traced = jax.ShapeDtypeStruct(shape, jnp.int32)
    rates = jax.eval_shape(policy.value, traced)
    assert rates.shape == shape and rates.dtype == jnp.float32


@every_open
def test_before_step_0_is_step_0(sample):
  policy = sample.build()
  for step in (-1, -7, -(2**31), -(2**40)):
    assert policy(step) == policy(0)


@every_open
def test_the_last_step_of_a_clock_has_a_rate(sample):
  assert np.isfinite(sample.build()(2**31 - 1))


@every_open
def test_a_rate_is_a_float32_array_and_never_negative(sample):
  rates = sample.build()(edges(sample))
  assert rates.dtype == jnp.float32 and not rates.weak_type
  assert np.all(np.isfinite(rates)) and np.all(rates >= 0)


@every_closed
def test_closed_loop_has_no_value_at_a_step(sample):
  with pytest.raises(TypeError, match='is closed loop: .* read lrax.get_learn'):
    sample.build()(3)


# --- hyperparameters ---------------------------------------------------------


@every_open
def test_vmap_over_each_number_equals_a_loop(sample):
  numbers, steps = sample.call.numbers(float), edges(sample)

  def rates(index, number):
    changed = [*numbers[:index], number, *numbers[index + 1 :]]
    return sample.call.replace(float, changed).build()(steps)

  effects = []
  for index, number in enumerate(numbers):
    many = jnp.array([number, 0.9 * number], jnp.float32)
    mapped = jax.vmap(lambda x, i=index: rates(i, x))(many)
    looped = np.stack([rates(index, x) for x in many])
    np.testing.assert_allclose(mapped, looped, **ROUNDING)
    effects.append(np.any(mapped[0] != mapped[1]))
  assert not numbers or any(effects)


@every_open
def test_traced_numbers_and_lengths_equal_concrete_ones(sample):
  """Every length that may be 0 may, and then its phase vanishes.

  The rates and their gradients by the numbers are of one program, which takes
  the schedule as an argument. They are finite at every edge.
  """
  steps = edges(sample)

  @jax.jit
  def evaluate(numbers, lengths, steps):
    def rates(numbers):
      call = sample.call.replace(int, lengths).replace(float, numbers)
      return jax.jit(lambda policy, steps: policy(steps))(call.build(), steps)

    found, pull = jax.vjp(rates, numbers)
    # The gradient of the sum is finite only if that of every rate is.
    return found, pull(jnp.ones_like(found))[0]

  numbers, lengths = sample.call.numbers(float), sample.call.numbers(int)
  shorter = [
      [*lengths[:index], 0, *lengths[index + 1 :]] for index in range(len(lengths))
  ]
  for factor, changed in ((1.0, lengths), (0.5, lengths), *((1.0, x) for x in shorter)):
    given = [factor * x for x in numbers]
    try:
      policy = sample.call.replace(int, changed).replace(float, given).build()
    except ValueError as error:
      # At least 1 is asked for, that the lengths fit into each other, or that
      # there is a scale of time left.
      assert changed is not lengths and re.search(
          r'must be .*\b1\b|in rising order|at (least|most)|given where', str(error)
      )
      continue
    found, gradient = evaluate(
        jnp.array(given, jnp.float32), jnp.array(changed, jnp.int32), steps
    )
    assert np.all(np.isfinite(found)) and np.all(np.isfinite(gradient))
    # The numbers are rounded to float32 before the formula and not after it.
    np.testing.assert_allclose(found, policy(steps), **ROUNDING)


@every_open
def test_gradients_are_those_of_the_rate(sample, x64):
  """Under x64, where the rates are those of float32."""
  numbers, steps = np.array(sample.call.numbers(float)), edges(sample)
  rates = lambda x: sample.call.replace(float, x).build()(steps)
  by_numbers = jax.jacfwd(rates) if numbers.size else lambda x: None
  found, gradients = jax.jit(lambda x: (rates(x), by_numbers(x)))(numbers)
  with jax.enable_x64(False):
    np.testing.assert_allclose(found, rates(numbers.tolist()), **ROUNDING)
  if not numbers.size:
    return
  change = 1e-6 * np.diag(numbers)
  up, down = (
      np.stack([rates(around.tolist()) for around in sides])
      for sides in (numbers + change, numbers - change)
  )
  slopes = ((up - down) / (2e-6 * numbers[:, None])).T
  # Central differences in float64: an error of the order of change**2 = 1e-12
  # of the third derivative, and rounding of 1e-16 / 1e-7 = 1e-9.
  np.testing.assert_allclose(gradients, slopes, rtol=1e-6, atol=1e-7)


def _leaks(step, numbers):
  """Whether a trace of the function leaves a traced value behind."""
  with jax.checking_leaks():
    try:
      jax.eval_shape(step, numbers)
    except Exception as error:
      assert 'Leaked' in str(error)
      return True
  return False


@every
def test_a_traced_hyperparameter_does_not_leak(sample):
  numbers = jnp.array(sample.call.numbers(float), jnp.float32)

  def step(numbers):
    policy = sample.call.replace(float, numbers).build()
    updates, state = update(policy, UPDATES, policy.init(UPDATES))
    return updates, state.learning_rate

  assert not _leaks(step, numbers)


@every
def test_nothing_keeps_a_hyperparameter_alive(sample):
  """Without a reference cycle it is freed at once, not when Python collects."""
  numbers = [jnp.float32(x) for x in sample.call.numbers(float)]
  references = [weakref.ref(x) for x in numbers]
  gc.disable()
  try:
    sample.call.replace(float, numbers).build().init()
    del numbers
    assert [r() for r in references] == [None] * len(references)
  finally:
    gc.enable()


def test_a_leak_is_found():
  kept = []
  assert _leaks(lambda x: kept.append(lrax.constant(x)) or x, jnp.ones(()))


# --- a pytree ----------------------------------------------------------------


@every
def test_arrays_are_leaves_and_numbers_are_static(sample):
  policy = sample.build()
  assert jax.tree.leaves(policy) == []
  numbers = [jnp.float32(x) for x in sample.call.numbers(float)]
  mapped = sample.call.replace(float, numbers).build()
  leaves = jax.tree.leaves(mapped)
  assert sorted(map(float, leaves)) == sorted(map(float, numbers))
  doubled = jax.tree.map(lambda x: 2 * x, mapped)
  assert type(doubled) is lrax.Schedule
  assert sum(jax.tree.leaves(doubled)) == 2 * sum(numbers)
  assert jax.tree.map(lambda x: x, mapped) == mapped


@every_open
def test_jit_takes_a_schedule_as_an_argument(sample):
  """Its rates are compared where numbers are traced; a program needs a trace."""
  traces = []

  @jax.jit
  def rates(policy, steps):
    traces.append(None)
    return policy(steps)

  numbers = [jnp.float32(x) for x in sample.call.numbers(float)]
  steps = edges(sample)
  for factor in (1.0, 0.5):
    changed = [jnp.float32(factor) * x for x in numbers]
    rates.eval_shape(sample.call.replace(float, changed).build(), steps)
  assert len(traces) == 1  # arrays are traced: one program for all of them
  rates.eval_shape(sample.build(), steps)
  rates.eval_shape(sample.build(), steps)
  # Python numbers are part of the program: another one, but the same for equal
  # schedules. Without numbers it is the program that was there already.
  assert len(traces) == (2 if numbers else 1)


# --- a gradient transformation -----------------------------------------------


@every
def test_update_multiplies_by_minus_the_rate(sample):
  policy = sample.build()
  state = policy.init(UPDATES)
  for step in range(6):
    new, state = update(policy, UPDATES, state)
    rate = np.float32(state.learning_rate)
    assert int(state.step) == step + 1
    chex.assert_trees_all_equal_structs(new, UPDATES)
    # One product in float32: exactly this.
    chex.assert_trees_all_equal(
        new, jax.tree.map(lambda u, r=rate: -r * u, UPDATES)
    )
    if not policy.closed_loop:
      assert rate == np.float32(policy(step))


@every
def test_init_shows_the_rate_of_step_0(sample):
  policy = sample.build()
  state = policy.init(UPDATES)
  _, after = update(policy, UPDATES, state)
  assert int(state.step) == 0 and float(state.scale) == 1.0
  assert np.isnan(state.override) and np.isfinite(state.learning_rate)
  louder = {
      'value': 2 * SIGNALS['value'],
      'value_fn': lambda params: half_square(params) ** 2,
      'grad': jax.tree.map(lambda g: 3 * g, UPDATES),
      'shard_square_norm': 2 * SIGNALS['shard_square_norm'],
  }
  if policy.closed_loop and first_rate(policy, **louder) != after.learning_rate:
    return  # its very first rate is made of signals that init has not
  # A closed loop gives its first rate in double precision where its numbers are
  # Python's, and a formula over two of them then rounds in another order.
  np.testing.assert_allclose(
      state.learning_rate, after.learning_rate, rtol=2.0**-23
  )


@every_open
def test_open_loop_states_interchange(sample):
  policy = sample.build()
  other = lrax.constant(0.7)
  chex.assert_trees_all_equal_structs(policy.init(), other.init())
  chex.assert_trees_all_equal_shapes_and_dtypes(policy.init(), other.init())
  state = other.init()
  for _ in range(5):
    _, state = update(other, UPDATES, state)
  _, state = update(policy, UPDATES, state)
  assert state.learning_rate == policy(5)


@every_closed
def test_a_closed_loop_differs_in_its_memory_only(sample):
  state, other = sample.build().init(), lrax.constant(0.7).init()
  chex.assert_trees_all_equal_shapes_and_dtypes(state._replace(memory=()), other)


CHANGES = (
    lambda s: s,
    lambda s: lrax.scale_learning_rate(s, 0.5),
    lambda s: lrax.set_learning_rate(s, 0.75),
    lrax.follow_schedule,
    lambda s: lrax.restart_schedule(s, at=0),
)


@every
def test_state_keeps_its_kind_and_nothing_recompiles(sample):
  policy, traces = sample.build(), []

  @jax.jit
  def step(updates, state):
    traces.append(None)
    return update(policy, updates, state)

  state = first = policy.init(UPDATES)
  states = [first]
  for change in CHANGES:
    state = change(state)
    # A program is compiled for every trace; for this there needs to be none.
    step.eval_shape(UPDATES, state)
    _, state = update(policy, UPDATES, state)
    states.append(state)
  # A scan refuses a carry that is not of exactly the same kind.
  body = lambda s, _: (step(UPDATES, s)[1], None)
  last, _ = jax.eval_shape(lambda s: jax.lax.scan(body, s, length=3), first)
  assert len(traces) == 1
  for other in (*states, last):
    chex.assert_trees_all_equal_structs(first, other)
    chex.assert_trees_all_equal_shapes_and_dtypes(first, other)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(other))
  assert first.step.dtype == jnp.int32
  assert first.learning_rate.dtype == jnp.float32


@every
def test_updates_keep_their_dtype_and_the_rate_its_own(sample):
  policy = sample.build()
  for dtype in (jnp.bfloat16, jnp.float16, jnp.float32):
    updates = jax.tree.map(lambda u, d=dtype: jnp.asarray(u, d), UPDATES)
    new, state = update(policy, updates, policy.init(updates))
    chex.assert_trees_all_equal_shapes_and_dtypes(new, updates)
    assert state.learning_rate.dtype == jnp.float32
    # Multiplied in float32 and rounded once.
    rate = np.float32(state.learning_rate)
    expect = lambda u, r=rate, d=dtype: (-r * np.asarray(u, np.float32)).astype(d)
    chex.assert_trees_all_equal(new, jax.tree.map(expect, updates))


@every
def test_states_and_updates_keep_their_dtypes_under_x64(sample):
  policy, traces = sample.build(), []
  updates = {'a': np.full((2,), 0.7), 'b': np.full((2,), 0.7, np.float32)}

  @jax.jit
  def step(updates, state):
    traces.append(None)
    return update(policy, updates, state)

  with jax.enable_x64(True):
    state = policy.init(updates)
    for change in CHANGES:
      new, after = step.eval_shape(updates, change(state))
      chex.assert_trees_all_equal_shapes_and_dtypes(new, updates)
      chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
    traced = jax.eval_shape(policy.init, updates)
    chex.assert_trees_all_equal_shapes_and_dtypes(traced, state)
  assert len(traces) == 1
  assert after.learning_rate.dtype == after.scale.dtype == jnp.float64
  assert after.override.dtype == jnp.float64 and after.step.dtype == jnp.int32


@every_short
def test_one_program_serves_every_change_under_x64(sample):
  """Its rates are those of float32; the states and updates are in float64."""
  policy, traces = sample.build(), []
  steps = [] if policy.closed_loop else edges(sample)
  narrow = [] if policy.closed_loop else policy(steps)
  updates = {'a': np.full((2,), 0.7), 'b': np.full((2,), 0.7, np.float32)}

  @jax.jit
  def step(updates, state):
    traces.append(None)
    return update(policy, updates, state)

  with jax.enable_x64(True):
    first = state = policy.init(updates)
    applied = []
    for change in CHANGES:
      new, state = step(updates, change(state))
      applied.append(np.float64(state.learning_rate))
      # The product in float64 and float32, each exactly.
      np.testing.assert_array_equal(new['a'], -applied[-1] * updates['a'])
      np.testing.assert_array_equal(new['b'], -np.float32(applied[-1]) * updates['b'])
    at = lambda t: first._replace(step=jnp.asarray(t, jnp.int32))
    wide = [step(updates, at(t))[1].learning_rate for t in steps]
  assert len(traces) == 1
  assert applied[2] == 0.75
  if not policy.closed_loop:
    # Restarted, it is the rate of step 0 again, times the scale.
    assert applied[4] == 0.5 * applied[0]
  np.testing.assert_allclose(narrow, wide, **ROUNDING)


@every
def test_zero_gradients_and_empty_trees_stay_finite(sample):
  policy = sample.build()
  zeros = jax.tree.map(np.zeros_like, UPDATES)
  new, state = update(policy, zeros, policy.init(zeros))
  chex.assert_trees_all_equal(new, zeros)
  chex.assert_tree_all_finite(state._replace(override=0.0, memory=()))
  for empty in ({}, (), None, {'a': None}):
    if empty is None and needs_params(policy, policy.init(empty)):
      continue
    # To a policy no updates at all are those that a hyperparameter does not see.
    grad = UPDATES if empty is None else empty
    new, state = update(policy, empty, policy.init(empty), grad=grad)
    assert new == empty
    assert np.isfinite(state.learning_rate)


@every
def test_a_rate_of_zero_gives_zero(sample):
  policy = sample.build()
  state = lrax.set_learning_rate(policy.init(UPDATES), 0.0)
  new, _ = update(policy, UPDATES, state)
  chex.assert_trees_all_equal(new, jax.tree.map(np.zeros_like, UPDATES))


# --- with Optax --------------------------------------------------------------


@every
def test_chains_after_and_before_optax(sample):
  policy = sample.build()
  after = optax.chain(optax.scale(4.0), policy)
  before = optax.chain(policy, optax.scale(4.0))
  # The updates that reach it may be a signal too.
  larger = jax.tree.map(lambda u: 4 * u, UPDATES)
  _, alone = policy.update(
      larger, policy.init(UPDATES), UPDATES, **SIGNALS, grad=UPDATES
  )
  for tx, rate in ((after, alone.learning_rate), (before, first_rate(policy))):
    rate = np.float32(rate)
    new, state = update(tx, UPDATES, tx.init(UPDATES))
    # A factor of 4 is exact: the order does not change a digit.
    expect = jax.tree.map(lambda u, r=rate: -r * 4 * u, UPDATES)
    chex.assert_trees_all_equal(new, expect)
    assert lrax.get_learning_rate(state) == rate


@every_open
def test_is_a_learning_rate_for_optax(sample):
  policy = sample.build()
  rates = jnp.asarray(policy(np.arange(3)))
  ours, plain = optax.sgd(policy), optax.sgd(lambda count: rates[count])
  ours_state, plain_state = ours.init(UPDATES), plain.init(UPDATES)
  for _ in range(3):
    new, ours_state = ours.update(UPDATES, ours_state, UPDATES)
    expect, plain_state = plain.update(UPDATES, plain_state, UPDATES)
    # The same rates, of one step and of an array of steps.
    chex.assert_trees_all_close(new, expect, **ROUNDING)


@every
def test_is_a_stateful_hyperparameter_of_optax(sample):
  policy = sample.build()
  tx = optax.inject_hyperparams(optax.sgd)(policy)
  state, own = tx.init(UPDATES), policy.init()
  if needs_params(policy, policy.init()):
    with pytest.raises(ValueError, match='needs the signal `params`'):
      tx.update(UPDATES, state, UPDATES, **SIGNALS, grad=UPDATES)
    return
  for _ in range(3):
    new, state = tx.update(UPDATES, state, UPDATES, **SIGNALS, grad=UPDATES)
    expect, own = update(policy, UPDATES, own)
    # One product with the same float32 rate.
    chex.assert_trees_all_equal(new, expect)
  chex.assert_trees_all_equal(state.hyperparams_states['learning_rate'], own)


# --- a value -----------------------------------------------------------------


@every
def test_pickles_and_copies(sample):
  policy = sample.build()
  arrays = [jnp.float32(x) for x in sample.call.numbers(float)]
  for original in (policy, sample.call.replace(float, arrays).build()):
    for twin in (
        pickle.loads(pickle.dumps(original)),
        copy.copy(original),
        copy.deepcopy(original),
    ):
      assert twin is not original
      assert twin == original and hash(twin) == hash(original)
      assert repr(twin) == repr(original)
      assert twin.init().learning_rate == original.init().learning_rate


@every
def test_equal_calls_are_equal_and_others_are_not(sample):
  policy = sample.build()
  assert policy == sample.build() and hash(policy) == hash(sample.build())
  assert not policy != sample.build()
  assert policy != policy.init and policy != (policy.init, policy.update)
  assert policy != lrax.constant(0.7)
  for kind, change in ((float, lambda x: 0.9 * x), (int, lambda x: x + 1)):
    numbers = sample.call.numbers(kind)
    for index, number in enumerate(numbers):
      changed = [*numbers[:index], change(number), *numbers[index + 1 :]]
      assert sample.call.replace(kind, changed).build() != policy


def _is_plain(sample):
  return not any(
      callable(leaf) and leaf not in members.SCHEDULES + members.COMBINATIONS
      for leaf in jax.tree.leaves(sample.call)
  )


@every_public
def test_to_dict_and_back_through_json(sample):
  policy = sample.build()
  if _is_plain(sample):
    config = json.loads(json.dumps(policy.to_dict()))
    assert lrax.Schedule.from_dict(config) == policy
    arrays = [jnp.float32(x) for x in sample.call.numbers(float)]
    policy = sample.call.replace(float, arrays).build()
    config = json.loads(json.dumps(policy.to_dict()))
    assert lrax.Schedule.from_dict(config) == policy
  else:
    with pytest.raises(ValueError, match='must be a plain value to go into a d'):
      policy.to_dict()


@every_public
def test_prints_as_the_call_that_makes_it(sample):
  policy = sample.build()
  if _is_plain(sample):
    names = vars(lrax) | vars(lrax.schedules) | vars(lrax.control)
    assert eval(repr(policy), names) == policy
  else:
    assert repr(policy).startswith(f'{policy.constructor.__name__}(')


@every_public
def test_prints_no_argument_that_was_left_at_its_default(sample):
  policy, text = sample.build(), repr(sample.build())
  is_schedule = lambda x: isinstance(x, lrax.Schedule)
  for part in jax.tree.leaves(list(policy.arguments.values()), is_leaf=is_schedule):
    text = text.replace(repr(part), '') if is_schedule(part) else text
  left = set(policy.arguments) - set(sample.call.arguments)
  assert not [name for name in left if re.search(rf'\b{name}=', text)]


@every_public
def test_traced_arguments_print_and_have_no_dict(sample):
  numbers = jnp.array(sample.call.numbers(float), jnp.float32)
  if not numbers.size:
    pytest.skip('a sample without numbers')
  seen = []

  def look(numbers):
    policy = sample.call.replace(float, numbers).build()
    seen.append(repr(policy))
    with pytest.raises(ValueError, match='must be a plain value to go into a d'):
      policy.to_dict()
    return policy.init().learning_rate

  jax.eval_shape(look, numbers)
  assert '<traced>' in seen[0] and 'Tracer' not in seen[0]


@every
def test_is_a_part_of_every_combination(sample):
  policy = sample.build()
  rate = np.float32(policy.init().learning_rate)
  for combined, expect in (
      (policy * 2.0, 2 * rate),
      (2.0 * policy, 2 * rate),
      (policy + 0.0, rate),
      (policy.with_warmup(0), rate),
      (policy.with_warmup(4, init_value=0.03125), np.float32(0.03125)),
      (lrax.join([policy, lrax.constant(0.7)], [3]), rate),
  ):
    assert type(combined) is lrax.Schedule
    assert combined.closed_loop == policy.closed_loop
    # Sums with 0 and products with 1 and 2 are exact.
    assert combined.init().learning_rate == expect
