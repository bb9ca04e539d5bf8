"""The range test: closed forms on a quadratic, known answers on made-up curves."""

import bisect
import functools
import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Stream
from lrax.tasks import Task
from lrax.tune import _engine
from lrax.tune import _range_test

# The default ramp; lrax computes it by another formula, so places are compared to
# a part in 1e9, where roundings are of 1e-15 and neighbours a fifth apart.
RAMP = np.geomspace(1e-7, 10.0, 100)
STEP = RAMP[1] / RAMP[0]


# A quadratic, whose loss under any rates is known.


def normals(seed):
  """Batches of eight normal numbers, drawn on the host to spare a compilation."""
  rng = np.random.default_rng(seed)
  while True:
    yield rng.normal(size=8).astype(np.float32)


def quadratic(curvature, noise=0.0, traces=None):
  """curvature / 2 times the square of w - noise, from w = 1."""

  def loss(w, batch, key):
    if traces is not None:
      traces.append(1)
    return 0.5 * curvature * jnp.mean((w - noise * batch) ** 2)

  return Task(
      init=lambda key: jnp.ones(8), loss=loss, train=Stream(normals),
      validation=Arrays(np.ones((1, 8))), steps=60, name='quadratic',
  )


def exact(curvature, ramp=RAMP, dim=8):
  """The losses of SGD: each step multiplies w by 1 - rate * curvature / dim.

  The loss is a mean over `dim` coordinates, so its curvature is a dim-th.
  """
  with np.errstate(over='ignore'):
    w = np.concatenate([[1.0], np.cumprod(1 - ramp[:-1] * curvature / dim)])
    return 0.5 * curvature * w**2


@pytest.mark.parametrize('curvature', [40.0, 8000.0])
def test_a_quadratic_diverges_where_the_closed_form_says(curvature):
  """Two over the curvature is the edge of plain gradient descent."""
  traces = []
  test = lrax.tune.range_test(quadratic(curvature, traces=traces), 'sgd')
  edge = 2 / (curvature / 8)
  losses = exact(curvature)
  for seed in range(2):
    seen = test.losses[seed][np.isfinite(test.losses[seed])]
    # Each of up to 100 steps rounds w by 1e-7; where a rate happens to be close
    # to 1 / curvature it cancels all but a small part of w.
    np.testing.assert_allclose(seen, losses[: len(seen)], rtol=1e-3)
    # The loss falls up to the edge and rises after it.
    lowest = test.learning_rates[np.argmin(seen)]
    assert edge <= lowest < edge * STEP
  # Past the edge it must first regain what it had lost. Seen is that at the step
  # at which the loss is twice that of the start, or in the next one: there it
  # grows at least tenfold a step, and the average counts a tenth of it.
  regained = int(np.flatnonzero(losses > 2 * losses[0])[0])
  for rate in test.diverged_at:
    assert RAMP[regained] <= rate * 1.001 and rate <= RAMP[regained + 2] * 1.001
  assert (test.largest_stable < test.diverged_at).all()
  # Without noise in the data nothing shows until the loss has regrown: measured
  # 1.6 to 2.5 times the edge.
  assert edge / 3 < test.largest_stable < 3 * edge
  # A tenth of the lowest point, of which the smoothed one is within three steps.
  assert edge / 10 / STEP**3 < test.learning_rate < edge / 10 * STEP**3
  assert len(traces) == 1  # one program for both seeds


@pytest.mark.parametrize('curvature', [40.0, 8000.0])
def test_a_noisy_quadratic_is_stable_up_to_about_the_edge(curvature):
  edge = 2 / (curvature / 8)
  test = lrax.tune.range_test(quadratic(curvature, noise=0.2), 'sgd', seeds=4)
  # Noise hides the last of the fall, and is itself amplified before the edge: the
  # first of four seeds to rise does so up to a factor of three before it. It hides
  # a rise too, by less than two.
  assert edge / 3 < test.largest_stable < 2 * edge
  assert (test.diverged_at > edge).all()
  # The suggestion is for training and not for surviving: well under the edge.
  assert test.learning_rate < edge / 5
  assert f'{test.largest_stable:.2g}' in test.verdict


