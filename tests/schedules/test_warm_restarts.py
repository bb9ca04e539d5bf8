"""`warm_restarts`: SGDR's equation 5, the cycle found with whole numbers."""

import bisect
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

LAST = 2**31 - 1
# As `cosine_annealing`, and one product more for the peak. Measured at every
# restart and 600 random steps for each growth below: at most 6.7 ulp.
MAX_ULP = 9


def ends(cycle_steps, growth):
  """The end of each cycle up to past the last step, in exact fractions."""
  end, length, found = Fraction(0), Fraction(cycle_steps), []
  while not found or found[-1] <= LAST:
    end, length = end + length, length * Fraction(growth)
    found.append(round(end))
  return found


def place(step, cycle_steps, growth):
  """The cycle of a step, the step within it, and the length of the cycle."""
  if growth == 1:
    return step // cycle_steps, step % cycle_steps, cycle_steps
  found = ends(cycle_steps, growth)
  cycle = bisect.bisect_right(found, step)
  start = found[cycle - 1] if cycle else 0
  return cycle, step - start, found[cycle] - start


def formula(step, init_value, cycle_steps, growth=1, decay=1.0, end_value=0.0):
  """Equation 5 in float64, as sin**2 of the shares left and done: neither
  cancels."""
  cycle, local, length = place(int(step), cycle_steps, growth)
  left = np.sin(np.pi / 2 * float(Fraction(length - local, length))) ** 2
  done = np.sin(np.pi / 2 * float(Fraction(local, length))) ** 2
  return init_value * decay**cycle * left + end_value * done


def evaluate(policy, steps):
  """The rates of up to 512 steps, in one program; eager code has one for each
  operation and length of the table of cycles."""
  rates = jax.jit(policy.value)(np.resize(np.array(steps), 512))
  return np.asarray(rates)[: len(steps)]


def check(policy, steps, *arguments, max_ulp=MAX_ULP, **keywords):
  """The policy against the formula."""
  expect = [formula(t, *arguments, **keywords) for t in steps]
  np.testing.assert_array_max_ulp(
      evaluate(policy, steps), np.array(expect, np.float32), max_ulp
  )


@pytest.mark.parametrize('growth', [1, 1.5, 2, 3])
@pytest.mark.parametrize('cycle_steps', [1, 10, 40])
def test_formula(cycle_steps, growth):
  near = [t + d for t in ends(cycle_steps, 2)[:6] for d in (-1, 0, 1)]
  policy = lrax.warm_restarts(0.3, cycle_steps, growth, peak_decay=0.75)
  # A power of up to 64 factors of 0.75, which float32 holds: 2 ulp more.
  check(
      policy, [0, 1, 4, 5, 6, *near], 0.3, cycle_steps, growth, 0.75,
      max_ulp=MAX_ULP + 2,
  )


def test_accuracy_where_peaks_fall_below_the_end():
  """A cycle then rises to `end_value`, and starts it as precisely as it ends."""
  policy = lrax.warm_restarts(0.3, 40, peak_decay=0.75, end_value=0.001)
  check(policy, range(2000, 2400), 0.3, 40, 1, 0.75, 0.001, max_ulp=MAX_ULP + 2)


def test_the_paper_in_its_own_words():
  """The rate is the peak where T_cur = 0 and the minimum where T_cur = T_i."""
  policy = lrax.warm_restarts(0.3, cycle_steps=40, cycle_growth=2, end_value=0.01)
  for start, length in ((0, 40), (40, 80), (120, 160)):
    current = np.arange(length)
    expect = 0.01 + 0.5 * (0.3 - 0.01) * (1 + np.cos(np.pi * current / length))
    # MAX_ULP of 2**-23.
    np.testing.assert_allclose(evaluate(policy, start + current), expect, rtol=1e-6)


