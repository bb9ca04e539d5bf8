"""`cosine_annealing`: half a cosine, SGDR's equation 5 for one cycle."""

from fractions import Fraction

import numpy as np
import optax
import pytest

import lrax

W, T = 5, 40
STEPS = np.array([0, 1, W - 1, W, W + 1, T - 1, T, T + 1, 10 * T])
# The share has up to three roundings, its half circle one, sin one more, and
# squaring doubles them; then come the products and their sum. Measured over
# 3,000 random steps at each length and pair of rates: at most 6.8 ulp.
MAX_ULP = 8


def formula(init_value, end_value, steps, step, exponent=1.0):
  """The paper's formula as it stands, in float64."""
  share = np.minimum(step, steps) / steps
  weight = ((1 + np.cos(np.pi * share)) / 2) ** exponent
  return end_value + (init_value - end_value) * weight


def precise(init_value, end_value, steps, step):
  """The same in float64 where 1 + cos cancels: from the shares of the steps.

  (1 + cos(pi x)) / 2 = sin(pi (1 - x) / 2)**2, and the weight of the end is
  sin(pi x / 2)**2; both shares are fractions rounded once.
  """
  done = np.array([float(Fraction(int(t), steps)) for t in step])
  left = np.array([float(Fraction(steps - int(t), steps)) for t in step])
  weight = lambda share: np.sin(np.pi / 2 * share) ** 2
  return init_value * weight(left) + end_value * weight(done)


@pytest.mark.parametrize('init_value, end_value', [(0.3, 0.0), (0.3, 0.01)])
@pytest.mark.parametrize('exponent', [0.5, 1.0, 2.0])
def test_formula(init_value, end_value, exponent):
  # Near the end 1 + cos cancels in the formula: 1e-16 of absolute error, next
  # to a rate of 0. An exponent multiplies the relative error.
  np.testing.assert_allclose(
      lrax.cosine_annealing(init_value, T, end_value, exponent)(STEPS),
      formula(init_value, end_value, T, STEPS, exponent),
      rtol=MAX_ULP * max(1, exponent) * 2.0**-23,
      atol=1e-8,
  )


def test_ends_are_exact():
  policy = lrax.cosine_annealing(0.3, steps=T, end_value=0.01)
  assert policy(0) == np.float32(0.3)
  assert policy(T) == policy(T + 1) == policy(2**31 - 1) == np.float32(0.01)
  assert lrax.cosine_annealing(0.3, steps=T)(T) == 0


@pytest.mark.parametrize('steps', [10**8, 2**31 - 1])
@pytest.mark.parametrize(
    'init_value, end_value', [(0.3, 0.0), (0.3, 0.01), (1e-3, 1e-5)]
)
def test_accuracy_over_long_runs(init_value, end_value, steps):
  at = np.random.default_rng(0).integers(0, steps, 506)
  at = np.concatenate([at, [0, 1, steps // 2, steps - 2, steps - 1, steps]])
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cosine_annealing(init_value, steps, end_value)(at)),
      precise(init_value, end_value, steps, at).astype(np.float32),
      MAX_ULP,
  )


@pytest.mark.parametrize('exponent', [0.5, 2.0])
@pytest.mark.parametrize('steps', [1000, 10**8])
def test_accuracy_of_a_bent_cosine(steps, exponent):
  at = np.random.default_rng(0).integers(0, steps, 506)
  at = np.concatenate([at, [0, 1, steps // 2, steps - 2, steps - 1, steps]])
  weight = precise(1.0, 0.0, steps, at) ** exponent
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cosine_annealing(0.3, steps, 0.001, exponent)(at)),
      (0.3 * weight + 0.001 * (1 - weight)).astype(np.float32),
      # The exponent multiplies the error of the cosine; measured: at most 11.6
      # for an exponent of 2.
      MAX_ULP * max(1, exponent),
  )


@pytest.mark.parametrize('steps', [1000, 10**8])
def test_accuracy_on_the_way_up(steps):
  """A cosine up from 0, as a warmup takes, starts as precisely as one ends."""
  at = np.array([1, 2, 3, 5, 10, steps // 100, steps // 3, steps // 2, steps - 1])
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cosine_annealing(0.0, steps, end_value=0.3)(at)),
      precise(0.0, 0.3, steps, at).astype(np.float32),
      MAX_ULP,
  )


def test_accuracy_in_float64(x64):
  steps = 2**31 - 1
  at = np.random.default_rng(1).integers(0, steps, 512)
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cosine_annealing(0.3, steps, 0.01)(at)),
      precise(0.3, 0.01, steps, at),
      2 * MAX_ULP,  # the truth is computed in float64 too
  )


def test_is_symmetric_about_its_middle():
  policy = lrax.cosine_annealing(0.3, steps=T, end_value=0.01)
  rates = np.asarray(policy(np.arange(512)))[: T + 1]
  # Each rate has at most MAX_ULP ulps of 2**-25, the spacing up to 0.5.
  np.testing.assert_allclose(
      rates + rates[::-1], 0.31, rtol=0, atol=MAX_ULP * 2.0**-24
  )


def test_of_no_length_is_at_its_end():
  policy = lrax.cosine_annealing(0.3, steps=0, end_value=0.01)
  assert policy(0) == policy(1) == np.float32(0.01)


@pytest.mark.parametrize('exponent', [0.5, 1.0, 2.0])
def test_equals_optax(exponent):
  theirs = optax.cosine_decay_schedule(0.25, T, alpha=0.125, exponent=exponent)
  np.testing.assert_allclose(
      lrax.cosine_annealing(0.25, T, 0.03125, exponent)(STEPS),
      [theirs(int(t)) for t in STEPS],
      # Optax's 1 + cos is off by an ulp of 1 where it is small, and a root of
      # that is larger; its rate is at least 0.03.
      rtol=4e-6,
  )


# torch 2.13.0: CosineAnnealingLR(SGD(lr=0.3), T_max=12, eta_min=0.01), up to
# T_max; after it torch rises again.
TORCH = {
    0: 0.3,
    1: 0.29505924481191487,
    3: 0.25753048327204936,
    4: 0.22749999999999998,
    5: 0.1925287615398655,
    6: 0.155,
    10: 0.029426316451256387,
    11: 0.01494075518808511,
    12: 0.01,
}


def test_equals_torch_up_to_the_end():
  np.testing.assert_array_max_ulp(
      np.asarray(lrax.cosine_annealing(0.3, 12, 0.01)(np.arange(512)))[list(TORCH)],
      np.array(list(TORCH.values()), np.float32),
      MAX_ULP,
  )
