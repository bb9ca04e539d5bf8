"""Schedules made of schedules: `*`, `+`, `with_warmup` and `join`."""

from fractions import Fraction

import jax
from jax.extend.random import threefry_2x32
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.schedules._algebra import _with_noise

W, T = 5, 40
STEPS = np.array([0, 1, W - 1, W, W + 1, T - 1, T, T + 1, 10 * T])
ONES = np.ones(2, np.float32)


def line(init_value, end_value, steps, step):
  """The straight line, in float64."""
  share = np.clip(np.asarray(step) / steps, 0, 1)
  return init_value + (end_value - init_value) * share


@lrax.schedule
def root(step, init_value, steps):
  """A formula that is NaN past its end, and so is its gradient."""
  return init_value * jnp.sqrt((steps - step) / steps)


@lrax.schedule
def logarithm(step, init_value):
  """A formula that is infinite or NaN before its start."""
  return init_value / (1 + jnp.log1p(step))


def _start_watching(init_value):
  counts = {name: jnp.zeros((), jnp.int32) for name in ('updates', 'heard', 'step')}
  return init_value, counts


@lrax.control.closed_loop(_start_watching)
def watcher(memory, step, signals, init_value):
  """Counts what it sees; a metric is its rate for one update."""
  told = ~jnp.isnan(signals.reported)
  memory = {
      'updates': memory['updates'] + 1,
      'heard': memory['heard'] + told.astype(jnp.int32),
      'step': step,
  }
  return jnp.where(told, signals.reported, init_value), memory


def run(policy, updates, reports=()):
  """The rate of each update, and the watchers' counts at the end."""
  state, rates = policy.init(), []
  for index in range(updates):
    for at, metric in reports:
      if at == index:
        state = lrax.report(state, metric)
    _, state = policy.update(ONES, state)
    rates.append(float(state.learning_rate))
  kept = [
      {k: int(v) for k, v in memory.kept.items()}
      for memory in state.memory
      if memory != ()
  ]
  return rates, kept


# --- product and sum ---------------------------------------------------------


def test_product_and_sum_are_pointwise():
  first, second = lrax.linear(0.3, 0.01, T), lrax.linear(0.02, 0.5, W)
  a, b = line(0.3, 0.01, T, STEPS), line(0.02, 0.5, W, STEPS)
  # Two rates of at most 3 ulp each, and one rounding more.
  np.testing.assert_allclose((first * second)(STEPS), a * b, rtol=1e-6)
  np.testing.assert_allclose((first + second)(STEPS), a + b, rtol=1e-6)


@pytest.mark.parametrize('number', [2, 0.5, 0.0, jnp.float32(0.5)])
def test_numbers_on_either_side(number):
  policy = lrax.linear(0.5, 0.25, 4)
  rates = np.array([0.5, 0.375, 0.25])
  steps, value = np.array([0, 2, 4]), float(number)
  # Powers of two: everything is exact.
  for product in (policy * number, number * policy):
    np.testing.assert_array_equal(product(steps), rates * value)
  for total in (policy + number, number + policy):
    np.testing.assert_array_equal(total(steps), rates + value)


@pytest.mark.parametrize('number', [np.float64(0.5), np.float32(0.5), np.int64(2)])
def test_numpy_numbers_on_either_side(number):
  """NumPy's operators must leave a schedule's own to it."""
  policy = lrax.constant(0.5)
  for product in (policy * number, number * policy):
    assert type(product) is lrax.Schedule and product(0) == 0.5 * number
  for total in (policy + number, number + policy):
    assert type(total) is lrax.Schedule and total(0) == 0.5 + number


def test_functions_of_the_step_are_parts():
  policy = lrax.constant(0.5) * optax.linear_schedule(1.0, 0.0, 4)
  np.testing.assert_array_equal(policy(np.arange(5)), [0.5, 0.375, 0.25, 0.125, 0.0])


def test_python_sums_a_list():
  policy = sum([lrax.constant(0.25), lrax.constant(0.5)])
  assert policy(3) == 0.75


