"""Rates near the ends of long phases, where a share is all but 0 or 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

# Ordinary lengths, and those beyond what a float32 counts.
LENGTHS = [1, 1000, 20_000, 2**27, 2**29]
POWERS = [0.05, 0.125, 1 / 3, 0.7, 1.0, 1.3, 2.0, 7.5]
RATES = [(0.0, 1.0), (1.0, 0.0), (0.1, 0.7)]
# Powers below and above 1, of which with all numbers known each needs a program.
COMPILED = [(0.05, RATES[0]), (1.3, RATES[1]), (0.05, RATES[2])]

needs_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason='longdouble is no wider here'
)


def ends(steps):
  """Steps at both ends of a phase."""
  return sorted({0, 1, max(steps - 2, 0), steps - 1, steps})


def cosine(low, high, power, steps):
  return lrax.cosine_annealing(low, steps, high, power)


def polynomial(low, high, power, steps):
  return lrax.polynomial_decay(low, high, power, steps)


def cut(low, high, power, steps):
  return lrax.k_decay(low, steps, power, 'polynomial', end_value=high)


def left_of(name, power, steps, step):
  """The share of the way that is left, from the formulas, in longdouble."""
  done, left = np.longdouble(step) / steps, np.longdouble(steps - step) / steps
  power = np.longdouble(power)
  if name == 'cosine':
    return np.sin(left * np.pi.as_integer_ratio()[0] / np.longdouble(
        np.pi.as_integer_ratio()[1]) / 2) ** (2 * power)
  if name == 'polynomial':
    return left**power
  if done < left:
    return 1 - done**power
  return -np.expm1(power * np.log1p(-left))


KINDS = {'cosine': cosine, 'polynomial': polynomial, 'cut': cut}


@needs_longdouble
@pytest.mark.parametrize('steps', LENGTHS)
@pytest.mark.parametrize('name', KINDS)
def test_rates_are_right_known_compiled_and_traced(name, steps):
  """Upwards and downwards; two roundings where everything is traced."""
  traced = jax.jit(lambda *args: KINDS[name](*args, steps)(np.array(ends(steps))))
  for power in POWERS:
    for low, high in RATES:
      policy = KINDS[name](low, high, power, steps)
      steps_in = np.array(ends(steps), np.int32)
      found = [traced(low, high, power), policy(steps_in)]
      if (power, (low, high)) in COMPILED:
        found.append(jax.jit(policy.value)(steps_in))
      left = np.array([left_of(name, power, steps, t) for t in ends(steps)])
      truth = high + (np.longdouble(low) - high) * left
      for rates, tolerance in zip(found, (2.0**-17, 2.0**-23, 2.0**-23)):
        # Relative to the larger rate: a rise from 0 is 1 - left there.
        np.testing.assert_allclose(
            np.asarray(rates, np.longdouble), truth, rtol=0,
            atol=tolerance * max(low, high), err_msg=f'{policy} at {ends(steps)}',
        )
        assert (np.asarray(rates) >= np.float32(min(low, high))).all(), policy
        assert (np.asarray(rates) <= np.float32(max(low, high))).all(), policy


@pytest.mark.parametrize('steps', LENGTHS)
@pytest.mark.parametrize('name', KINDS)
def test_slopes_are_finite_at_the_ends(name, steps):
  """By one hyperparameter alone, and by all three at once."""
  at = jnp.array(ends(steps))
  total = lambda low, high, power: KINDS[name](low, high, power, steps)(at).sum()
  for by in (0, 1, 2, (0, 1, 2)):
    grad = jax.jit(jax.grad(total, by))
    for power in POWERS:
      for low, high in RATES:
        arguments = (low, high, power)
        slopes = grad(*arguments)
        assert np.isfinite(slopes).all(), (arguments, by, slopes)


def test_no_length_and_an_odd_power_compile_in_peace(capfd):
  """XLA's simplifier went in a circle, and said so."""
  policy = lrax.cosine_annealing(0.1, steps=0, exponent=0.7)
  assert jax.jit(policy.value)(np.arange(6, dtype=np.int32)).tolist() == [0.0] * 6
  assert 'circular' not in capfd.readouterr().err
