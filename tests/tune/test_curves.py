"""What a noisy curve says: where it diverged, and what it looks like smooth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrax.tune import _curves
from lrax.tune._curves import smooth

STEPS = np.arange(200)


def diverged(losses):
  """The first step at which a run is seen to diverge, or None."""
  losses = np.asarray(losses)
  # Of one length, so that it is compiled once; the rest is not looked at.
  padded = np.full(max(len(losses), 1000), 1.0)
  padded[: len(losses)] = losses
  seen = np.asarray(watched(jnp.asarray(padded)))[: len(losses)]
  return int(np.argmax(seen)) if seen.any() else None


@jax.jit
def watched(losses):
  def step(state, at):
    watch, known = state
    known = known.at[at].set(losses[at])
    watch = _curves.watch(watch, known, at)
    return (watch, known), watch.diverged

  start = _curves.watch_from(losses.dtype), jnp.full(losses.shape, jnp.nan)
  return jax.lax.scan(step, start, jnp.arange(len(losses)))[1]


def falling(seed, noise=0.1):
  """A curve that falls from 3 to 1, with normal noise."""
  rng = np.random.default_rng(seed)
  return 1 + 2 * np.exp(-STEPS / 40) + noise * rng.normal(size=len(STEPS))


def exploding(seed, noise=0.1, at=120):
  """The same, which grows by a third a step from step `at` on."""
  grown = 0.1 * 1.33 ** np.maximum(STEPS - at, 0) - 0.1
  return falling(seed, noise) + grown


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('at', [0, 1, 4, 5, 60, 199])
def test_the_first_loss_that_is_not_finite(bad, at):
  losses = falling(0)
  losses[at:] = bad
  assert diverged(losses) == at


def test_a_rise_before_it_comes_first():
  losses = exploding(0)
  losses[190:] = np.nan
  assert diverged(losses) < 190


def test_losses_after_one_that_is_not_finite_do_not_count():
  losses = falling(0)
  losses[50] = np.nan
  losses[60:] = 1e9
  assert diverged(losses) == 50


@pytest.mark.parametrize('seed', range(20))
def test_a_curve_that_explodes_is_seen_after_it_began(seed):
  found = diverged(exploding(seed))
  # The rise is under the noise for four steps, and above the start by as much as
  # was gained, 2 each, after ln(4 / 0.1) / ln 1.33 = 13; the average lags by ten.
  assert 124 < found < 150


@pytest.mark.parametrize('rise, seen', [(1.7, False), (2.1, True)])
def test_a_rise_counts_where_it_is_more_than_what_was_gained(rise, seen):
  """A fall of 2 in a hundred steps, and a step up to above the start."""
  fall = 3 - 2 * np.minimum(STEPS / 100, 1)
  losses = np.where(STEPS < 150, fall, 3 + rise)
  # The start is a mean of the first few, up to 0.1 below 3, and the best average
  # is 1 to within 0.9 ** 50 = 0.5% of the fall: the limit is 1.8 to 2 above 3.
  assert (diverged(losses) is not None) == seen


@pytest.mark.parametrize('rise, seen', [(3.5, False), (4.5, True)])
def test_a_rise_counts_where_it_is_more_than_four_times_the_noise(rise, seen):
  """Nothing is gained; neighbours at the start differ by 1."""
  losses = np.where(STEPS % 2, 1.5, 0.5)
  losses[40:] = 1.0
  losses[100:] = 1.0 + rise
  # The start is known to 0.1, and the best average to 0.05 below it.
  assert (diverged(losses) is not None) == seen


@pytest.mark.parametrize('steps', [1, 2, 3, 5, 8])
def test_a_leap_in_the_first_steps_counts(steps):
  """A rate far too high does its harm at once, and the loss stays where it is."""
  noise = 0.1 * np.random.default_rng(0).normal(size=100)
  losses = np.where(np.arange(100) < steps, 2.3, 40.0) + noise
  assert diverged(losses) is not None


@pytest.mark.parametrize('factor', [2.0**-40, 0.25, 2.0, 2.0**40])
def test_the_unit_of_the_loss_does_not_matter(factor):
  for seed in range(10):  # powers of two, so that nothing is rounded
    assert diverged(factor * exploding(seed)) == diverged(exploding(seed))
    assert diverged(factor * falling(seed)) is None


@pytest.mark.parametrize('shift', [-1000.0, -2.0, 5.0, 1000.0])
def test_the_zero_of_the_loss_does_not_matter(shift):
  """Negative losses too, and losses that change sign."""
  for seed in range(10):
    # The rise is a third a step; what float32 cannot resolve of a loss of 1000
    # is 1e-3, 4e-3 of the limit of 4, so the step it passes is the same or next.
    assert abs(diverged(exploding(seed) + shift) - diverged(exploding(seed))) <= 1
    assert diverged(falling(seed) + shift) is None


@pytest.mark.parametrize('noise', [0.0, 0.1, 1.0])
def test_no_alarm_on_a_curve_that_falls(noise):
  """Noise up to half of the whole fall."""
  alarms = [diverged(falling(seed, noise)) is not None for seed in range(300)]
  assert not any(alarms)


def test_no_alarm_on_other_shapes_of_a_fall():
  late = 3.0 - 2.0 / (1 + np.exp(-(STEPS - 150) / 5))  # a plateau, then a fall
  power = 3.0 / (1 + STEPS) ** 0.5
  stairs = 3.0 - STEPS // 40
  for curve in (late, power, stairs, -1.0 * STEPS, np.linspace(1, 0.999, 200)):
    assert diverged(curve) is None


def test_a_rise_that_ends_under_the_start_is_no_divergence():
  assert diverged(np.concatenate([np.linspace(3, 1, 100), np.full(100, 2.9)])) is None


def test_no_alarm_on_normal_noise_about_a_level():
  """The start of every range test: the rate is too small for anything to move."""
  rng = np.random.default_rng(0)
  alarms = [diverged(rng.normal(size=100)) is not None for _ in range(2000)]
  # Five losses tell the noise; now and then they happen to lie close. One in a
  # hundred runs is what a suggestion over two seeds stands.
  assert np.mean(alarms) <= 0.01


def test_few_alarms_on_the_noise_of_single_examples():
  """Squared errors of batches of one, chi-squared: most are small, some large."""
  rng = np.random.default_rng(0)
  alarms = [diverged(rng.normal(size=100) ** 2) is not None for _ in range(2000)]
  # Heavier than normal noise, so five times what is allowed there.
  assert np.mean(alarms) <= 0.05


@pytest.mark.parametrize('level', [0.0, 1.0, -5.0, 1e30, 2.302585])
def test_a_constant_loss_has_not_diverged(level):
  assert diverged(np.full(200, level)) is None


@pytest.mark.parametrize('level', [2.302585, -1000.0])
def test_the_last_bit_of_a_float32_loss_is_no_divergence(level):
  losses = np.full(200, level, np.float32)
  losses[10:] = np.nextafter(np.float32(level), np.float32(np.inf))
  assert diverged(losses) is None


@pytest.mark.parametrize('length', range(6))
def test_a_few_losses_diverge_only_where_they_are_not_finite(length):
  """There is no noise to compare with yet."""
  losses = 10.0 ** np.arange(length)
  assert diverged(losses) is None
  if length:
    losses[-1] = np.nan
    assert diverged(losses) == length - 1


def test_the_losses_are_left_as_they_are():
  losses = exploding(0)
  before = losses.copy()
  diverged(losses)
  smooth(losses, 0.9)
  np.testing.assert_array_equal(losses, before)


# Smoothing.


def both_ways(losses, keep):
  """Forwards and backwards as two matrices: the whole average in one sum."""
  t, i = np.indices((len(losses), len(losses)))
  matrix = np.where(i <= t, (1 - keep) * keep ** np.maximum(t - i, 0), 0.0)
  matrix[:, 0] = keep ** np.arange(len(losses))
  return (matrix[::-1, ::-1] @ matrix) @ losses


@pytest.mark.parametrize('keep', [0.0, 0.6, 0.98])
def test_smooth_is_the_average_forwards_and_backwards(keep):
  losses = -np.cumsum(np.random.default_rng(0).random(80))  # falls: nothing is cut
  # Sums of 80 terms in float64.
  np.testing.assert_allclose(smooth(losses, keep), both_ways(losses, keep), rtol=1e-12)


def test_without_smoothing_nothing_changes():
  losses = falling(0)
  assert losses.argmax() < 5  # nothing to cut
  np.testing.assert_array_equal(smooth(losses, 0.0), losses)


@pytest.mark.parametrize('keep', [0.6, 0.9])
def test_a_straight_fall_comes_out_where_it_was(keep):
  """One way, the average would lie keep / (1 - keep) steps to the right."""
  line = -0.5 * STEPS
  # 100 steps from either end, the ends weigh 0.9 ** 100 = 3e-5 of ten steps.
  np.testing.assert_allclose(smooth(line, keep)[100], line[100], atol=3e-4)


@pytest.mark.parametrize('keep', [0.6, 0.9])
@pytest.mark.parametrize('width', [3.0, 8.0])
def test_a_symmetric_dip_stays_symmetric_about_its_place(keep, width):
  dip = 1.0 - np.exp(-(((np.arange(201) - 100) / width) ** 2))
  curve = smooth(dip, keep)
  assert np.argmin(curve) == 100
  # The ends, 100 steps away, weigh 0.9 ** 100 = 3e-5 of what is left there, 0.
  np.testing.assert_allclose(curve, curve[::-1], atol=1e-4)
  assert curve.min() > dip.min() + 0.01  # it has been smoothed


@pytest.mark.parametrize('keep', [0.6, 0.9])
def test_the_steepest_point_of_a_fall_does_not_move(keep):
  fall = -1 / (1 + np.exp(-(np.arange(201) - 100) / 6))
  # Rounding decides between the two equal differences about the middle.
  assert np.argmin(np.diff(smooth(fall, keep))) in (99, 100)


def test_what_is_above_the_start_is_cut():
  """The height of a leap at the end is not smeared over the minimum."""
  curve = falling(0, noise=0.0)
  leap = np.append(curve, [1e3, 1e30])
  cut = np.append(curve, [curve[0], curve[0]])
  np.testing.assert_array_equal(smooth(leap, 0.9), smooth(cut, 0.9))


def test_what_is_not_above_the_start_is_not_cut():
  """Nor is noise at the start: the highest of the first few is the ceiling."""
  losses = np.array([1.0, 2.0, 5.0, 2.0, 1.0] + [0.5] * 20 + [4.9])
  np.testing.assert_array_equal(smooth(losses, 0.0), losses)


@pytest.mark.parametrize('length', [0, 1, 2])
def test_smooth_takes_short_curves(length):
  losses = np.array([3.0, 1.0])[:length]
  curve = smooth(losses, 0.5)
  assert curve.shape == (length,)
  np.testing.assert_array_equal(curve, both_ways(losses, 0.5) if length else [])


def flat(level, seed, noise=0.1):
  return level + noise * np.random.default_rng(seed).normal(size=len(STEPS))


def test_a_run_that_gains_less_than_a_share_of_a_smaller_rate_is_useless():
  runs = [flat(3, 0), falling(1), flat(3, 2), flat(2.9, 3), falling(4), flat(2.7, 5)]
  # Gains of 0, 2, 0, 0.1, 2 and 0.3 of which a tenth of 2 is asked.
  found = _curves.useless(runs, 0.1)
  assert found.tolist() == [False, False, True, True, False, False]


def test_where_no_smaller_rate_gained_more_than_noise_none_is_useless():
  runs = [flat(3, seed) for seed in range(6)] + [flat(4, 7)]
  assert not _curves.useless(runs, 0.1).any()


def test_one_easy_batch_at_first_is_no_start_to_measure_from():
  runs = [flat(3, 0), flat(2.5, 0), falling(1)]
  for run in runs:
    run[0] = 0.5
  assert not _curves.useless(runs, 0.1).any()


def test_a_run_that_ended_in_infinity_gained_nothing():
  runs = [falling(0), np.array([3.0, np.inf])]
  assert _curves.useless(runs, 0.1).tolist() == [False, True]