def test_product_distributes_over_the_sum():
  a, b, c = lrax.linear(0.3, 0.1, T), lrax.cosine_annealing(0.2, T), lrax.constant(0.7)
  # Rounded in another order: three roundings of 2**-24 on each side.
  np.testing.assert_allclose(
      ((a + b) * c)(STEPS), (a * c + b * c)(STEPS), rtol=4e-7
  )


@pytest.mark.parametrize('operator', ['product', 'sum'])
def test_factors_and_terms_see_every_step(operator):
  both = lambda a, b: a * b if operator == 'product' else a + b
  rates, kept = run(both(watcher(0.5), lrax.linear(1.0, 0.0, 4)), 4, [(2, 0.25)])
  own, other = np.array([0.5, 0.5, 0.25, 0.5]), np.array([1.0, 0.75, 0.5, 0.25])
  np.testing.assert_array_equal(rates, both(own, other))
  assert kept == [{'updates': 4, 'heard': 1, 'step': 3}]


def test_each_closed_loop_part_has_its_own_memory():
  policy = watcher(0.5)
  rates, kept = run(policy * policy, 3, [(1, 0.25)])
  assert rates == [0.25, 0.0625, 0.25]
  assert kept == [{'updates': 3, 'heard': 1, 'step': 2}] * 2


# --- with_warmup -------------------------------------------------------------


@pytest.mark.parametrize('init_value', [0.0, 0.01])
def test_warmup_is_a_line_to_the_first_rate(init_value):
  policy = lrax.linear(0.3, 0.1, T - W).with_warmup(W, init_value)
  expect = np.where(
      STEPS < W,
      line(init_value, 0.3, W, STEPS),
      line(0.3, 0.1, T - W, STEPS - W),
  )
  # At most 3 ulp, as `linear`.
  np.testing.assert_allclose(policy(STEPS), expect, rtol=1e-6)
  assert policy(W) == np.float32(0.3) and policy(T) == np.float32(0.1)
  assert policy(-3) == np.float32(init_value)


def test_warmup_equals_optax():
  ours = lrax.cosine_annealing(0.3, T - W, 0.01).with_warmup(W, 0.02)
  theirs = optax.warmup_cosine_decay_schedule(0.02, 0.3, W, T, 0.01)
  np.testing.assert_allclose(
      ours(STEPS),
      [theirs(int(t)) for t in STEPS],
      rtol=1e-6,
      # Optax's 1 + cos is off by an ulp of 1 near the end.
      atol=0.3 * 2.0**-23,
  )


def test_warmup_of_no_length_vanishes():
  """Where `optax.warmup_constant_schedule` stays at its start for ever."""
  policy = lrax.linear(0.3, 0.1, T)
  np.testing.assert_array_equal(policy.with_warmup(0)(STEPS), policy(STEPS))
  traced = jax.jit(lambda n: policy.with_warmup(n)(STEPS))(0)
  # The same numbers in a fused kernel.
  np.testing.assert_allclose(traced, policy(STEPS), rtol=2e-7)


def test_warmup_over_long_runs():
  up, down = 10**7, 10**8
  at = np.random.default_rng(0).integers(0, up + down, 506)
  at = np.concatenate([at, [0, 1, up - 1, up, up + 1, up + down]])
  expect = []
  for t in map(int, at):
    lo, hi, done, steps = (1e-4, 0.3, t, up) if t < up else (0.3, 0.01, t - up, down)
    expect.append(Fraction(lo) + (Fraction(hi) - Fraction(lo)) * done / steps)
  policy = lrax.linear(0.3, 0.01, down).with_warmup(up, 1e-4)
  # Six roundings of half an ulp, measured at 3,000 steps: at most 2.6 ulp.
  np.testing.assert_array_max_ulp(
      np.asarray(policy(at)), np.array(list(map(float, expect)), np.float32), 3
  )


