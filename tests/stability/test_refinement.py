"""Rates and schedules refined from the gradient norms of a run before."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.stability import last_iterate_bound
from lrax.stability import refined_rates
from lrax.stability import refined_schedule

STEPS = 150


@pytest.fixture(scope='module')
def norms():
  """Norms that fall at first and rise at the end, with noise."""
  at = np.arange(STEPS)
  form = 1 + 5 * np.exp(-at / 10) + np.exp((at - STEPS) / 15)
  return form * np.exp(0.2 * np.random.default_rng(0).normal(size=STEPS))


def _rates_and_slope(norms):
  rates, pull = jax.vjp(lambda n: refined_rates(n, smoothing=0), norms)
  return rates, pull(jnp.arange(6.0).astype(rates.dtype))[0]


TRACED = jax.jit(_rates_and_slope)


def by_hand(norms, smoothing, power):
  """The algorithm with plain sums and medians; pads as the authors' code does."""
  steps = len(norms)
  width = 2 * (int(smoothing * steps) // 2) + 1
  half = width // 2
  mirrored = list(norms) + list(norms[-2::-1])
  smooth = []
  for t in range(steps):
    window = [mirrored[max(0, i)] for i in range(t - half, t + half + 1)]
    smooth.append(sorted(window)[half])
  weights = [value**-power for value in smooth]
  rates = [weights[t] * sum(weights[t + 1 :]) for t in range(steps)]
  return np.asarray(rates) / max(rates)


@pytest.mark.parametrize(
    'smoothing, norm', [(0.0, 'l2'), (0.1, 'l2'), (0.1, 'l1'), (1.0, 'l2')]
)
def test_it_is_the_algorithm(norms, smoothing, norm):
  want = by_hand(norms, smoothing, {'l2': 2, 'l1': 1}[norm])
  found = refined_rates(norms, smoothing=smoothing, norm=norm)
  # Through logarithms below 10 in float64: 1e-15 of 10.
  np.testing.assert_allclose(found, want, rtol=1e-13)
  assert found.max() == 1 and found[-1] == 0
  traced = jax.jit(lambda n: refined_rates(n, smoothing=smoothing, norm=norm))(norms)
  # The same in float32: 6e-8 of 10, some times.
  np.testing.assert_allclose(traced, want, rtol=5e-6, atol=1e-7)


def test_equal_norms_give_linear_decay():
  steps = 11
  rates = refined_rates(np.full(steps, 3.7))
  np.testing.assert_allclose(rates, np.linspace(1, 0, steps), rtol=1e-13, atol=0)


def test_it_beats_linear_decay_by_the_bound(norms):
  told = {'gradient_norm': norms}
  refined = last_iterate_bound(refined_rates(norms, smoothing=0), **told)
  linear = last_iterate_bound(np.arange(STEPS, 0, -1), **told)
  assert refined.best_bound < 0.9 * linear.best_bound


@pytest.mark.parametrize(
    'wide, want',
    [
        # weights 1e-24 five times and 1e18: each rate is 1e-24 * 1e18.
        ([1e12] * 5 + [1e-9], [1, 1, 1, 1, 1, 0]),
        # weights 1e60 three times, then 1e-60: 2e120, 1e120, 3, 2e-120, 1e-120.
        ([1e-30] * 3 + [1e30] * 3, [1, 0.5, 1.5e-120, 1e-240, 5e-241, 0]),
        ([1e-37] * 2 + [1e37] * 4, [1, 0, 0, 0, 0, 0]),
        ([1e37] * 5 + [1e-37], [1, 1, 1, 1, 1, 0]),
    ],
)
def test_no_range_of_norms_is_too_wide(wide, want):
  found = refined_rates(wide, smoothing=0)
  # Logarithms of a few hundred in float64.
  np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-100)
  traced, slope = TRACED(jnp.asarray(wide))
  # Logarithms of up to 350 in float32: 350 * 6e-8, twice.
  np.testing.assert_allclose(traced, want, rtol=5e-5, atol=1e-30)
  assert np.isfinite(slope).all()


