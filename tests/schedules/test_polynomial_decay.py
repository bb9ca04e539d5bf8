"""`polynomial_decay`: end + (init - end) * (1 - step / steps) ** power."""

from fractions import Fraction

import numpy as np
import optax
import pytest

import lrax

W, T = 5, 40
STEPS = np.array([0, 1, W - 1, W, W + 1, T - 1, T, T + 1, 10 * T])
# Three roundings in the share, which a power of 2 doubles, and those of pow,
# the products and the sum. Measured over 3,000 random steps at each length and
# pair of rates: at most 4.2 ulp for a power of 2, and 5.7 for 3.
MAX_ULP = 6


def formula(init_value, end_value, power, steps, step):
  """Float64, from shares that are exact fractions rounded once."""
  left = np.array(
      [float(Fraction(max(0, steps - int(t)), steps)) for t in step]
  )
  return end_value + (init_value - end_value) * left**power


@pytest.mark.parametrize('power', [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize('init_value, end_value', [(0.3, 0.0), (0.3, 0.01)])
def test_formula(init_value, end_value, power):
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.polynomial_decay(init_value, end_value, power, T)(STEPS)),
      formula(init_value, end_value, power, T, STEPS).astype(np.float32),
      MAX_ULP,
  )


def test_ends_are_exact():
  policy = lrax.polynomial_decay(0.3, 0.01, power=2.0, steps=T)
  assert policy(0) == np.float32(0.3)
  assert policy(T) == policy(T + 1) == policy(2**31 - 1) == np.float32(0.01)


@pytest.mark.parametrize('power', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('steps', [10**8, 2**31 - 1])
@pytest.mark.parametrize(
    'init_value, end_value', [(0.3, 0.0), (0.3, 0.01), (1e-3, 1e-5)]
)
def test_accuracy_over_long_runs(init_value, end_value, steps, power):
  at = np.random.default_rng(0).integers(0, steps, 506)
  at = np.concatenate([at, [0, 1, steps // 2, steps - 2, steps - 1, steps]])
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.polynomial_decay(init_value, end_value, power, steps)(at)),
      formula(init_value, end_value, power, steps, at).astype(np.float32),
      MAX_ULP,
  )


@pytest.mark.parametrize('steps', [1000, 10**8])
def test_accuracy_on_the_way_up(steps):
  """From 0 up: 1 - (1 - x)**2 = x (2 - x), at small shares x too."""
  at = np.array([1, 2, 3, 5, 10, steps // 100, steps // 3, steps // 2, steps - 1])
  share = at / steps
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.polynomial_decay(0.0, 0.3, 2.0, steps)(at)),
      (0.3 * share * (2 - share)).astype(np.float32),
      MAX_ULP,
  )


def test_accuracy_in_float64(x64):
  steps = 2**31 - 1
  at = np.random.default_rng(1).integers(0, steps, 512)
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.polynomial_decay(0.3, 0.01, 2.0, steps)(at)),
      formula(0.3, 0.01, 2.0, steps, at),
      2 * MAX_ULP,  # the truth is computed in float64 too
  )


def test_power_1_is_linear():
  # Two ways to add the same two products, with at most MAX_ULP each.
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.polynomial_decay(0.3, 0.01, 1.0, T)(STEPS)),
      np.asarray(lrax.linear(0.3, 0.01, T)(STEPS)),
      MAX_ULP,
  )


def test_of_no_length_is_at_its_end():
  """Where Optax's stays at `init_value` for ever."""
  policy = lrax.polynomial_decay(0.3, 0.01, power=2.0, steps=0)
  assert policy(0) == policy(1) == np.float32(0.01)


@pytest.mark.parametrize('power', [0.5, 1.0, 2.0])
def test_equals_optax(power):
  theirs = optax.polynomial_schedule(0.3, 0.01, power, T)
  np.testing.assert_allclose(
      lrax.polynomial_decay(0.3, 0.01, power, T)(STEPS),
      [theirs(int(t)) for t in STEPS],
      # Optax's 1 - share is off by an ulp of 1 (2**-24), and at power 0.5 its
      # root at the last step before the end by 3 times that, of 0.3.
      rtol=1e-6,
      atol=2.0**-24,
  )


# torch 2.13.0: PolynomialLR(SGD(lr=0.3), total_iters=12, power=2).
TORCH = {
    0: 0.3,
    1: 0.25208333333333327,
    3: 0.16874999999999996,
    4: 0.1333333333333333,
    5: 0.10208333333333326,
    11: 0.002083333333333334,
    12: 0.0,
    13: 0.0,
    20: 0.0,
}


def test_equals_torch():
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.polynomial_decay(0.3, 0.0, 2.0, 12)(np.arange(512)))[list(TORCH)],
      np.array(list(TORCH.values()), np.float32),
      MAX_ULP,
  )
