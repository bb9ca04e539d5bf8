"""`cyclical`: Smith's triangles, of one height or falling."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

LAST = 2**31 - 1
UP, DOWN = 5, 35
T = UP + DOWN
STEPS = np.array([0, 1, UP - 1, UP, UP + 1, T - 1, T, T + 1, 10 * T])
# Three roundings in the share and three more after it. Measured at 3,000 random
# steps for each pair of lengths: at most 2.6 ulp, and 4.5 in 'exp_range'.
MAX_ULP = 3


def formula(lo, hi, up, down, step, height=lambda cycle, step: 1.0):
  """The triangle at each step in exact fractions, rounded to float64."""
  rates = []
  for t in map(int, step):
    cycle, local = divmod(t, up + down)
    if local < up:
      share = Fraction(local, up)
    else:
      share = Fraction(up + down - local, down)
    rates.append(lo + (hi - lo) * float(share) * height(cycle, t))
  return np.array(rates, np.float64)


HEIGHTS = {
    'triangular': lambda cycle, step: 1.0,
    'triangular2': lambda cycle, step: 0.5**cycle,
    'exp_range': lambda cycle, step: 0.99**step,
}


@pytest.mark.parametrize('mode', HEIGHTS)
@pytest.mark.parametrize('lo, hi', [(0.01, 0.3), (0.0, 0.3)])
def test_formula(lo, hi, mode):
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cyclical(lo, hi, UP, DOWN, mode, 0.99)(STEPS)),
      formula(lo, hi, UP, DOWN, STEPS, HEIGHTS[mode]).astype(np.float32),
      # 0.99 ** 400 is exp(-4.02): its argument is off by 3 ulps of 2**-22.
      9 if mode == 'exp_range' else MAX_ULP,
  )


def test_down_is_as_long_as_up_where_it_is_not_given():
  steps = np.arange(512)
  np.testing.assert_array_equal(
      lrax.cyclical(0.01, 0.3, 7)(steps), lrax.cyclical(0.01, 0.3, 7, 7)(steps)
  )


@pytest.mark.parametrize('lo, hi', [(0.01, 0.3), (0.0, 0.1), (0.3, 0.01), (1.0, 1e-3)])
def test_reaches_both_bounds(lo, hi):
  """On the step, in every cycle; downwards first where the bounds say so."""
  policy = lrax.cyclical(lo, hi, UP, DOWN)
  cycles = np.arange(512) * T
  np.testing.assert_array_equal(policy(cycles), np.float32(lo))
  # The peak is a sum of two numbers, each rounded once to float32.
  np.testing.assert_array_max_ulp(
      np.asarray(policy(cycles + UP)), np.full(512, hi, np.float32), 1
  )


@pytest.mark.parametrize(
    'up, down', [(10**8, 3 * 10**7), (1000, 2000), (2**30, 2**30 - 1)]
)
@pytest.mark.parametrize('lo, hi', [(0.01, 0.3), (0.0, 0.3)])
def test_accuracy_over_long_runs(lo, hi, up, down):
  at = np.random.default_rng(0).integers(0, LAST, 504)
  near = [0, 1, up - 1, up, up + 1, up + down - 1, LAST - 1, LAST]
  at = np.concatenate([at, near])
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cyclical(lo, hi, up, down)(at)),
      formula(lo, hi, up, down, at).astype(np.float32),
      MAX_ULP,
  )


def test_exp_range_over_long_runs():
  at = np.random.default_rng(0).integers(0, LAST, 512)
  rate = 1 - 1e-9
  height = lambda cycle, step: np.exp(step * np.log(rate))
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cyclical(0.0, 0.3, 10**8, 10**7, 'exp_range', rate)(at)),
      formula(0.0, 0.3, 10**8, 10**7, at, height).astype(np.float32),
      # The exponent is off by 3 roundings of 2**-24 of it, and it is 2.1 at most.
      8,
  )


def test_triangular2_halves_each_peak():
  policy = lrax.cyclical(0.0, 1.0, UP, DOWN, mode='triangular2')
  cycles = np.resize(np.arange(100), 512)
  # Powers of a half are exact.
  np.testing.assert_array_equal(policy(cycles * T + UP), 0.5**cycles)
  np.testing.assert_array_equal(policy(cycles * T), 0.0)


def test_a_side_of_no_length_vanishes():
  saw = lrax.cyclical(0.25, 1.25, up_steps=4, down_steps=0)
  np.testing.assert_array_equal(
      saw(np.arange(9)), [0.25, 0.5, 0.75, 1.0] * 2 + [0.25]
  )
  drop = lrax.cyclical(0.25, 1.25, up_steps=0, down_steps=4)
  np.testing.assert_array_equal(
      drop(np.arange(9)), [1.25, 1.0, 0.75, 0.5] * 2 + [1.25]
  )


def test_traced_sides_of_no_length():
  rates = lambda u, d: lrax.cyclical(0.25, 1.25, u, d)(np.arange(5))
  mapped = jax.jit(jax.vmap(rates))(jnp.array([4, 0, 2]), jnp.array([0, 4, 2]))
  np.testing.assert_array_equal(
      mapped,
      [
          [0.25, 0.5, 0.75, 1.0, 0.25],
          [1.25, 1.0, 0.75, 0.5, 1.25],
          [0.25, 0.75, 1.25, 0.75, 0.25],
      ],
  )


@pytest.mark.parametrize('mode', HEIGHTS)
def test_gradients_are_finite_in_every_mode(mode):
  rates = lambda x: lrax.cyclical(x[0], x[1], UP, DOWN, mode, x[2])(STEPS)
  gradients = jax.jit(jax.jacrev(rates))(jnp.array([0.01, 0.3, 0.99]))
  assert np.all(np.isfinite(gradients))
  assert np.any(gradients[:, 2] != 0) == (mode == 'exp_range')


# torch 2.13.0: CyclicLR(SGD, 0.01, 0.3, step_size_up=4, step_size_down=3, mode,
# gamma=0.9, cycle_momentum=False), by mode.
TORCH = {
    'triangular': {
        0: 0.01,
        1: 0.08249999999999996,
        3: 0.22750000000000004,
        4: 0.3,
        5: 0.20333333333333323,
        6: 0.1066666666666666,
        7: 0.01,
        8: 0.08249999999999996,
        11: 0.2999999999999999,
        12: 0.20333333333333323,
        13: 0.1066666666666666,
        18: 0.2999999999999998,
        70: 0.01,
    },
    'triangular2': {
        0: 0.01,
        1: 0.08249999999999996,
        3: 0.22750000000000004,
        4: 0.3,
        6: 0.1066666666666666,
        7: 0.01,
        8: 0.046249999999999986,
        10: 0.11875000000000005,
        11: 0.15499999999999994,
        12: 0.1066666666666666,
        13: 0.058333333333333307,
        15: 0.02812499999999999,
        18: 0.08249999999999995,
        70: 0.01,
    },
    'exp_range': {
        0: 0.01,
        1: 0.07524999999999997,
        3: 0.16855750000000005,
        4: 0.200269,
        5: 0.12416139999999994,
        6: 0.06137262999999998,
        7: 0.01,
        8: 0.04120887272499999,
        10: 0.08583756072175006,
        11: 0.10100507286609997,
        12: 0.06460304371965998,
        13: 0.03457136967384699,
        15: 0.024927107076862052,
        18: 0.053527444236129734,
        70: 0.01,
    },
}


@pytest.mark.parametrize('mode', TORCH)
def test_equals_torch(mode):
  steps, rates = zip(*TORCH[mode].items())
  np.testing.assert_allclose(
      lrax.cyclical(0.01, 0.3, 4, 3, mode, 0.9)(np.arange(512))[np.array(steps)],
      rates,
      # MAX_ULP, torch's own rounding of 1e-15, and up to 18 factors of 0.9 with
      # 2**-25 of error each.
      rtol=1e-6,
  )
