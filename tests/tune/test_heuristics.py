"""Rules of thumb: closed forms, curves whose answer is known, and a real run."""

import dataclasses

import numpy as np
import pytest

import lrax
from lrax.tune import Advice
from lrax.tune import below_divergence
from lrax.tune import cyclical_bounds
from lrax.tune import default_rate
from lrax.tune import rate_ladder

RAMP = np.geomspace(1e-6, 1.0, 61)  # ten steps a decade


def seen(*curves, largest_stable=1.0, fell=None):
  """A range test that saw these smoothed losses."""
  smoothed = np.asarray(curves, float)
  fell = [True] * len(curves) if fell is None else fell
  lowest = RAMP[np.nanargmin(smoothed, axis=1)]
  suggestions = np.where(fell, lowest / 10, np.nan)
  found = suggestions[np.isfinite(suggestions)]
  return lrax.tune.RangeTest(
      task='curve', learning_rates=RAMP, losses=smoothed, smoothed=smoothed,
      mean=smoothed.mean(axis=0), spread=smoothed.std(axis=0),
      seeds=tuple(range(len(curves))), rule='minimum/10',
      learning_rate=float(np.exp(np.log(found).mean())) if len(found) else np.nan,
      suggestions=suggestions, largest_stable=largest_stable,
      diverged_at=np.full(len(curves), np.nan), verdict='The loss never fell.',
  )


def valley(starts, lowest):
  """Flat at 2 up to `starts`, straight down to 1 at `lowest`, then up again."""
  place = np.arange(len(RAMP))
  return np.interp(place, [0, starts, lowest, 60], [2.0, 2.0, 1.0, 3.0])


# The first rates.


def test_the_default_is_bengios():
  assert default_rate().value == 0.01
  assert 'Bengio' in default_rate().source


def test_advice_prints_as_its_reason_and_is_frozen():
  advice = default_rate()
  assert str(advice) == advice.reason
  with pytest.raises(dataclasses.FrozenInstanceError):
    advice.value = 0.1  # type: ignore[misc]


def test_the_ladder_falls_by_its_factor_and_ends_at_the_smallest():
  advice = rate_ladder()
  rates = np.asarray(advice.value)
  assert rates[0] == 1.0
  # Two divisions, each rounded.
  np.testing.assert_allclose(rates[:-1] / rates[1:], 3.0, rtol=1e-15)
  assert rates[-1] >= 1e-6 > rates[-1] / 3
  assert '13 rates' in advice.reason and 'factor of 2' in advice.reason


@pytest.mark.parametrize('factor, rungs', [(10.0, 7), (10**0.5, 13), (2.0, 20)])
def test_a_rung_on_the_smallest_rate_counts(factor, rungs):
  assert len(rate_ladder(1.0, 1e-6, factor).value) == rungs


def test_a_ladder_of_one_rung():
  assert rate_ladder(0.1, 0.1).value == (0.1,)


def test_the_best_is_within_a_factor_of_two_below_divergence():
  advice = below_divergence(0.8)
  assert advice.value == (0.8, 0.4)
  assert 'from 0.4 to 0.8' in advice.reason


@pytest.mark.parametrize(
    'rule, arguments, error, says',
    [
        (rate_ladder, (0.0,), ValueError, 'rate_ladder: `max_value`'),
        (rate_ladder, (1.0, -1), ValueError, 'rate_ladder: `min_value`'),
        (rate_ladder, (0.1, 0.2), ValueError, 'must be at most `max_value`, 0.1'),
        (rate_ladder, (1.0, 0.1, 1.0), ValueError, '`factor` must be a number > 1'),
        (rate_ladder, (1.0, 0.1, '3'), TypeError, '`factor`'),
        (below_divergence, (0.0,), ValueError, 'below_divergence: `learning_rate`'),
        (below_divergence, (np.nan,), ValueError, '`learning_rate`'),
        (below_divergence, (None,), TypeError, '`learning_rate`'),
    ],
)
def test_refuses(rule, arguments, error, says):
  with pytest.raises(error) as caught:
    rule(*arguments)
  assert says in str(caught.value)


# The bounds of a cycle.


def test_the_bounds_are_read_off_the_curve():
  test = seen(valley(20, 40))
  advice = cyclical_bounds(test, 50_000, 100)
  peak = RAMP[40]
  # One logarithm and its exponential.
  np.testing.assert_allclose(advice.value['peak_value'], peak, rtol=1e-14)
  np.testing.assert_allclose(advice.value['init_value'], peak / 4, rtol=1e-14)
  assert advice.value['up_steps'] == 2000  # the paper's for CIFAR-10
  assert 'The upper bound is 0.01, where the loss stops falling' in advice.reason
  assert '0.0025, a quarter of it' in advice.reason
  assert '2,000 updates, 4 epochs of 500' in advice.reason
  assert 'end of the ramp' not in advice.reason