def test_warmups_nest():
  policy = lrax.constant(1.0).with_warmup(4).with_warmup(2, init_value=0.5)
  # Half to 0 in two steps, then up to 1 in four.
  np.testing.assert_array_equal(
      policy(np.arange(8)), [0.5, 0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
  )


def test_a_closed_loop_starts_after_its_warmup():
  rates, kept = run(watcher(1.0).with_warmup(4), 8, [(5, 0.25)])
  assert rates == [0.0, 0.25, 0.5, 0.75, 1.0, 0.25, 1.0, 1.0]
  # Four updates after the warmup, counted from its end.
  assert kept == [{'updates': 4, 'heard': 1, 'step': 3}]


def test_a_closed_loop_remembers_nothing_of_its_warmup():
  policy = watcher(1.0).with_warmup(4)
  state = policy.init()
  for _ in range(4):
    _, state = policy.update(ONES, state)
  start = policy.init().memory
  jax.tree.map(np.testing.assert_array_equal, state.memory, start)


def test_a_report_during_the_warmup_is_used_up_by_the_next_update():
  """A metric is used at the next update, once; it does not wait for the end."""
  rates, kept = run(watcher(1.0).with_warmup(4), 6, [(1, 0.25)])
  assert rates[4:] == [1.0, 1.0]
  assert kept[0]['heard'] == 0


# --- join --------------------------------------------------------------------


def test_join_counts_each_segment_from_its_start():
  policy = lrax.join(
      [lrax.constant(0.3), lrax.linear(0.3, 0.1, 20), lrax.constant(0.05)],
      [W, T],
  )
  expect = np.select(
      [STEPS < W, STEPS < T],
      [np.full(STEPS.shape, 0.3), line(0.3, 0.1, 20, STEPS - W)],
      0.05,
  )
  np.testing.assert_allclose(policy(STEPS), expect, rtol=1e-6)  # as `linear`


def test_join_equals_optax():
  parts = [
      (lrax.linear(0.01, 0.3, W), optax.linear_schedule(0.01, 0.3, W)),
      (lrax.cosine_annealing(0.3, T), optax.cosine_decay_schedule(0.3, T)),
      (lrax.constant(0.02), optax.constant_schedule(0.02)),
  ]
  ours = lrax.join([p[0] for p in parts], [W, T])
  theirs = optax.join_schedules([p[1] for p in parts], [W, T])
  np.testing.assert_allclose(
      ours(STEPS),
      [theirs(int(t)) for t in STEPS],
      rtol=1e-6,
      atol=0.3 * 2.0**-23,  # Optax's 1 + cos and 1 - share round at 1
  )


def test_join_of_one_is_that_one():
  policy = lrax.linear(0.3, 0.1, T)
  np.testing.assert_array_equal(lrax.join([policy], [])(STEPS), policy(STEPS))


@pytest.mark.parametrize(
    'boundaries, expect',
    [
        ([3, 3], [0.25, 0.25, 0.25, 1.0, 1.0]),
        ([0, 2], [0.5, 0.5, 1.0, 1.0, 1.0]),
        ([0, 0], [1.0, 1.0, 1.0, 1.0, 1.0]),
        (np.array([1, 2]), [0.25, 0.5, 1.0, 1.0, 1.0]),
        (range(1, 3), [0.25, 0.5, 1.0, 1.0, 1.0]),
    ],
)
def test_segments_of_no_length_are_skipped(boundaries, expect):
  parts = [lrax.constant(0.25), lrax.constant(0.5), lrax.constant(1.0)]
  policy = lrax.join(parts, boundaries)
  np.testing.assert_array_equal(policy(np.arange(5)), expect)
  traced = jax.jit(lambda b: lrax.join(parts, b)(np.arange(5)))
  np.testing.assert_array_equal(traced(jnp.array(boundaries)), expect)


@pytest.mark.parametrize('count', [0, 1, 3])
def test_boundaries_are_one_fewer_than_the_schedules(count):
  parts = [lrax.constant(1.0)] * 3
  with pytest.raises(ValueError, match='one fewer than the 3 schedules'):
    lrax.join(parts, list(range(count)))


def test_boundaries_must_not_fall():
  with pytest.raises(ValueError, match=r'`boundaries` must be in rising order'):
    lrax.join([lrax.constant(1.0)] * 3, [7, 6])


def test_gradients_through_a_join_are_finite():
  """Optax's join gives NaN here: it evaluates each part out of its segment."""
  steps = np.array([0, 3, 4, 5, 6, 11, 12, 100])

  def rates(x):
    parts = [root(x[0], 4), logarithm(x[1]), root(x[2], 8), lrax.constant(x[3])]
    return lrax.join(parts, [4, 6, 12])(steps)

  assert np.all(np.isfinite(rates(np.ones(4))))
  for jacobian in (jax.jacrev, jax.jacfwd):
    gradients = np.asarray(jax.jit(jacobian(rates))(jnp.ones(4)))
    segment = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    # Every rate is its own segment's number times something, and no other's.
    assert np.all((gradients != 0) == (segment[:, None] == np.arange(4)))
    assert np.all(np.isfinite(gradients))


def test_parts_are_called_within_their_segment_only():
  seen = {0: [], 1: [], 2: []}

  def spy(index):
    def function(step):
      seen[index].extend(np.ravel(step).tolist())
      return 0.5

    return function

  policy = lrax.join([spy(0), spy(1), spy(2)], [3, 7])
  for step in range(12):
    policy(step)
  assert (min(seen[0]), max(seen[0])) == (0, 3)
  assert (min(seen[1]), max(seen[1])) == (0, 4)
  assert (min(seen[2]), max(seen[2])) == (0, 4)


def test_a_closed_loop_decides_and_remembers_in_its_segment_only():
  policy = lrax.join([lrax.constant(1.0), watcher(0.5), watcher(2.0)], [2, 5])
  rates, kept = run(policy, 9, [(6, 4.0)])
  assert rates == [1.0, 1.0, 0.5, 0.5, 0.5, 2.0, 4.0, 2.0, 2.0]
  assert kept == [
      {'updates': 3, 'heard': 0, 'step': 2},
      {'updates': 4, 'heard': 1, 'step': 3},
  ]


def test_a_report_is_used_up_in_every_segment():
  """A metric from one segment is no news in the next."""
  policy = lrax.join([watcher(0.5), watcher(2.0)], [3])
  rates, kept = run(policy, 6, [(1, 0.25)])
  assert rates == [0.5, 0.25, 0.5, 2.0, 2.0, 2.0]
  assert [k['heard'] for k in kept] == [1, 0]


def test_closed_loops_deep_inside():
  inner = lrax.join([lrax.constant(1.0), watcher(0.5)], [2])
  policy = (inner * 2.0).with_warmup(2, init_value=2.0)
  state = policy.init()
  assert policy.closed_loop
  rates = []
  for step in range(7):
    if step == 5:
      state = lrax.report(state, 0.25)
    _, state = jax.jit(policy.update)(ONES, state)
    rates.append(float(state.learning_rate))
  assert rates == [2.0, 2.0, 2.0, 2.0, 1.0, 0.5, 1.0]


# --- as values ---------------------------------------------------------------


A, B, C = lrax.constant(0.25), lrax.constant(0.5), lrax.linear(1.0, 0.5, steps=4)


@pytest.mark.parametrize(
    'policy, text',
    [
        (A * B, 'constant(0.25) * constant(0.5)'),
        (2 * A, '2.0 * constant(0.25)'),
        (A * B * B, 'constant(0.25) * constant(0.5) * constant(0.5)'),
        (A * (B * B), 'constant(0.25) * (constant(0.5) * constant(0.5))'),
        ((A + B) * A, '(constant(0.25) + constant(0.5)) * constant(0.25)'),
        (A + B * A, 'constant(0.25) + constant(0.5) * constant(0.25)'),
        (A + (B + A), 'constant(0.25) + (constant(0.5) + constant(0.25))'),
        (A.with_warmup(3), 'constant(0.25).with_warmup(3)'),
        (
            (A * B).with_warmup(3, 0.125),
            '(constant(0.25) * constant(0.5)).with_warmup(3, init_value=0.125)',
        ),
        (
            A * C.with_warmup(3),
            'constant(0.25) * linear(1.0, end_value=0.5, steps=4).with_warmup(3)',
        ),
        (
            lrax.join([A, B + A], [7]),
            'join([constant(0.25), constant(0.5) + constant(0.25)],'
            ' boundaries=[7])',
        ),
    ],
)
def test_prints_as_the_expression_that_makes_it(policy, text):
  assert repr(policy) == text
  assert eval(text, dict(vars(lrax))) == policy


def test_expressions_are_equal_where_they_are_the_same():
  assert A * B == A * B and hash(A * B) == hash(A * B)
  assert A * B != B * A and A * B != A + B
  assert A * (B * C) != (A * B) * C


def test_stretches_within_each_other_are_few():
  """Each one reads its part twice: a text of twenty would never be evaluated."""
  policy = lrax.linear(1.0, 0.0, steps=10)
  for _ in range(6):
    policy = policy.stretch(2.0)
  assert policy(320) == 0.5
  for deeper in (policy, policy.with_warmup(3), policy * policy):
    with pytest.raises(ValueError, match='stretch: `schedule` must be with fewer'):
      deeper.stretch(2.0)
  with pytest.raises(ValueError, match='multiply their factors into one'):
    lrax.schedules.parse('constant(1)' + '.stretch(1.5)' * 22)


@pytest.mark.parametrize(
    'build',
    [
        lambda n: lrax.constant(1.0).clip(n(2.0), 1.0),
        lambda n: lrax.flat_cosine(1.0, n(10), n(20)),
        lambda n: lrax.cyclical(0.0, 1.0, n(0)),
        lambda n: lrax.inverse_sqrt(1.0, n(0)),
        lambda n: lrax.infinite(1.0, 0.5, 4, 4, 4, 0.1, anneal_at=n(3)),
    ],
)
@pytest.mark.parametrize('number', [lambda x: x, jnp.asarray], ids=['number', 'array'])
def test_arguments_that_do_not_go_together_are_refused_as_arrays_too(build, number):
  with pytest.raises(ValueError, match='must be'):
    build(number)


def test_a_large_array_of_steps_is_compiled_and_gives_the_same_rates():
  policy = lrax.warm_restarts(0.1, 1000, 2).with_warmup(10)
  steps = np.arange(2**17 + 8)
  np.testing.assert_array_equal(policy(steps)[:999], policy(steps[:999]))


@pytest.mark.parametrize('seed', [0, 7, 2**32 - 1])
def test_noise_is_made_of_threefry(seed):
  """Bit for bit the words that JAX's own Threefry gives."""
  steps = np.array([0, 1, 5, 2**31 - 1], np.uint32)
  ours = _with_noise._threefry(jnp.uint32(seed), jnp.asarray(steps))
  for step, word in zip(steps, ours):
    key = jnp.array([0, seed], jnp.uint32)
    theirs = threefry_2x32(key, jnp.array([0, step], jnp.uint32))
    assert theirs[0] == word


@pytest.mark.parametrize('std', [1e-30, 1e-3, 1.0, 1e30, 3.4e38])
@pytest.mark.parametrize('limit', [0.0, 1e-30, 0.5, 1.0])
def test_noise_has_finite_slopes(std, limit):
  def rate(limit, std):
    return lrax.constant(1.0).with_noise(2**32 - 1, limit, std)(jnp.arange(9)).sum()

  assert np.isfinite(jax.grad(rate, (0, 1))(limit, std)).all()
  rates = np.asarray(lrax.constant(1.0).with_noise(3, limit, std)(np.arange(999)))
  assert (np.abs(rates - 1) <= limit + 2.0**-23).all()
  if limit >= 0.5 and std >= 1:
    assert np.std(rates) > limit / 3