def test_a_ramp_that_diverges_at_once_says_so():
  test = lrax.tune.range_test(quadratic(1e11), 'sgd')
  assert np.isnan(test.learning_rate)
  assert np.isnan(test.suggestions).all()
  assert np.isnan(test.largest_stable)
  assert (test.diverged_at <= RAMP[10]).all()
  assert 'near the start' in test.verdict
  assert 'lower min_value' in test.verdict
  json.dumps(test.to_dict(), allow_nan=False)


def test_a_ramp_that_never_diverges_says_so():
  test = lrax.tune.range_test(quadratic(16.0), 'sgd', max_value=0.05)
  assert np.isnan(test.diverged_at).all()
  assert np.isfinite(test.losses).all()
  # Still falling: the lowest point is the last, and all of the ramp is stable.
  np.testing.assert_allclose(test.learning_rate, 0.005, rtol=1e-9)
  np.testing.assert_allclose(test.largest_stable, 0.05, rtol=1e-9)
  assert 'still falling at the end: raise max_value' in test.verdict


def test_two_calls_are_equal_and_what_init_returns_is_left_alone():
  kept = {'w': jnp.ones(8)}
  task = Task(
      init=lambda key: kept,
      loss=lambda p, batch, key: jnp.mean((p['w'] - 0.3 * batch) ** 2),
      train=Stream(normals),
      validation=Arrays(np.ones((1, 8))),
      steps=60,
  )
  first, second = (lrax.tune.range_test(task, 'adam') for _ in range(2))
  np.testing.assert_array_equal(kept['w'], np.ones(8))
  for field in ('losses', 'smoothed', 'mean', 'spread', 'suggestions', 'diverged_at'):
    np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
  assert first.to_dict() == second.to_dict()


# Curves made up: the batches are the losses.

CURVES: dict[int, np.ndarray] = {}


@functools.cache
def player():
  """An engine whose losses for a seed are CURVES[seed], whatever the rates."""
  task = Task(
      init=lambda key: jnp.zeros(()),
      loss=lambda params, batch, key: batch + 0 * params,
      train=Stream(lambda seed: np.asarray(CURVES[seed], np.float32)),
      validation=Arrays(np.ones(1)),
      steps=100,
      name='curve',
  )
  return _engine.Engine(task, optax.sgd, 400, validates=False)


def play(*curves, rule='minimum/10', smoothing=0.0, seeds=None):
  """The range test that sees these curves, one a seed."""
  seeds = tuple(range(len(curves))) if seeds is None else seeds
  CURVES.update(zip(seeds, curves))
  return _range_test.run(
      player(), 1e-7, 10.0, len(curves[0]), seeds, rule, smoothing
  )


PLACE = np.arange(100)


def dip(lowest, depth=2.0, width=12.0):
  """Falls from 3 to a lowest point, and rises again as it fell."""
  return 3.0 - depth * np.exp(-(((PLACE - lowest) / width) ** 2))


def sigmoid(centre, width=4.0):
  """Falls from 3 to 1, fastest at `centre`."""
  return 1.0 + 2.0 / (1 + np.exp((PLACE - centre) / width))


@pytest.mark.parametrize('smoothing', [0.0, 0.6, 0.9])
@pytest.mark.parametrize('lowest', [45, 60, 75])
def test_minimum_over_ten(lowest, smoothing):
  test = play(dip(lowest), smoothing=smoothing)
  np.testing.assert_allclose(test.learning_rate, RAMP[lowest] / 10, rtol=1e-9)


@pytest.mark.parametrize('smoothing', [0.0, 0.6, 0.9])
@pytest.mark.parametrize('centre', [40, 60])
def test_steepest_has_no_lag(centre, smoothing):
  """A running average one way moves it by up to nine steps, a factor of five."""
  curve = sigmoid(centre)
  test = play(curve, rule='steepest', smoothing=smoothing)
  place = int(np.argmin(np.abs(np.log(RAMP / test.learning_rate))))
  assert abs(place - centre) <= 1  # the two differences beside it are equal

  average, one_way = curve[0], []
  for loss in curve:
    average = smoothing * average + (1 - smoothing) * loss
    one_way.append(average)
  lag = int(np.argmin(np.gradient(one_way))) - centre
  if smoothing == 0.9:
    assert lag >= 4  # so a lag would have shown


