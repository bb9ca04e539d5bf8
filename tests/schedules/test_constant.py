"""`constant`: rate = value."""

import numpy as np
import optax
import pytest

import lrax

STEPS = np.array([0, 1, 4, 5, 6, 39, 40, 41, 400])


@pytest.mark.parametrize('value', [0.0, 1e-7, 0.1, 1.0, 3.0, 1e30])
def test_is_its_value_rounded_once(value):
  np.testing.assert_array_equal(lrax.constant(value)(STEPS), np.float32(value))


def test_is_its_value_in_float64(x64):
  assert float(lrax.constant(0.1)(2**31 - 1)) == 0.1


def test_equals_optax():
  ours, theirs = lrax.constant(0.1), optax.constant_schedule(0.1)
  assert all(ours(int(t)) == np.float32(theirs(int(t))) for t in STEPS)


def test_is_what_an_optimizer_makes_of_a_number():
  assert lrax.schedules.as_schedule(0.1) == lrax.constant(0.1)


def test_a_rate_past_float32_is_refused_or_harmless():
  """As infinity it would make NaN of a gradient of zero."""
  try:
    policy = lrax.constant(1e39)
  except ValueError:
    return
  updates, _ = policy.update(np.zeros(1, np.float32), policy.init())
  assert updates[0] == 0
