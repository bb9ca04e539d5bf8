"""`step_decay`: init * decay_rate ** floor(step / decay_steps)."""

import numpy as np
import optax
import pytest

import lrax

W, T = 5, 40
STEPS = np.array([0, 1, W - 1, W, W + 1, T - 1, T, T + 1, 10 * T])


@pytest.mark.parametrize('decay_rate', [0.1, 0.5, 0.95, 1.0, 1.05])
@pytest.mark.parametrize('decay_steps', [1, W, T])
def test_formula(decay_rate, decay_steps):
  steps = STEPS[:-1] if decay_steps == 1 else STEPS
  drops = steps // decay_steps
  np.testing.assert_allclose(
      lrax.step_decay(0.3, decay_rate, decay_steps)(steps),
      0.3 * np.float64(decay_rate) ** drops,
      # Up to 80 factors, each with up to 2**-25 of error in float32.
      rtol=4e-6,
      # 0.1 ** 41 and 0.1 ** 80 are below the smallest float32.
      atol=1e-38,
  )


def test_powers_of_a_half_are_exact():
  policy = lrax.step_decay(1.0, 0.5, W)
  np.testing.assert_array_equal(policy(STEPS), 0.5 ** (STEPS // W))


@pytest.mark.parametrize('decay_steps', [1_000_003, 2**24 + 1, 10**8, 2**30])
def test_drops_on_the_step_over_long_runs(decay_steps):
  """Whole numbers that float32 does not hold still divide exactly."""
  drops = np.arange(1, min(120, (2**31 - 1) // decay_steps) + 1)
  policy = lrax.step_decay(1.0, 0.5, decay_steps)
  np.testing.assert_array_equal(policy(drops * decay_steps), 0.5**drops)
  np.testing.assert_array_equal(
      policy(drops * decay_steps - 1), 0.5 ** (drops - 1)
  )


def test_equals_the_staircase():
  stairs = lrax.exponential_decay(0.3, 0.7, W, staircase=True)
  np.testing.assert_array_equal(
      lrax.step_decay(0.3, 0.7, W)(STEPS), stairs(STEPS)
  )


def test_equals_optax():
  theirs = optax.exponential_decay(0.3, W, 0.7, staircase=True)
  np.testing.assert_allclose(
      lrax.step_decay(0.3, 0.7, W)(STEPS),
      [theirs(int(t)) for t in STEPS],
      # Optax takes powers of the float32 next to 0.7, up to 80 of them, each with
      # up to 2**-25 of error.
      rtol=80 * 2.0**-25,
      atol=1e-38,
  )


# torch 2.13.0: StepLR(SGD(lr=0.3), step_size=4, gamma).
TORCH = {
    0.5: {
        0: 0.3, 1: 0.3, 3: 0.3, 4: 0.15, 5: 0.15, 7: 0.15, 8: 0.075,
        11: 0.075, 12: 0.0375, 13: 0.0375, 40: 0.00029296875,
    },
    0.1: {
        0: 0.3, 1: 0.3, 3: 0.3, 4: 0.03, 5: 0.03, 7: 0.03, 8: 0.003,
        11: 0.003, 12: 0.00030000000000000003, 13: 0.00030000000000000003,
        40: 3.000000000000002e-11,
    },
}


@pytest.mark.parametrize('gamma', TORCH)
def test_equals_torch(gamma):
  steps, rates = zip(*TORCH[gamma].items())
  # Up to 10 factors of 0.1, each with up to 2**-25 of error in float32.
  ours = np.asarray(lrax.step_decay(0.3, gamma, decay_steps=4)(np.arange(512)))
  np.testing.assert_allclose(ours[list(steps)], rates, rtol=1e-6)