def test_steepest_is_sought_before_the_lowest_point():
  """A curve that leaps up and falls back after its minimum is not steepest there."""
  curve = np.concatenate([sigmoid(30)[:60], [2.9, 2.9, 1.2], np.full(37, 1.3)])
  test = play(curve, rule='steepest')
  assert RAMP[28] < test.learning_rate < RAMP[32]


def longest_fall(curve):
  """Lengths of the longest falling subsequences, by patience sorting."""
  piles, length = [], []
  for value in -np.asarray(curve):
    place = bisect.bisect_left(piles, value)
    piles[place : place + 1] = [value]
    length.append(place + 1)
  return max(length)


def test_valley_is_halfway_down_the_longest_fall():
  """A plateau of 20, a straight fall of 60, a rise: halfway is at 20 + 30."""
  fall = np.linspace(3, 1, 61)
  curve = np.concatenate([np.full(20, 3.0), fall[1:], np.full(20, 2.9)])
  assert longest_fall(curve) == 61
  test = play(curve, rule='valley')
  # The plateau lends it one point; halfway of 61 is between two of them.
  assert RAMP[48] <= test.learning_rate * 1.001 and test.learning_rate <= RAMP[50]


def test_valley_takes_the_longest_fall_and_not_the_deepest():
  """Forty steps of a slow fall against five of a fast one."""
  curve = np.concatenate(
      [np.linspace(3.0, 2.5, 41), np.linspace(3.0, 1.0, 6)[1:], np.full(54, 2.9)]
  )
  assert longest_fall(curve) == 45  # the slow one, and four of the fast one after
  test = play(curve, rule='valley')
  assert RAMP[20] <= test.learning_rate <= RAMP[24]


@pytest.mark.parametrize('rule', _range_test.RULES)
@pytest.mark.parametrize('shift', [-1000.0, -2.0, 50.0])
def test_a_constant_added_to_the_loss_changes_no_suggestion(rule, shift):
  """A negative log-likelihood may be of any sign."""
  noise = 0.02 * np.random.default_rng(1).normal(size=(2, 100))
  curves = [dip(60) + noise[0], dip(55) + noise[1]]
  # Numbers of 2**-10 that float32 holds beside 1000 too, so the curve that is
  # seen is the same one moved.
  curves = [np.round(curve * 1024) / 1024 for curve in curves]
  as_is = play(*curves, rule=rule, smoothing=0.6)
  moved = play(*[curve + shift for curve in curves], rule=rule, smoothing=0.6)
  np.testing.assert_allclose(moved.suggestions, as_is.suggestions, rtol=1e-9)
  np.testing.assert_allclose(moved.largest_stable, as_is.largest_stable, rtol=1e-9)
  np.testing.assert_array_equal(moved.diverged_at, as_is.diverged_at)


@pytest.mark.parametrize('rule', _range_test.RULES)
def test_the_unit_of_the_loss_changes_no_suggestion(rule):
  noise = 0.02 * np.random.default_rng(1).normal(size=100)
  curve = dip(60) + noise
  for factor in (2.0**-20, 2.0**20):  # powers of two round nothing
    assert (
        play(factor * curve, rule=rule, smoothing=0.6).learning_rate
        == play(curve, rule=rule, smoothing=0.6).learning_rate
    )


# Seeds.


def test_each_seed_has_its_suggestion_and_together_they_have_the_middle_one():
  test = play(dip(50), dip(62), dip(56), seeds=(4, 9, 2))
  expected = RAMP[[50, 62, 56]] / 10
  np.testing.assert_allclose(test.suggestions, expected, rtol=1e-9)
  # Places 50, 56 and 62 of a geometric ramp: the geometric mean is the middle.
  np.testing.assert_allclose(test.learning_rate, RAMP[56] / 10, rtol=1e-9)
  assert test.seeds == (4, 9, 2)
  assert test.losses.shape == (3, 100)


def test_mean_and_spread_are_those_of_the_smoothed_curves():
  curves = [dip(50), dip(60)]
  test = play(*curves)
  # Without smoothing: the curves are cut at the highest of their first five.
  cut = [np.minimum(c, c[:5].max()) for c in np.float32(curves)]
  np.testing.assert_allclose(test.mean, np.mean(cut, 0), rtol=1e-6)  # float32
  np.testing.assert_allclose(test.spread, np.std(cut, 0), atol=1e-6)


