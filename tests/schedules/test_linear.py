"""`linear`: rate = init_value + (end_value - init_value) * step / steps."""

from fractions import Fraction

import numpy as np
import optax
import pytest

import lrax

W, T = 5, 40
STEPS = np.array([0, 1, W - 1, W, W + 1, T - 1, T, T + 1, 10 * T])
# A rate has at most three roundings in each share and three more in the sum of
# products, each of half an ulp; measured over 3,000 random steps at each length
# and pair of rates here: at most 2.8 ulp of the float64 truth.
MAX_ULP = 3


def formula(init_value, end_value, steps, step):
  """The line at each step, in exact fractions, rounded once to float64."""
  first, last = Fraction(init_value), Fraction(end_value)
  return np.array([
      float(first + (last - first) * Fraction(min(int(t), steps), steps))
      for t in step
  ])


@pytest.mark.parametrize('init_value, end_value', [(0.3, 0.01), (0.0, 0.3)])
def test_formula(init_value, end_value):
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.linear(init_value, end_value, T)(STEPS)),
      formula(init_value, end_value, T, STEPS).astype(np.float32),
      MAX_ULP,
  )


def test_ends_are_exact():
  policy = lrax.linear(0.3, 0.01, steps=T)
  assert policy(0) == np.float32(0.3)
  assert policy(T) == policy(T + 1) == policy(2**31 - 1) == np.float32(0.01)


@pytest.mark.parametrize('steps', [10**8, 2**31 - 1])
@pytest.mark.parametrize(
    'init_value, end_value', [(0.3, 0.0), (0.3, 0.01), (1e-3, 1e-5), (0.0, 0.3)]
)
def test_accuracy_over_long_runs(init_value, end_value, steps):
  at = np.random.default_rng(0).integers(0, steps, 506)
  at = np.concatenate([at, [0, 1, steps // 2, steps - 2, steps - 1, steps]])
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.linear(init_value, end_value, steps)(at)),
      formula(init_value, end_value, steps, at).astype(np.float32),
      MAX_ULP,
  )


def test_accuracy_in_float64(x64):
  steps = 2**31 - 1
  at = np.random.default_rng(1).integers(0, steps, 512)
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.linear(0.3, 0.01, steps)(at)),
      formula(0.3, 0.01, steps, at),
      MAX_ULP,
  )


def test_the_last_steps_of_a_long_run_are_all_different():
  """Differences come first: `1 - step / steps` would be 0 for 64 steps here."""
  steps = 2**31 - 1
  at = np.arange(steps - 1000, steps + 1)
  rates = np.asarray(lrax.linear(1.0, 0.0, steps)(at))
  assert np.all(np.diff(rates) < 0) and rates[-1] == 0


def test_up_and_down_add_up():
  both = lrax.linear(0.3, 0.01, T)(STEPS) + lrax.linear(0.01, 0.3, T)(STEPS)
  # Two rates of at most 3 ulp (2**-24 of 0.31 each at most) and their sum.
  np.testing.assert_allclose(both, 0.31, rtol=1e-6)


def test_of_no_length_is_at_its_end():
  policy = lrax.linear(0.3, 0.01, steps=0)
  assert policy(0) == policy(1) == np.float32(0.01)


def test_equals_optax():
  theirs = optax.linear_schedule(0.3, 0.01, T)
  np.testing.assert_allclose(
      lrax.linear(0.3, 0.01, T)(STEPS),
      [theirs(int(t)) for t in STEPS],
      # Optax divides first: an ulp of 0.3 where the rate is 0.01.
      rtol=1e-6,
      atol=2.0**-24,
  )


# torch 2.13.0: LinearLR(SGD(lr=0.3), start_factor=1, end_factor=0.1,
# total_iters=12).
TORCH = {
    0: 0.3,
    1: 0.2775,
    3: 0.2325,
    4: 0.21,
    5: 0.1875,
    11: 0.052500000000000005,
    12: 0.030000000000000002,
    13: 0.030000000000000002,
    20: 0.030000000000000002,
}


def test_equals_torch():
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.linear(0.3, 0.03, 12)(np.arange(512)))[list(TORCH)],
      np.array(list(TORCH.values()), np.float32),
      MAX_ULP,
  )