@pytest.mark.parametrize('growth', [1.5, 2, 3])
@pytest.mark.parametrize('cycle_steps', [1, 2, 7, 1000, 123_456_789])
def test_restarts_on_exactly_the_first_step_of_each_cycle(cycle_steps, growth):
  starts = np.array([t for t in ends(cycle_steps, growth) if t <= LAST])
  policy = lrax.warm_restarts(1.0, cycle_steps, growth, peak_decay=0.5)
  cycles = np.arange(1, len(starts) + 1)
  # At a restart the weight is exactly 1 and a power of a half is exact.
  np.testing.assert_array_equal(evaluate(policy, starts), 0.5**cycles)
  # A step before it, the last cycle is at its last step.
  check(policy, starts[starts > 1] - 1, 1.0, cycle_steps, growth, 0.5)


@pytest.mark.parametrize('cycle_steps', [2, 10, 1000, 2**24 + 1, 2**30])
def test_equal_cycles_restart_on_the_step(cycle_steps):
  most = LAST // cycle_steps
  cycles = np.random.default_rng(0).integers(1, most + 1, 300)
  starts = np.concatenate([[1, most], cycles]) * cycle_steps
  policy = lrax.warm_restarts(0.3, cycle_steps)
  np.testing.assert_array_equal(evaluate(policy, starts), np.float32(0.3))
  check(policy, starts - 1, 0.3, cycle_steps)


@pytest.mark.parametrize('growth', [1.5, 2, 3])
@pytest.mark.parametrize('cycle_steps', [1, 1000, 10**8])
def test_accuracy_over_long_runs(cycle_steps, growth):
  """Every cycle that is over before the clock stops."""
  last = max(t for t in ends(cycle_steps, growth) if t <= LAST)
  at = np.random.default_rng(0).integers(0, last, 256)
  policy = lrax.warm_restarts(0.3, cycle_steps, growth, end_value=0.01)
  check(policy, at, 0.3, cycle_steps, growth, end_value=0.01)


@pytest.mark.parametrize(
    'cycle_steps, growth', [(10**9, 2), (1, 3), (1, 1.5), (2**31 - 1, 2)]
)
def test_a_cycle_that_ends_past_the_last_step_keeps_its_length(
    cycle_steps, growth
):
  start = max(t for t in (0, *ends(cycle_steps, growth)) if t <= LAST - 2)
  at = np.linspace(start, LAST, 7).astype(np.int64)
  policy = lrax.warm_restarts(0.3, cycle_steps, growth, end_value=0.01)
  check(policy, at, 0.3, cycle_steps, growth, end_value=0.01)


def test_a_cycle_may_start_on_the_last_step():
  assert ends(1, 2)[30] == LAST
  assert lrax.warm_restarts(0.3, 1, 2)(LAST) == np.float32(0.3)


GROWTHS = (1, 2, 3, 2**20)


def _near_starts(growth):
  starts = range(3, 60, 3) if growth == 1 else ends(3, growth)
  near = [t + d for t in starts for d in (-1, 0, 1)]
  return np.resize([t for t in near if t <= LAST], 512)


@pytest.mark.parametrize('growth', GROWTHS)
def test_lengths_and_growths_that_are_arrays(growth):
  """Found by the code that serves traced ones; the contract traces it."""
  steps, number, array = _near_starts(growth), 3, jnp.int32(3)
  expect = np.asarray(lrax.warm_restarts(0.3, number, growth, 0.5)(steps))
  for policy in (
      lrax.warm_restarts(0.3, array, growth, 0.5),
      lrax.warm_restarts(0.3, number, jnp.int32(growth), 0.5),
      lrax.warm_restarts(0.3, array, jnp.int32(growth), 0.5),
  ):
    # The same integers and the same formula.
    np.testing.assert_array_equal(policy(steps), expect)


def test_stops_after_its_cycles():
  policy = lrax.warm_restarts(0.3, 10, 2, end_value=0.01, cycles=2)
  check(policy, [0, 9, 10, 29], 0.3, 10, 2, end_value=0.01)
  after = evaluate(policy, [30, 31, 100, 2**30, LAST])
  np.testing.assert_array_equal(after, np.float32(0.01))