def test_one_seed_has_no_spread():
  assert not play(dip(50)).spread.any()


def test_the_mean_ends_where_the_first_seed_does():
  """It is over the same seeds everywhere, and not over those that are left."""
  broken = dip(50)
  broken[70:] = np.nan
  test = play(dip(50), broken)
  assert np.isfinite(test.mean[:70]).all()
  assert np.isnan(test.mean[70:]).all()
  assert np.isfinite(test.losses[0]).all()
  assert np.isnan(test.losses[1, 70:]).all()
  np.testing.assert_allclose(test.diverged_at, [np.nan, RAMP[70]], rtol=1e-9)
  assert f'diverged from {RAMP[70]:.2g}' in test.verdict


def test_a_seed_that_is_not_finite_at_once_does_not_spoil_the_others():
  gone = np.full(100, np.nan)
  test = play(dip(50), gone)
  np.testing.assert_allclose(test.learning_rate, RAMP[50] / 10, rtol=1e-9)
  assert np.isnan(test.suggestions[1])
  assert 'nan' not in test.verdict
  # Documented: NaN only where there is no suggestion.
  assert np.isfinite(test.largest_stable)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_ends_the_curve(bad):
  curve = dip(50)
  curve[60:] = bad
  test = play(curve)
  np.testing.assert_allclose(test.diverged_at, [RAMP[60]], rtol=1e-9)
  assert np.isfinite(test.losses[0, :60]).all()
  assert np.isnan(test.losses[0, 60:]).all()
  np.testing.assert_allclose(test.learning_rate, RAMP[50] / 10, rtol=1e-9)


@pytest.mark.parametrize('at', [0, 1, 2, 3])
def test_a_curve_of_a_few_points_has_no_suggestion(at):
  curve = 3.0 - 0.1 * PLACE
  curve[at:] = np.nan
  for rule in _range_test.RULES:
    test = play(curve, rule=rule)
    if at < 3:
      assert np.isnan(test.learning_rate)
    assert test.losses.shape == (1, 100)
    json.dumps(test.to_dict(), allow_nan=False)


def test_a_loss_that_is_not_finite_from_the_first_step_is_not_blamed_on_the_rate():
  """No rate has acted yet: a lower min_value cannot help."""
  test = play(np.full(100, np.nan), np.full(100, np.nan))
  assert np.isnan(test.learning_rate)
  assert 'lower min_value' not in test.verdict


# Nothing to see.


@pytest.mark.parametrize('level', [0.0, 2.3, -1000.0])
def test_a_flat_loss_has_no_suggestion_and_the_verdict_says_so(level):
  test = play(np.full(100, level), np.full(100, level), smoothing=0.6)
  assert np.isnan(test.learning_rate)
  assert np.isnan(test.suggestions).all()
  assert np.isnan(test.largest_stable)
  assert 'never fell by more than its noise' in test.verdict


@pytest.mark.parametrize('smoothing', [0.0, 0.6, 0.9])
def test_noise_about_a_level_has_no_suggestion(smoothing):
  """A loss that no rate moves, two seeds each, twenty times."""
  rng = np.random.default_rng(0)
  suggested = [
      np.isfinite(play(*rng.normal(size=(2, 100)), smoothing=smoothing).learning_rate)
      for _ in range(20)
  ]
  # The promise is NaN where no loss fell by more than its noise; three of twenty
  # are what a test at the level of one in twenty exceeds once in sixty times.
  assert sum(suggested) <= 3


def test_another_rule_has_no_suggestion_either_where_there_is_nothing_to_see():
  test = play(np.full(100, 2.3))
  for rule in _range_test.RULES:
    assert np.isnan(test.suggest(rule))


def test_a_fall_well_above_the_noise_is_seen():
  rng = np.random.default_rng(0)
  for _ in range(20):
    noise = 0.2 * rng.normal(size=(2, 100))  # a tenth of the fall
    test = play(dip(60) + noise[0], dip(60) + noise[1], smoothing=0.6)
    # Its bottom is flat to within the noise over some five steps on either side.
    assert RAMP[52] / 10 < test.learning_rate < RAMP[68] / 10


# Its face.