def test_it_is_mapped_and_differentiated(norms):
  weights = np.random.default_rng(1).normal(size=12)

  def told(logs):
    return jnp.asarray(weights) @ refined_rates(jnp.exp(logs), smoothing=0.25)

  logs = np.log(np.stack([norms[:12], norms[-12:]]))
  slopes = jax.jit(jax.vmap(jax.grad(told)))(logs)
  for own, slope in zip(logs, slopes):
    for index in (0, 3, 11):
      ends = [own.copy(), own.copy()]
      ends[0][index] += 1e-6
      ends[1][index] -= 1e-6
      high, low = (weights @ by_hand(np.exp(end), 0.25, 2) for end in ends)
      # Differences are right to 1e-9; what is left is float32.
      np.testing.assert_allclose(slope[index], (high - low) / 2e-6, atol=2e-5)


@pytest.mark.parametrize('bad', [np.nan, np.inf, 0.0, -1.0])
def test_a_norm_that_is_none_is_told(norms, bad):
  wrong = norms[:10].copy()
  wrong[4] = bad
  for function in (refined_rates, refined_schedule):
    with pytest.raises(ValueError, match='step 4'):
      function(wrong)
  # The median hides it; the rates must not.
  assert np.isnan(jax.jit(lambda n: refined_rates(n, smoothing=0.4))(wrong)).all()


@pytest.mark.parametrize(
    'arguments, options, error',
    [
        (([],), {}, ValueError),
        (([1.0],), {}, ValueError),
        (([[1.0, 1.0]],), {}, ValueError),
        ((['a', 'b'],), {}, TypeError),
        (([1.0, 1.0],), {'smoothing': 1.1}, ValueError),
        (([1.0, 1.0],), {'smoothing': -0.1}, ValueError),
        (([1.0, 1.0],), {'norm': 'l3'}, ValueError),
    ],
)
def test_bad_calls_are_refused(arguments, options, error):
  for function in (refined_rates, refined_schedule):
    with pytest.raises(error):
      function(*arguments, **options)


@pytest.mark.parametrize(
    'options', [{'steps': 1}, {'peak_value': 0}, {'tolerance': 1e-5}, {'tolerance': 2}]
)
def test_bad_schedules_are_refused(options):
  with pytest.raises(ValueError):
    refined_schedule([1.0, 1.0], **options)


@pytest.mark.parametrize('tolerance', [0.05, 0.005])
def test_the_schedule_is_within_its_tolerance(norms, tolerance):
  policy = refined_schedule(norms, peak_value=0.3, tolerance=tolerance)
  rates = np.asarray(policy(np.arange(STEPS)))
  # Not at all by chance: some step is nearly as far off as allowed. 1e-6: float32.
  error = np.abs(rates / 0.3 - refined_rates(norms)).max()
  assert 0.3 * tolerance < error <= tolerance + 1e-6
  assert rates[-1] == policy(STEPS) == 0
  assert pickle.loads(pickle.dumps(policy)) == policy
  assert lrax.Schedule.from_dict(policy.to_dict()) == policy
  assert repr(policy).startswith('piecewise_interpolate(')


def test_many_steps_take_few_knots():
  steps = 10**5
  at = np.arange(steps)
  noise = np.exp(0.3 * np.random.default_rng(0).normal(size=steps))
  norms = (1 + 9 * np.exp(-at / 5000)) * noise
  policy = refined_schedule(norms)
  assert len(policy.arguments['boundaries']) < 64
  some = at[::97]
  error = np.abs(np.asarray(policy(some)) - refined_rates(norms)[some]).max()
  assert error <= 0.005 + 1e-6
  with pytest.raises(ValueError, match='smooth more'):
    refined_schedule(norms, smoothing=0)


def test_it_is_stretched_to_another_length(norms):
  policy = refined_schedule(norms, steps=10 * STEPS, smoothing=0.5)
  rates = refined_rates(norms, smoothing=0.5)
  at = np.arange(0, STEPS, 7)
  places = np.rint(at * (10 * STEPS - 1) / (STEPS - 1)).astype(int)
  # The tolerance, and half a step of the longer run along the steepest piece.
  steepest = np.abs(np.diff(rates)).max() / 20
  np.testing.assert_allclose(policy(places), rates[at], atol=0.005 + steepest, rtol=0)
  assert policy(10 * STEPS - 1) == 0 < policy(10 * STEPS - 2)


def test_traced_norms_make_no_schedule():
  with pytest.raises(TypeError, match='refined_rates'):
    jax.jit(refined_schedule)(jnp.ones(3))