def test_the_lower_bound_may_be_a_third_or_where_the_loss_begins_to_fall():
  test = seen(valley(20, 40))
  third = cyclical_bounds(test, 1000, 10, base='max/3').value
  np.testing.assert_allclose(third['init_value'], RAMP[40] / 3, rtol=1e-14)
  falls = cyclical_bounds(test, 1000, 10, base='falls')
  # A tenth of the fall is two of its twenty steps; rounding may call for a third.
  assert any(falls.value['init_value'] == pytest.approx(RAMP[i]) for i in (22, 23))
  assert 'where the loss has begun to fall' in falls.reason


def test_seeds_are_averaged_geometrically_and_those_that_did_not_fall_left_out():
  flat = np.full(61, 2.0)
  test = seen(valley(10, 30), valley(20, 40), flat, fell=[True, True, False])
  value = cyclical_bounds(test, 1000, 10).value
  np.testing.assert_allclose(value['peak_value'], RAMP[35], rtol=1e-14)
  np.testing.assert_allclose(
      value['peak_value'], 10 * test.suggest('minimum/10'), rtol=1e-14
  )


def test_the_upper_bound_is_stable_for_every_seed():
  test = seen(valley(10, 30), valley(10, 50), largest_stable=RAMP[32])
  advice = cyclical_bounds(test, 1000, 10)
  assert advice.value['peak_value'] == RAMP[32]
  assert 'the loss of every seed was stable' in advice.reason


def test_a_loss_that_still_falls_at_the_end_is_told():
  test = seen(np.linspace(2.0, 1.0, 61))
  assert 'still falling at the end of the ramp' in cyclical_bounds(test, 10, 1).reason


@pytest.mark.parametrize('epochs, up_steps', [(2, 14), (2.5, 18), (10, 70)])
def test_a_batch_that_is_not_full_does_not_count(epochs, up_steps):
  value = cyclical_bounds(seen(valley(20, 40)), 79, 10, epochs).value
  assert value['up_steps'] == up_steps  # 7 updates an epoch; 17.5 rounds to even


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        ({'test': 0.1}, TypeError, '`test` must be a RangeTest'),
        ({'examples': 0}, ValueError, '`examples`'),
        ({'examples': 9}, ValueError, '`batch_size` must be at most `examples` = 9'),
        ({'batch_size': 2.5}, ValueError, '`batch_size`'),
        ({'epochs': 1}, ValueError, '`epochs` must be a number from 2 to 10'),
        ({'epochs': 11}, ValueError, '`epochs`'),
        ({'base': 'max/5'}, ValueError, "`base` must be one of 'max/4'"),
    ],
)
def test_bounds_refuse(arguments, error, says):
  arguments = {
      'test': seen(valley(20, 40)), 'examples': 100, 'batch_size': 10
  } | arguments
  with pytest.raises(error) as caught:
    cyclical_bounds(**arguments)
  assert str(caught.value).startswith('cyclical_bounds: `')
  assert says in str(caught.value)


def test_a_range_test_that_suggests_nothing_is_refused():
  test = seen(np.full(61, 2.0), fell=[False])
  says = '`test` must be a range test that suggests a rate, got nan; The loss never'
  with pytest.raises(ValueError, match=says):
    cyclical_bounds(test, 100, 10)


def test_a_lower_bound_above_the_upper_is_refused():
  test = seen(valley(30, 40), largest_stable=RAMP[20])
  with pytest.raises(ValueError, match="`base` must be 'max/4' or 'max/3'"):
    cyclical_bounds(test, 100, 10, base='falls')


def test_a_real_range_test_feeds_a_cycle():
  task = lrax.tasks.digits()
  assert isinstance(task.train, lrax.tasks.Arrays)
  test = lrax.tune.range_test(task, 'sgd', min_value=1e-4, steps=60, seeds=1)
  advice = cyclical_bounds(test, task.train.examples, 128)
  assert isinstance(advice, Advice)
  low, high = advice.value['init_value'], advice.value['peak_value']
  at = lambda rate: test.smoothed[0, np.argmin(np.abs(test.learning_rates - rate))]
  assert at(high) == np.nanmin(test.smoothed[0])
  assert low < high <= test.largest_stable < np.nanmin(test.diverged_at)
  policy = lrax.cyclical(**advice.value, mode='triangular2')
  up = advice.value['up_steps']
  assert up == 4 * (task.train.examples // 128)
  # float32 rates.
  np.testing.assert_allclose(policy(np.asarray([0, up, 2 * up])), [low, high, low],
                             rtol=1e-6)