@pytest.mark.parametrize('rule', _range_test.RULES)
def test_suggest_gives_what_a_test_by_that_rule_would(rule):
  curves = [dip(50), sigmoid(60)]
  by_rule = play(*curves, rule=rule, smoothing=0.6)
  assert by_rule.rule == rule
  assert play(*curves, smoothing=0.6).suggest(rule) == by_rule.learning_rate


def test_suggest_refuses_an_unknown_rule():
  with pytest.raises(ValueError, match="suggest: `rule` .*did you mean 'steepest'"):
    play(dip(50)).suggest('steepst')


def test_the_ramp_is_geometric_from_end_to_end():
  test = lrax.tune.range_test(
      quadratic(16.0), 'sgd', min_value=1e-4, max_value=1e-2, steps=21, seeds=1
  )
  assert test.learning_rates.shape == (21,)
  np.testing.assert_allclose(test.learning_rates[[0, 10, 20]], [1e-4, 1e-3, 1e-2])
  ratios = test.learning_rates[1:] / test.learning_rates[:-1]
  np.testing.assert_allclose(ratios, 100 ** (1 / 20), rtol=1e-9)
  expected = exact(16.0, test.learning_rates)
  # Twenty float32 steps.
  np.testing.assert_allclose(test.losses[0], expected, rtol=1e-5)


def test_progress_is_told_after_each_seed():
  told = []
  lrax.tune.range_test(
      quadratic(16.0), 'sgd', steps=10, seeds=[5, 6, 7],
      on_seed=lambda done, seeds: told.append((done, seeds)),
  )
  assert told == [(1, 3), (2, 3), (3, 3)]


def test_to_dict_is_json_and_holds_the_numbers():
  broken = dip(50)
  broken[70:] = np.nan
  test = play(dip(50), broken)
  back = json.loads(json.dumps(test.to_dict(), allow_nan=False))
  assert back['task'] == 'curve'
  assert back['seeds'] == [0, 1]
  assert back['learning_rate'] == test.learning_rate
  assert back['losses'][1][70:] == [None] * 30
  assert back['diverged_at'] == [None, test.diverged_at[1]]
  np.testing.assert_array_equal(back['learning_rates'], test.learning_rates)


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        ({'min_value': 0.0}, ValueError, '`min_value`'),
        ({'min_value': -1e-3}, ValueError, '`min_value`'),
        ({'min_value': 'low'}, TypeError, '`min_value`'),
        ({'max_value': np.inf}, ValueError, '`max_value`'),
        ({'max_value': 1e-7}, ValueError, '`max_value` must be above `min_value`'),
        ({'steps': 9}, ValueError, '`steps` must be a whole number >= 10'),
        ({'steps': 20.5}, ValueError, '`steps`'),
        ({'rule': 'min'}, ValueError, '`rule`'),
        ({'rule': None}, TypeError, '`rule`'),
        ({'smoothing': 1.0}, ValueError, '`smoothing`'),
        ({'smoothing': -0.1}, ValueError, '`smoothing`'),
        ({'seeds': 0}, ValueError, '`seeds`'),
        ({'seeds': []}, ValueError, '`seeds` must be at least one, each once'),
        ({'seeds': [1, 1]}, ValueError, '`seeds` must be at least one, each once'),
        ({'seeds': [0, -1]}, ValueError, '`seeds`'),
        ({'seeds': [0.5]}, ValueError, '`seeds`'),
        ({'seeds': '3'}, TypeError, '`seeds`'),
        ({'seeds': None}, TypeError, '`seeds`'),
        ({'optimizer': 'sdg'}, ValueError, "did you mean 'sgd'"),
        ({'task': 'digits'}, TypeError, '`task`'),
    ],
)
def test_refuses(arguments, error, says):
  arguments = {'task': quadratic(16.0), 'optimizer': 'sgd'} | arguments
  with pytest.raises(error) as caught:
    lrax.tune.range_test(**arguments)
  assert str(caught.value).startswith('range_test: `')
  assert says in str(caught.value)


@pytest.mark.parametrize(
    'seeds, expected',
    [
        (2, (0, 1)),
        (np.int64(2), (0, 1)),
        ([7], (7,)),
        (range(3, 6), (3, 4, 5)),
        (np.array([4, 2]), (4, 2)),
    ],
)
def test_seeds_are_a_count_or_the_seeds(seeds, expected):
  assert _range_test.as_seeds(seeds, 'test') == expected
