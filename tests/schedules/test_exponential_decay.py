"""`exponential_decay`: max(end, init * decay_rate ** (step / decay_steps))."""

from fractions import Fraction
import math

import numpy as np
import optax
import pytest

import lrax

W, T = 5, 40
STEPS = np.array([0, 1, W - 1, W, W + 1, T - 1, T, T + 1, 10 * T])


def formula(init_value, decay_rate, decay_steps, step, staircase=False):
  """Float64, from an exponent that is an exact fraction rounded once."""
  exponent = np.array([float(Fraction(int(t), decay_steps)) for t in step])
  if staircase:
    exponent = np.floor(exponent)
  return init_value * np.exp(exponent * math.log(decay_rate))


# Ulps by how far the rate has gone, in units of e. A base far from 1 is rounded
# to float32, an error of up to 2**-25 for each factor; a base near 1 has its
# logarithm in double precision, but the exponent times it is rounded, an error
# of 2**-24 for each unit of e. Measured at 3,000 random steps, in the order of
# the table: at most 2, 2, 7.9, 5.9, 9.7, 3.1 and 27.6 ulp.
@pytest.mark.parametrize(
    'decay_rate, decay_steps, decades, max_ulp',
    [
        (0.5, 10**8, 6, 3),
        (0.5, 2**30, 6, 3),
        (0.1, 10**8, 21, 10),
        (0.96, 10**6, 3, 8),
        (1 - 1e-6, 1, 3, 12),
        (1 - 1e-9, 1, 1, 4),
        (0.9, 10**7, 3, 32),
    ],
)
@pytest.mark.parametrize('staircase', [False, True])
def test_accuracy_over_long_runs(
    decay_rate, decay_steps, decades, max_ulp, staircase
):
  length = decades * math.log(10) / -math.log(decay_rate) * decay_steps
  last = min(2**31 - 1, int(length))
  near = [0, 1, decay_steps - 1, decay_steps, decay_steps + 1, last - 1, last]
  at = np.random.default_rng(0).integers(0, last, 512)
  at[: len(near)] = np.minimum(near, last)
  policy = lrax.exponential_decay(0.3, decay_rate, decay_steps, staircase)
  np.testing.assert_array_max_ulp(
      np.asarray(policy(at)),
      formula(0.3, decay_rate, decay_steps, at, staircase).astype(np.float32),
      max_ulp,
  )


@pytest.mark.parametrize('staircase', [False, True])
@pytest.mark.parametrize('decay_rate', [0.5, 0.97, 1.0, 1.1])
def test_formula(decay_rate, staircase):
  policy = lrax.exponential_decay(0.3, decay_rate, W, staircase)
  # As above: at 10 T the rate 1.1 has 80 factors, with 2**-25 of error each.
  np.testing.assert_allclose(
      policy(STEPS), formula(0.3, decay_rate, W, STEPS, staircase), rtol=4e-6
  )


def test_never_falls_below_the_floor():
  policy = lrax.exponential_decay(0.3, 0.5, W, end_value=0.01)
  rates = formula(0.3, 0.5, W, STEPS)
  np.testing.assert_allclose(policy(STEPS), np.maximum(rates, 0.01), rtol=1e-6)
  assert policy(10 * T) == np.float32(0.01)


def test_the_floor_is_a_floor_where_the_rate_grows_too():
  policy = lrax.exponential_decay(0.01, 2.0, 10, end_value=0.02)
  assert policy(0) == np.float32(0.02)
  assert policy(10) == np.float32(0.02)
  assert policy(20) == np.float32(0.04)


def test_stairs_drop_on_the_step():
  """Whole powers of 0.5 are exact, on either side of every drop."""
  policy = lrax.exponential_decay(1.0, 0.5, 10**7, staircase=True)
  drops = np.arange(1, 100)
  np.testing.assert_array_equal(policy(drops * 10**7), 0.5**drops)
  np.testing.assert_array_equal(policy(drops * 10**7 - 1), 0.5 ** (drops - 1))


def test_ratios_depend_on_the_distance_only():
  policy = lrax.exponential_decay(1.0, 0.7, 13)
  rates = np.asarray(policy(np.arange(512)))
  near, far = rates[:50], rates[50:100]
  # r(t + 50) = r(t) r(50): three rates with an error of at most 8 factors.
  np.testing.assert_allclose(far, near * far[0], rtol=2e-6)


@pytest.mark.parametrize('staircase', [False, True])
def test_equals_optax(staircase):
  theirs = optax.exponential_decay(
      0.3, W, 0.8, staircase=staircase, end_value=0.01
  )
  np.testing.assert_allclose(
      lrax.exponential_decay(0.3, 0.8, W, staircase, 0.01)(STEPS),
      [theirs(int(t)) for t in STEPS],
      # Optax has one power where this has two: up to 16 factors of 0.8, with
      # 2**-25 of error each, before the floor.
      rtol=2e-6,
  )


# torch 2.13.0: ExponentialLR(SGD(lr=0.3), gamma=0.9).
TORCH = {
    0: 0.3,
    1: 0.27,
    3: 0.21870000000000003,
    4: 0.19683000000000003,
    5: 0.17714700000000003,
    11: 0.09414317882700003,
    12: 0.08472886094430003,
    13: 0.07625597484987003,
    60: 0.0005391030899743299,
}


def test_equals_torch():
  policy = lrax.exponential_decay(0.3, decay_rate=0.9, decay_steps=1)
  # 60 factors with 2**-25 of error each.
  np.testing.assert_allclose(
      policy(np.arange(512))[np.array(list(TORCH))], list(TORCH.values()), rtol=2e-6
  )