def test_one_cycle_is_cosine_annealing():
  steps = np.arange(60)
  one = lrax.warm_restarts(0.3, 40, end_value=0.01, cycles=1)
  # The same weight; the cosine's exponent of 1 is a power, off by an ulp or two.
  np.testing.assert_array_max_ulp(
      evaluate(one, steps),
      evaluate(lrax.cosine_annealing(0.3, 40, 0.01), steps),
      4,
  )


def test_each_cycle_is_cosine_annealing():
  """A join of cosines, each twice as long as the last one."""
  cosines = [lrax.cosine_annealing(0.3, 10 * 2**i, 0.01) for i in range(3)]
  joined = lrax.join(cosines, [10, 30])
  restarts = lrax.warm_restarts(0.3, 10, 2, end_value=0.01)
  steps = np.arange(70)
  # As above.
  np.testing.assert_array_max_ulp(
      evaluate(restarts, steps), evaluate(joined, steps), 4
  )


def test_equals_optax():
  cycles = [
      dict(init_value=0.3 * 0.5**i, decay_steps=10 * 2**i) for i in range(3)
  ]
  parts = [optax.cosine_decay_schedule(**cycle) for cycle in cycles]
  theirs = optax.join_schedules(parts, [10, 30])
  steps = np.array([0, 1, 9, 10, 11, 29, 30, 31, 69])
  np.testing.assert_allclose(
      evaluate(lrax.warm_restarts(0.3, 10, 2, peak_decay=0.5), steps),
      [theirs(int(t)) for t in steps],
      rtol=1e-6,
      atol=0.3 * 2.0**-24,  # Optax's 1 + cos cancels near the end of a cycle
  )


# torch 2.13.0: CosineAnnealingWarmRestarts(SGD(lr=0.3), T_0=4, T_mult,
# eta_min=0.01), by T_mult.
TORCH = {
    1: {
        0: 0.3,
        1: 0.25753048327204936,
        2: 0.155,
        3: 0.05246951672795062,
        4: 0.3,
        5: 0.25753048327204936,
        11: 0.05246951672795062,
        12: 0.3,
        53: 0.25753048327204936,
    },
    2: {
        3: 0.05246951672795062,
        4: 0.3,
        5: 0.2889625322141366,
        11: 0.02103746778586342,
        12: 0.3,
        13: 0.2972138656584684,
        15: 0.27556309378386906,
        27: 0.012786134341531587,
        28: 0.3,
        29: 0.29930178536746854,
        53: 0.042913484262403136,
    },
    3: {
        3: 0.05246951672795062,
        4: 0.3,
        5: 0.29505924481191487,
        11: 0.11747123846013449,
        15: 0.01494075518808511,
        16: 0.3,
        17: 0.2994482312233031,
        29: 0.21627964795240143,
        51: 0.010551768776696896,
        52: 0.3,
        53: 0.2999386577619191,
    },
}


@pytest.mark.parametrize('growth', TORCH)
def test_equals_torch(growth):
  steps, rates = zip(*TORCH[growth].items())
  np.testing.assert_array_max_ulp(
      evaluate(lrax.warm_restarts(0.3, 4, growth, end_value=0.01), steps),
      np.array(rates, np.float32),
      MAX_ULP,
  )


def test_restarts_where_torch_does_not():
  """The fifth restart of 1, 3, 9, …: 1 + 3 + 9 + 27 + 81 = 121.

  torch 2.13.0, CosineAnnealingWarmRestarts(SGD(lr=1.0), T_0=1, T_mult=3) with
  step(121), finds the cycle by a logarithm and gives 0, as if at the end of the
  fifth cycle; at step 122 it gives 0.9999582149277186.
  """
  policy = lrax.warm_restarts(1.0, cycle_steps=1, cycle_growth=3)
  before, restart, after = evaluate(policy, [120, 121, 122])
  assert restart == 1.0
  # MAX_ULP of 2**-23, next to torch's double precision.
  np.testing.assert_allclose(after, 0.9999582149277186, rtol=1e-6)
  np.testing.assert_allclose(before, 0.0003760237478849793, rtol=1e-6)
